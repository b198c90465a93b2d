"""A contract from an OpenAPI document: what can be said in it is there, what cannot is named."""

from __future__ import annotations

import sys
import types
from typing import Any

import msgspec
import pytest

from borough.contracts.descriptor import Descriptor, describe, to_json
from borough.contracts.elsewhere import judge_elsewhere
from borough.contracts.imported import Imported
from borough.contracts.imported_openapi import imported_openapi
from borough.contracts.openapi import openapi
from borough.contracts.python_client import python_client
from borough.contracts.reading import read_contract
from borough.contracts.shapes import (
    ArrayShape,
    DateTimeShape,
    EnumShape,
    IntShape,
    MapShape,
    OptionalShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    UnionShape,
)
from borough.errors import ConfigurationError
from tests.contracts.bazaar import Bazaar
from tests.contracts.doubling import doubled_answer, doubled_schemas

ANSWER: dict[str, Any] = {"200": {"content": {"application/json": {"schema": {"type": "string"}}}}}
SCHEMAS: dict[str, Any] = {
    "new-pet": {
        "type": "object",
        "description": "A pet to come.",
        "required": ["petName", "kind"],
        "properties": {
            "petName": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
            "kind": {"$ref": "#/components/schemas/Kind"},
            "class": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "format": "int32"},
            "born": {"type": "string", "format": "date-time", "nullable": True},
            "tags": {"type": "array", "items": {"type": "string"}, "default": []},
            "prices": {"type": "object", "additionalProperties": {"type": "number"}},
            "anything": {"type": "object"},
            "friends": {"type": "array", "items": {"$ref": "#/components/schemas/new-pet"}},
        },
    },
    "Pet": {
        "allOf": [
            {"$ref": "#/components/schemas/new-pet"},
            {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
        ]
    },
    "Kind": {"type": "string", "enum": ["cat", "big dog"]},
    "Cat": {"type": "object", "required": ["sort"], "properties": {"sort": {"type": "string"}}},
    "Dog": {
        "type": "object",
        "required": ["sort", "loud"],
        "properties": {"sort": {"type": "string"}, "loud": {"type": "boolean"}},
    },
    "Animal": {
        "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
        "discriminator": {
            "propertyName": "sort",
            "mapping": {"meows": "#/components/schemas/Cat", "barks": "Dog"},
        },
    },
    "Lacking": {
        "type": "object",
        "required": ["blob"],
        "properties": {"blob": {}, "name": {"type": "string"}},
    },
}


def schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def body(name: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema(name)}}}


def answer(name: str, status: str = "200") -> dict[str, Any]:
    return {status: {"content": {"application/json; charset=utf-8": {"schema": schema(name)}}}}


