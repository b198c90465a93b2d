"""The OpenAPI document: valid, complete, made from data alone, and true about what the edge does."""

import importlib
from typing import Any, Protocol

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from borough import ANYONE, IDEMPOTENCY_KEY, USER, Problem, contract, get, post
from borough.contracts.descriptor import describe, from_json, to_json
from borough.contracts.examples import example_arguments, example_result
from borough.contracts.openapi import openapi
from borough.contracts.reading import read_contract
from tests.contracts.bazaar import Bazaar

# jsonschema comes with openapi-spec-validator, and has no types.
Draft202012Validator: Any = importlib.import_module("jsonschema").Draft202012Validator


@contract("free", version="1.0")
class Free(Protocol):
    """Takes any text in its paths."""

    @get("/inside/{name}")
    async def inside(self, name: str) -> None: ...

    @get("/outside/{name}", allow=ANYONE)
    async def outside(self, name: str) -> None: ...


class Full(Problem, status=409):
    """It is full."""


@contract("crowded", version="1.0")
class Crowded(Protocol):
    """May be full."""

    @post("/seats", allow=USER, idempotent_by=IDEMPOTENCY_KEY, raises=[Full])
    async def sit(self) -> None: ...


CROWDED = describe(read_contract(Crowded))
FREE = describe(read_contract(Free))
DESCRIPTOR = from_json(to_json(describe(read_contract(Bazaar))))
WHOLE = openapi([DESCRIPTOR], title="Shop", version="1", public_only=False)
PUBLIC = openapi([DESCRIPTOR], title="Shop", version="1", public_only=True, servers=["https://x"])
SKU = "/bazaar/v2/{sku}"


def operation(path: str, method: str, document: dict[str, Any] = WHOLE) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path][method]
    return found


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = WHOLE["components"]["schemas"][f"bazaar.Bazaar.v2.{name}"]
    return found


