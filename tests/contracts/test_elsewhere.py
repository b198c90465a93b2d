"""A contract of a service elsewhere is held against what that service says of itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import pytest

from borough import ANYONE, Header, Struct, Unset, contract, delete, get, post
from borough.contracts.descriptor import describe
from borough.contracts.elsewhere import judge_elsewhere
from borough.contracts.openapi import openapi
from borough.contracts.reading import read_contract
from borough.contracts.struct import UNSET
from tests.contracts.doubling import DOUBLED, doubled_schemas


class Charge(Struct):
    cents: int
    currency: str = "EUR"
    note: str | Unset = UNSET


@contract("pay", version="1.0")
class Pay(Protocol):
    """Takes money."""

    @post("/charges", allow=ANYONE, status=201)
    async def charge(self, charge: Charge) -> Charge: ...

    @get("/charges/{id}", allow=ANYONE)
    async def read(self, id: int, expand: str | None = None) -> Charge: ...

    @delete("/charges/{id}", allow=ANYONE)
    async def cancel(self, id: int, why: Annotated[str, Header("X-Why")]) -> None: ...


DESCRIPTOR = describe(read_contract(Pay))
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "paths": {
        "/v1/charges": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json; charset=utf-8": {
                            "schema": {"$ref": "#/components/schemas/New"}
                        }
                    },
                },
                "responses": {"201": {}},
            }
        },
        "/v1/charges/{charge_id}": {
            "parameters": [
                {"name": "charge_id", "in": "path", "required": True},
                {"name": "Authorization", "in": "header", "required": True},
                {"name": "Api-Version", "in": "header", "required": True},
            ],
            "get": {
                "parameters": [{"$ref": "#/components/parameters/expand"}],
                "responses": {"2XX": {}},
            },
            "delete": {
                "parameters": [{"name": "x-why", "in": "header", "required": True}],
                "responses": {"204": {}, "404": {}},
            },
        },
    },
    "components": {
        "parameters": {"expand": {"name": "expand", "in": "query"}},
        "schemas": {
            "New": {"allOf": [{"$ref": "#/components/schemas/Sum"}, {"required": ["currency"]}]},
            "Sum": {"required": ["cents"], "properties": {"cents": {}, "currency": {}, "note": {}}},
        },
    },
}


def judged(change: Callable[[Any], None], base: str = "/api/v1") -> list[str]:
    """What is wrong with the document after a change."""
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return judge_elsewhere(DESCRIPTOR, document, base, ["API-version"])


def test_a_document_that_offers_all_is_fine() -> None:
    assert judged(lambda document: None) == []


def test_our_own_document_of_a_contract_offers_it() -> None:
    document = openapi([DESCRIPTOR], title="x", version="1", public_only=True)
    assert judge_elsewhere(DESCRIPTOR, document, "/pay") == []


def route(document: Any, method: str = "get") -> Any:
    return document["paths"]["/v1/charges/{charge_id}"][method]


def schema(document: Any, name: str = "New") -> Any:
    return document["components"]["schemas"][name]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda d: d["paths"].pop("/v1/charges"),
            "pay.Pay.charge is POST /v1/charges, and it has no such path",
        ),
        (
            lambda d: d["paths"]["/v1/charges/{charge_id}"].pop("get"),
            "pay.Pay.read is GET /v1/charges/{id}, and it has only DELETE there",
        ),
        (
            lambda d: route(d)["parameters"].append(
                {"name": "page", "in": "query", "required": True}
            ),
            "pay.Pay.read (GET /v1/charges/{id}) does not send the query parameter page, which is required",
        ),
        (
            lambda d: d["components"]["parameters"]["expand"].update(required=True),
            "pay.Pay.read (GET /v1/charges/{id}) may leave out the query parameter expand, which is required",
        ),
        (
            lambda d: route(d)["parameters"].clear(),
            "pay.Pay.read (GET /v1/charges/{id}) sends the query parameter expand, which is not known there",
        ),
        (
            lambda d: schema(d)["allOf"][1]["required"].append("card"),
            "pay.Pay.charge (POST /v1/charges) does not send the field card, which is required",
        ),
        (
            lambda d: schema(d, "Sum")["required"].append("note"),
            "pay.Pay.charge (POST /v1/charges) may leave out the field note, which is required",
        ),
        (
            lambda d: schema(d, "Sum").update(
                additionalProperties=False, properties={"cents": {}, "currency": {}}
            ),
            "pay.Pay.charge (POST /v1/charges) sends the field note, which is not known there",
        ),
        (
            lambda d: route(d, "delete").update(requestBody={"required": True}),
            "pay.Pay.cancel (DELETE /v1/charges/{id}) sends no body, which is required",
        ),
        (
            lambda d: d["paths"]["/v1/charges"]["post"].pop("requestBody"),
            "pay.Pay.charge (POST /v1/charges) sends a body, and none is taken there",
        ),
        (
            lambda d: d["paths"]["/v1/charges"]["post"]["requestBody"].update(
                content={"text/xml": {}}
            ),
            "pay.Pay.charge (POST /v1/charges) sends JSON, and text/xml is taken there",
        ),
        (
            lambda d: d["paths"]["/v1/charges"]["post"].update(responses={"202": {}, "400": {}}),
            "pay.Pay.charge (POST /v1/charges) is answered by 201, and there by 202",
        ),
        (lambda d: (d.pop("openapi"), d.update(swagger="2.0")), "pay.Pay: it is Swagger 2"),
        (lambda d: d.pop("openapi"), "pay.Pay: it is no OpenAPI 3 document"),
    ],
)
def test_what_is_not_offered_is_a_sentence(change: Callable[[Any], None], fault: str) -> None:
    assert judged(change) == [fault]


def test_all_that_is_not_offered_comes_together() -> None:
    assert len(judged(lambda document: document["paths"].clear())) == 3


def test_a_url_that_stops_too_early_is_told_how_it_must_end() -> None:
    document = openapi([DESCRIPTOR], title="x", version="1", public_only=True)
    (first, *_) = judge_elsewhere(DESCRIPTOR, document, "")
    assert first.endswith("and it has /pay/charges/{}: the URL must end in /pay")


def test_alternatives_and_endless_references_are_not_judged() -> None:
    assert judged(lambda d: schema(d).update({"oneOf": [{"required": ["x"]}, {}]})) == []
    assert judged(lambda d: schema(d, "Sum").update({"$ref": "#/components/schemas/Sum"})) == []


@pytest.mark.parametrize(
    "odd", [{"paths": []}, {"paths": {"/v1/charges": 7}}, {"components": 1}, {}]
)
def test_an_odd_document_offers_nothing(odd: dict[str, Any]) -> None:
    assert len(judge_elsewhere(DESCRIPTOR, {"openapi": "3.1.0", **odd}, "/v1")) == 3


def test_a_schema_that_names_another_twice_at_each_level_is_read_once() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["components"]["schemas"] |= doubled_schemas()
    content = document["paths"]["/v1/charges"]["post"]["requestBody"]["content"]
    content["application/json; charset=utf-8"]["schema"] = DOUBLED
    assert judge_elsewhere(DESCRIPTOR, document, "/v1", ["api-version"]) == []
