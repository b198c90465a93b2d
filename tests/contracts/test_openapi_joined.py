"""A document of OpenAPI 3.0 is joined as 3.1 says the same."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from borough.contracts.marks import ANYONE
from borough.contracts.openapi_joined import Joining, joined

EMPTY = {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {}}


def shown(schema: Any, version: str = "3.0.3") -> Any:
    """What becomes of a schema in the joined document."""
    document = {
        "openapi": version,
        "info": {"title": "Old", "version": "1"},
        "paths": {},
        "components": {"schemas": {"Thing": schema, "Other": {"type": "object"}}},
    }
    whole = joined(EMPTY, [Joining("old", "/old", ANYONE, document)])
    OpenAPIV31SpecValidator(whole).validate()
    return whole["components"]["schemas"]["old.Thing"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"allOf": [{"$ref": "#/components/schemas/Other"}], "nullable": True},
            {"anyOf": [{"allOf": [{"$ref": "#/components/schemas/old.Other"}]}, {"type": "null"}]},
        ),
        (
            {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            {"type": "number", "exclusiveMinimum": 0},
        ),
        (
            {"type": "number", "maximum": 9, "exclusiveMaximum": False},
            {"type": "number", "maximum": 9},
        ),
        (
            {"type": "object", "properties": {"example": {"type": "string", "nullable": True}}},
            {"type": "object", "properties": {"example": {"type": ["string", "null"]}}},
        ),
        (
            {"type": "object", "properties": {"nullable": {"type": "boolean"}}},
            {"type": "object", "properties": {"nullable": {"type": "boolean"}}},
        ),
        (
            {"type": "object", "example": {"nullable": True}},
            {"type": "object", "example": {"nullable": True}},
        ),
    ],
)
def test_a_schema_of_openapi_30_is_told_as_31_has_it(given: Any, told: Any) -> None:
    assert shown(given) == told


def test_a_schema_of_openapi_31_stays_as_it_is() -> None:
    given = {"type": ["string", "null"], "x-old": {"nullable": True}}
    assert shown(given, "3.1.0") == given


THEIRS = {"/paid": {"get": {"summary": "paid", "responses": {"200": {"description": "Paid."}}}}}


@pytest.mark.parametrize(
    ("path", "below"),
    [("", "/pay/paid"), ("/pay", "/paid"), ("/older", "/paid"), ("/old", "er/paid")],
)
def test_an_application_says_nothing_of_the_paths_of_others(path: str, below: str) -> None:
    document = {"openapi": "3.1.0", "paths": {below: {"get": {"summary": "gone"}}}}
    before = {**EMPTY, "paths": {"/pay/paid": THEIRS["/paid"], "/older/paid": THEIRS["/paid"]}}
    assert joined(before, [Joining("old", path, ANYONE, document)])["paths"] == before["paths"]


def test_an_application_that_has_a_list_for_its_title_keeps_others_from_nothing() -> None:
    wrong = Joining("odd", "/odd", ANYONE, {"openapi": "3.1.0", "info": [], "paths": {}})
    right = Joining("old", "/old", ANYONE, {"openapi": "3.1.0", "paths": THEIRS})
    assert list(joined(EMPTY, [wrong, right])["paths"]) == ["/old/paid"]