PATHS: dict[str, Any] = {
    "/pets": {
        "get": {
            "operationId": "listPets",
            "summary": "All pets.",
            "parameters": [
                {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 10}},
                {
                    "name": "kinds",
                    "in": "query",
                    "schema": {"type": "array", "items": schema("Kind")},
                },
                {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                {"name": "filter[name]", "in": "query", "schema": {"type": "string"}},
                {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
            ],
            "responses": {
                "200": {
                    "content": {
                        "application/json": {"schema": {"type": "array", "items": schema("Pet")}}
                    }
                }
            },
        },
        "post": {"requestBody": body("new-pet"), "responses": answer("Pet", "201")},
        "head": {"responses": {"204": {}}},
    },
    "/pets/{petId}": {
        "parameters": [
            {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}
        ],
        "delete": {"operationId": "close", "responses": {"204": {"description": "Gone."}}},
        "get": {"operationId": "pets.animal", "responses": answer("Animal")},
    },
    "/broken.{format}": {"get": {"responses": ANSWER}},
    "/lacking": {"put": {"requestBody": body("Lacking"), "responses": ANSWER}},
    "/forms": {
        "post": {"requestBody": {"content": {"multipart/form-data": {}}}, "responses": ANSWER}
    },
    "/pages": {"get": {"responses": {"200": {"content": {"text/html": {}}}}}},
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pet Shop API", "version": "7.1"},
    "paths": PATHS,
    "components": {"schemas": SCHEMAS},
}
FOUND = imported_openapi(DOCUMENT)


def read_back(found: Imported) -> Descriptor:
    """What the written module promises."""
    name = "imported_for_a_test"
    module = sys.modules[name] = types.ModuleType(name)
    try:
        exec(python_client(found.descriptor), module.__dict__)
        return describe(read_contract(getattr(module, found.descriptor.name)))
    finally:
        del sys.modules[name]


def field(struct: str, name: str) -> Any:
    named = FOUND.descriptor.types[struct]
    assert isinstance(named, StructShape)
    return next(each for each in named.fields if each.name == name)


def test_the_written_contract_is_one_and_fits_the_document() -> None:
    again = read_back(FOUND)
    assert to_json(again) == to_json(FOUND.descriptor)
    assert judge_elsewhere(again, DOCUMENT, "") == []


def test_operations_have_the_names_of_the_document_or_of_their_route() -> None:
    assert FOUND.descriptor.wire_name == "pet-shop.PetShop"
    routes = {each.name: (each.method, each.path) for each in FOUND.descriptor.operations}
    assert routes == {
        "list_pets": ("GET", "/pet-shop/pets"),
        "post_pets": ("POST", "/pet-shop/pets"),
        "close_": ("DELETE", "/pet-shop/pets/{pet_id}"),
        "animal": ("GET", "/pet-shop/pets/{pet_id}"),
    }


def test_what_cannot_be_said_is_named() -> None:
    assert set(FOUND.notes) == {
        "HEAD /pets is left out: a contract has no such method",
        "ListPets: the query parameter filter[name] is left out: "
        "its name cannot be that of a parameter in Python",
        "NewPet.anything is left out: it is an object of any members",
        "Pet.anything is left out: it is an object of any members",
        "GET /broken.{format} is left out: "
        "each segment of a path is plain or one {parameter}, and none is empty",
        "Lacking.blob is left out: it may be anything",
        "PUT /lacking is left out: its body needs a field of Lacking that is left out",
        "POST /forms is left out: its body is multipart/form-data, not JSON",
        "GET /pages is left out: its answer is text/html, not JSON",
    }


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pet_name", StrShape(min_length=1, pattern="^[a-z]+$")),
        ("kind", RefShape(name="Kind")),
        ("class_", IntShape(gt=0)),
        ("born", OptionalShape(item=DateTimeShape())),
        ("tags", ArrayShape(item=StrShape())),
        ("friends", ArrayShape(item=RefShape(name="NewPet"))),
    ],
)
def test_a_schema_is_the_shape_of_its_field(name: str, shape: Shape) -> None:
    assert field("NewPet", name).shape == shape


def test_a_field_that_may_be_absent_is_not_null() -> None:
    assert field("NewPet", "prices").unset
    assert isinstance(field("NewPet", "prices").shape, MapShape)
    assert field("NewPet", "tags").default == []
    assert field("NewPet", "pet_name").wire == "petName"


def test_a_discriminator_tells_the_structs_of_a_union_apart() -> None:
    operation = FOUND.descriptor.operation("animal")
    assert operation.result == UnionShape(tag_field="sort", members=("Cat", "Dog"))
    cat, dog = (FOUND.descriptor.types[name] for name in ("Cat", "Dog"))
    assert isinstance(cat, StructShape)
    assert isinstance(dog, StructShape)
    assert (cat.tag, cat.fields, dog.tag) == ("meows", (), "barks")