def validator(target: dict[str, Any]) -> Any:
    """A validator of JSON Schema that knows the document's components."""
    root = Resource.from_contents(WHOLE, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:openapi", root)
    pointed = {"$id": "urn:openapi-part", **_absolute(target)}
    return Draft202012Validator(pointed, registry=registry)


def _absolute(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: f"urn:openapi{part}" if key == "$ref" else _absolute(part)
            for key, part in value.items()
        }
    return [_absolute(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("document", [WHOLE, PUBLIC], ids=["whole", "public"])
def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())


def test_the_public_document_has_what_the_edge_serves() -> None:
    assert PUBLIC["servers"] == [{"url": "https://x"}]
    found = {(path, method) for path, item in PUBLIC["paths"].items() for method in item}
    assert found == {
        (SKU, "get"),
        ("/bazaar/v2", "get"),
        ("/bazaar/v2", "post"),
        (f"{SKU}/visitors", "get"),
    }
    assert set(PUBLIC["components"]["securitySchemes"]) == {"bearer"}
    assert "bazaar.Bazaar.v2.SellRequest" not in PUBLIC["components"]["schemas"]


def test_a_contract_is_a_tag_and_a_docstring_summary_and_description() -> None:
    (tag,) = WHOLE["tags"]
    assert tag["name"] == "bazaar.Bazaar.v2"
    assert tag["description"] == "Sells everything.\n\nDeprecated: since 2.3, use Mall"
    one = operation(SKU, "get")
    assert one["tags"] == [tag["name"]]
    assert one["operationId"] == "bazaar.Bazaar.v2.one"
    assert one["summary"] == "One thing."
    assert one["description"].startswith("With its ETag.")
    assert one["deprecated"] is True
    assert "since 2.1, use sell" in operation(SKU, "patch")["description"]


def test_parameters_stand_where_they_travel() -> None:
    parameters = operation(f"{SKU}/picture", "put")["parameters"]
    assert [(p["name"], p["in"], p["required"]) for p in parameters] == [
        ("sku", "path", True),
        ("X-Source", "header", False),
        ("basket", "cookie", False),
    ]
    limit = operation("/bazaar/v2", "get")["parameters"][2]
    assert limit["schema"] == {
        "type": "integer",
        "format": "int64",
        "minimum": 1,
        "maximum": 50,
        "default": 10,
    }
    assert parameters[0]["description"] == "Three letters, a number."


def test_text_in_a_path_is_what_a_path_can_carry() -> None:
    public = validator(operation(SKU, "get")["parameters"][0]["schema"])
    assert public.is_valid("ABC-1234")
    assert not public.is_valid("ABC")  # its own pattern counts as before
    free = openapi([FREE], title="Free", version="1", public_only=False)["paths"]
    inside, outside = (
        validator(free[path]["get"]["parameters"][0]["schema"])
        for path in ("/free/inside/{name}", "/free/outside/{name}")
    )
    for text in ("a", "ä b", "..."):
        assert inside.is_valid(text)
        assert outside.is_valid(text)
    for text in ("", ".", "..", "a\tb", "\x7f", "\x00"):
        assert not inside.is_valid(text)
        assert not outside.is_valid(text)
    for text in ("a/b", "\\"):
        assert inside.is_valid(text)
        assert not outside.is_valid(text)


def test_a_key_given_by_the_caller_is_a_header() -> None:
    add = operation("/bazaar/v2", "post")
    assert add["parameters"] == [{"$ref": "#/components/parameters/IdempotencyKey"}]
    assert WHOLE["components"]["parameters"]["IdempotencyKey"]["name"] == "Idempotency-Key"
    assert add["responses"]["422"] == {"$ref": "#/components/responses/KeyReused"}
    assert add["responses"]["409"] == {"$ref": "#/components/responses/KeyInUse"}


def test_who_is_told_to_wait_is_told_how_long() -> None:
    shared = WHOLE["components"]["responses"]
    waits = {
        name for name, response in shared.items() if "Retry-After" in response.get("headers", {})
    }
    assert waits == {"KeyInUse", "TooManyRequests", "Unavailable"}
    crowded = openapi([CROWDED], title="Crowded", version="1", public_only=True)
    (item,) = crowded["paths"].values()
    assert "Retry-After" in item["post"]["responses"]["409"]["headers"]  # beside its own problem


def test_a_key_that_is_a_parameter_is_told_in_words() -> None:
    sell = operation(f"{SKU}/sales", "post")
    assert "Idempotent by `buyer`" in sell["description"]
    assert {"409", "422"} <= set(sell["responses"])
    assert not any(p.get("name") == "Idempotency-Key" for p in sell["parameters"])


def test_answers_have_their_status() -> None:
    assert "201" in operation("/bazaar/v2", "post")["responses"]
    assert "202" in operation(f"{SKU}/picture", "put")["responses"]
    assert "content" not in operation(SKU, "delete")["responses"]["204"]
    # An operation that returns nothing and says no status is answered 204.
    assert "200" not in operation(SKU, "patch")["responses"]


def test_a_reply_has_an_etag_and_may_be_current() -> None:
    one = operation(SKU, "get")
    assert "ETag" in one["responses"]["200"]["headers"]
    assert "content" not in one["responses"]["304"]
    assert {"$ref": "#/components/parameters/IfNoneMatch"} in one["parameters"]


def test_a_stream_is_lines_of_items_a_problem_or_an_end() -> None:
    content = operation(f"{SKU}/visitors", "get")["responses"]["200"]["content"]
    (media,) = content.values()
    assert list(content) == ["application/x-ndjson"]
    line = validator(media["schema"])
    assert line.is_valid({"end": True})
    assert line.is_valid({"item": {"type": "bottle", "litres": 1.5}})
    assert line.is_valid(media["example"])
    assert not line.is_valid({"item": {"type": "bottle"}})
    assert not line.is_valid({"end": False})


def test_an_upload_is_the_body_itself() -> None:
    body = operation(f"{SKU}/picture", "put")["requestBody"]
    assert list(body["content"]) == ["application/octet-stream"]
    assert body["required"] is True


def test_a_body_may_be_left_out_where_every_field_may() -> None:
    assert operation(SKU, "patch")["requestBody"]["required"] is False
    assert operation(f"{SKU}/sales", "post")["requestBody"]["required"] is True


def test_problems_of_one_status_are_told_apart_by_code() -> None:
    media = operation(SKU, "get")["responses"]["404"]["content"]["application/problem+json"]
    refusal = validator(media["schema"])
    examples = media["examples"]
    assert sorted(examples) == ["bazaar.Gone", "bazaar.Shut"]
    for example in examples.values():
        assert refusal.is_valid(example["value"])
    gone = examples["bazaar.Gone"]["value"]
    assert not refusal.is_valid({**gone, "code": "bazaar.Other"})
    assert not refusal.is_valid({**gone, "status": 410})
    assert not refusal.is_valid({key: part for key, part in gone.items() if key != "sku"})


def test_the_problems_of_the_framework_are_shared() -> None:
    one = operation(SKU, "get")["responses"]
    for status, name in {"400": "InvalidRequest", "429": "TooManyRequests", "503": "Unavailable",
                         "504": "DeadlineExceeded", "500": "ServiceFailure"}.items():  # fmt: skip
        assert one[status] == {"$ref": f"#/components/responses/{name}"}
        shared = WHOLE["components"]["responses"][name]["content"]["application/problem+json"]
        assert validator(shared["schema"]).is_valid(shared["example"])
    assert "401" not in one
    assert "403" not in operation("/bazaar/v2", "get")["responses"]
    assert {"401", "403", "413", "415"} <= set(operation("/bazaar/v2", "post")["responses"])
    assert "415" not in one


def test_security_is_what_allow_says() -> None:
    assert operation(SKU, "get")["security"] == []
    assert operation("/bazaar/v2", "get")["security"] == [{"bearer": []}]
    assert operation("/bazaar/v2", "post")["security"] == [{"bearer": ["trade", "bazaar:write"]}]
    assert operation(SKU, "delete")["security"] == [{"internal": []}]


def test_requests_are_closed_and_answers_open() -> None:
    # What travels both ways stands twice; what only comes in stands once, closed.
    assert "additionalProperties" not in schema("Everything")
    assert schema("Everything.Input")["additionalProperties"] is False
    assert schema("SellRequest")["additionalProperties"] is False
    inner = schema("Everything.Input")["properties"]["again"]["anyOf"][0]
    assert inner == {"$ref": "#/components/schemas/bazaar.Bazaar.v2.Everything.Input"}
    add = operation("/bazaar/v2", "post")
    (asked,) = add["requestBody"]["content"].values()
    (answered,) = add["responses"]["201"]["content"].values()
    more = {**asked["example"], "new_field": 1}
    assert not validator(asked["schema"]).is_valid(more)
    assert validator(answered["schema"]).is_valid(more)


def test_every_example_fits_its_schema() -> None:
    for described in DESCRIPTOR.operations:
        shown = operation(described.path, described.method.lower())
        arguments = example_arguments(described, DESCRIPTOR, 3)
        for parameter in shown.get("parameters", ()):
            if "example" in parameter:
                assert validator(parameter["schema"]).is_valid(parameter["example"])
                assert parameter["name"] in arguments or parameter["in"] in ("header", "cookie")
        for media in shown.get("requestBody", {}).get("content", {}).values():
            if "example" in media:
                validator(media["schema"]).validate(media["example"])
        result = example_result(described, DESCRIPTOR, 3)
        if result is not None and not described.stream:
            answer = shown["responses"][str(described.status)]["content"]["application/json"]
            validator(answer["schema"]).validate(result)


def test_an_open_enum_admits_values_that_come_later() -> None:
    state = validator(schema("State"))
    assert state.is_valid("refunded")
    assert not state.is_valid(1)
    assert not validator(schema("Size")).is_valid("XL")


def test_each_portable_type_has_its_schema() -> None:
    properties = schema("Everything")["properties"]
    assert properties["raw"] == {
        "type": "string",
        "contentEncoding": "base64",
        "minLength": 4,
        "maxLength": 12,
    }
    assert properties["number"] == {
        "anyOf": [{"type": "integer", "enum": [1, 2]}, {"type": "null"}]
    }
    assert properties["pair"] == {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "prefixItems": [{"type": "integer", "format": "int64"}, {"type": "string"}],
    }
    assert properties["by_sku"]["propertyNames"]["pattern"] == r"^[A-Z]{3}-\d{4}$"
    assert properties["otherName"] == {
        "type": "string",
        "description": "Another name.",
        "examples": ["x", "y"],
        "default": "x",
    }
    assert "default" not in properties["note"]
    assert schema("Crate")["properties"]["type"] == {"const": "crate"}
    assert "note" not in schema("Everything")["required"]


def test_paths_that_differ_in_slot_names_are_one_path() -> None:
    changed = to_json(DESCRIPTOR).replace(
        b'"name":"drop","parameters":[{"name":"sku"', b'"name":"drop","parameters":[{"name":"code"'
    )
    head, _, tail = changed.partition(b'"name":"drop"')
    other = from_json(head + b'"name":"drop"' + tail.replace(b"v2/{sku}", b"v2/{code}", 1))
    assert other.operation("drop").path == "/bazaar/v2/{code}"
    document = openapi([other], title="Shop", version="1", public_only=False)
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())
    # The name of the first one stands for all, in the path and in the parameters.
    assert {"get", "patch", "delete"} == set(document["paths"][SKU])
    assert operation(SKU, "delete", document)["parameters"][0]["name"] == "sku"