def test_parameters_come_with_their_defaults() -> None:
    parameters = {each.name: each for each in FOUND.descriptor.operation("list_pets").parameters}
    assert {name: each.default for name, each in parameters.items()} == {
        "limit": 10,
        "kinds": [],
        "x_trace": None,
    }
    assert parameters["x_trace"].wire == "X-Trace"


def test_what_borough_writes_is_read_with_its_problems_streams_and_open_enums() -> None:
    descriptor = describe(read_contract(Bazaar))
    document = openapi([descriptor], title="Bazaar", version="2", public_only=True)
    document = msgspec.json.decode(msgspec.json.encode(document))
    found = imported_openapi(document, service="bazaar", name="Bazaar")
    again = read_back(found)
    assert to_json(again) == to_json(found.descriptor)
    assert {each.code for each in again.problems} == {"bazaar.Gone", "bazaar.Shut"}
    visitors = again.operation("visitors")
    assert visitors.stream
    assert visitors.result == UnionShape(tag_field="type", members=("Bottle", "Crate"))
    state = again.types["State"]
    assert isinstance(state, EnumShape)
    assert state.open


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"swagger": "2.0"}, "is Swagger 2; convert it first"),
        ({"openapi": "4.0"}, "is no OpenAPI 3"),
        ({"openapi": "3.1.0", "info": {"title": "X"}}, "nothing of X can be a contract"),
        ({"openapi": "3.1.0", "paths": {"/": {"get": {"parameters": 7}}}}, "not made as OpenAPI"),
    ],
)
def test_a_document_of_which_nothing_can_be_had_is_refused(
    document: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        imported_openapi(document)


def strange(schema: dict[str, Any], **paths: Any) -> Imported:
    asked = {"name": "p", "in": "query", "schema": schema}
    whole = {"/a": {"get": {"parameters": [asked], "responses": ANSWER}}, **paths}
    return imported_openapi({"openapi": "3.0.0", "info": {"title": "odd"}, "paths": whole})


def test_a_default_is_not_held_against_a_pattern_that_may_take_years() -> None:
    found = strange({"type": "string", "pattern": "^(a+)+$", "default": "aaa!"})
    assert found.descriptor.operations[0].parameters[0].default == "aaa!"
    found = strange({"type": "string", "pattern": "^a+$", "default": "aaa!"})
    assert found.descriptor.operations[0].parameters[0].default is None


@pytest.mark.parametrize("pattern", ["(" * 5000, "a{99999999999999}"])
def test_what_is_no_pattern_is_none(pattern: str) -> None:
    parameter = strange({"type": "string", "pattern": pattern}).descriptor.operations[0].parameters
    assert parameter[0].shape == OptionalShape(item=StrShape())


def test_a_path_in_another_document_is_named() -> None:
    found = strange({"type": "string"}, **{"/b": {"$ref": "http://127.0.0.1:9/b"}})
    assert len(found.descriptor.operations) == 1
    assert (
        "/b is left out: http://127.0.0.1:9/b is in another document; join the two" in found.notes
    )


def test_a_member_that_no_struct_can_carry_is_left_out() -> None:
    schema = {"type": "object", "properties": {'a"b': {"type": "string"}, "c": {"type": "string"}}}
    answer = {"200": {"content": {"application/json": {"schema": schema}}}}
    found = strange({"type": "string"}, **{"/b": {"get": {"responses": answer}}})
    assert any("its name has quotes" in note for note in found.notes)


def test_numbers_beyond_any_number_are_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="not made as OpenAPI is"):
        strange({"type": "integer", "minimum": 10**400})


def test_what_names_another_twice_at_each_level_is_read_once() -> None:
    document = {
        "openapi": "3.0.0",
        "info": {"title": "odd"},
        "paths": {"/a": {"get": {"responses": doubled_answer()}}},
        "components": {"schemas": doubled_schemas()},
    }
    (struct,) = imported_openapi(document).descriptor.types.values()
    assert isinstance(struct, StructShape)
    assert [field.name for field in struct.fields] == ["x"]
