"""Shapes from other people's documents as these are in the wild: nulls, one-way members, forms, names."""

from __future__ import annotations

from typing import Any

import pytest

from borough.contracts.descriptor import Descriptor, to_json
from borough.contracts.elsewhere import judge_elsewhere
from borough.contracts.imported import Imported
from borough.contracts.imported_openapi import imported_openapi
from borough.contracts.shapes import (
    EnumShape,
    FieldShape,
    FloatShape,
    OptionalShape,
    RefShape,
    Shape,
    StructShape,
)
from borough.errors import ConfigurationError
from tests.contracts.test_imported_openapi import read_back, schema

TEXT = {"type": "string"}


def object_of(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def document(
    answer: Any, body: Any = None, parameters: Any = (), path: str = "/a", **schemas: Any
) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "operationId": "ask",
        "parameters": list(parameters),
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    if body is not None:
        content = {"application/json": {"schema": body}}
        asked["requestBody"] = {"required": True, "content": content}
    return {
        "openapi": "3.1.0",
        "info": {"title": "X", "version": "1"},
        "paths": {path: {"get" if body is None else "post": asked}},
        "components": {"schemas": schemas},
    }


def imported(answer: Any, *more: Any, **named: Any) -> Imported:
    return imported_openapi(document(answer, *more, **named))


def field(descriptor: Descriptor, struct: str, name: str) -> FieldShape:
    named = descriptor.types[struct]
    assert isinstance(named, StructShape)
    return next(each for each in named.fields if each.name == name)


def assert_written_as_it_is(found: Imported) -> None:
    assert to_json(read_back(found)) == to_json(found.descriptor)


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "string", "nullable": True, "enum": ["a", None]},
        {"type": "string", "nullable": True, "enum": ["a"]},
        {"type": ["string", "null"], "enum": ["a", None]},
    ],
)
def test_a_named_choice_that_may_be_null_may_be_so_wherever_it_is_named(choice: Any) -> None:
    both = object_of("one", "two", one=schema("Choice"), two=schema("Choice"))
    found = imported(schema("Both"), Choice=choice, Both=both)
    for name in ("one", "two"):
        known: Shape = OptionalShape(item=RefShape(name="Choice"))
        assert field(found.descriptor, "Both", name).shape == known
    assert_written_as_it_is(found)


def test_a_choice_without_a_name_is_null_once() -> None:
    choice = {"type": ["string", "null"], "enum": ["a", None]}
    found = imported(object_of("one", one=choice))
    assert_written_as_it_is(found)


def test_a_named_object_that_may_be_null_is_one_type_and_may_contain_itself() -> None:
    node = {**object_of(next=schema("Node")), "nullable": True}
    both = object_of("one", "two", one=schema("Node"), two=schema("Node"))
    found = imported(schema("Both"), Node=node, Both=both)
    assert set(found.descriptor.types) == {"Node", "Both"}
    assert field(found.descriptor, "Node", "next").shape == OptionalShape(
        item=RefShape(name="Node")
    )
    assert_written_as_it_is(found)


def test_what_a_named_list_contains_is_one_type() -> None:
    crowd = {"type": "array", "items": object_of(name=TEXT)}
    both = object_of(one=schema("Crowd"), two=schema("Crowd"))
    found = imported(schema("Both"), Crowd=crowd, Both=both)
    assert set(found.descriptor.types) == {"CrowdItem", "Both"}


def test_what_is_only_written_is_not_expected_back_and_what_is_only_read_need_not_be_sent() -> None:
    user = object_of(
        "id", "password", id={**TEXT, "readOnly": True}, password={**TEXT, "writeOnly": True}
    )
    found = imported(schema("User"), schema("User"), User=user).descriptor
    assert field(found, "User", "id").unset
    assert field(found, "User", "password").unset
    assert judge_elsewhere(found, document(schema("User"), schema("User"), User=user), "") == []
    told = imported(schema("User"), User=user).descriptor
    assert field(told, "User", "id").required
    assert field(told, "User", "password").unset
    sent = imported(TEXT, schema("User"), User=user).descriptor
    assert field(sent, "User", "id").unset
    assert field(sent, "User", "password").required


def test_a_struct_with_two_tags_is_in_no_union() -> None:
    cat, dog = object_of("sort", sort=TEXT), object_of("sort", sort=TEXT)
    kinds = {"cat": "Cat", "kitten": "Cat", "dog": "Dog"}
    pet = {
        "oneOf": [schema("Cat"), schema("Dog")],
        "discriminator": {"propertyName": "sort", "mapping": kinds},
    }
    with pytest.raises(ConfigurationError, match="one of them has two tags"):
        imported(schema("Pet"), Cat=cat, Dog=dog, Pet=pet)


def test_true_and_false_are_no_tags() -> None:
    forms = [object_of("is", **{"is": {"enum": [value]}}) for value in (True, False)]
    found = imported(object_of(form={"oneOf": forms}, name=TEXT))
    assert found.notes == (
        "AskAnswer.form is left out: it is one of several, and no member tells which",
    )


def test_members_of_one_form_alone_are_named_and_a_body_that_needs_them_is_left_out() -> None:
    note = "Some: what it has in one of several forms alone is left out"
    some = {
        "allOf": [
            object_of("a", a=TEXT),
            {"oneOf": [object_of("b", b=TEXT), object_of("c", c=TEXT)]},
        ]
    }
    assert imported(schema("Some"), Some=some).notes == (note,)
    with pytest.raises(ConfigurationError, match="its body needs a field of Some"):
        imported(TEXT, schema("Some"), Some=some)


def test_choices_that_only_tell_what_must_be_there_are_no_forms() -> None:
    body = {**object_of(a=TEXT, b=TEXT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    found = imported(TEXT, body)
    assert not found.notes
    assert field(found.descriptor, "AskBody", "a").unset


def test_names_that_a_method_has_already_are_given_to_no_other_parameter() -> None:
    slots = [
        {"name": name, "in": "path", "required": True, "schema": TEXT} for name in ("self", "body")
    ]
    found = imported(TEXT, object_of(a=TEXT), slots, path="/a/{self}/{body}")
    names = [each.name for each in found.descriptor.operation("ask").parameters]
    assert names == ["self_", "body", "body_2"]
    assert_written_as_it_is(found)
    queries = [{"name": name, "in": "query", "schema": TEXT} for name in ("self", "None")]
    assert len(imported(TEXT, None, queries).notes) == 2


@pytest.mark.parametrize("name", ["open", "close", "serviceName"])
def test_an_operation_has_no_name_of_what_every_service_does(name: str) -> None:
    asked = {"operationId": name, "responses": {"204": {}}}
    document = {"openapi": "3.1.0", "info": {"title": "X"}, "paths": {"/a": {"get": asked}}}
    assert_written_as_it_is(imported_openapi(document))


def test_a_type_has_another_name_than_the_contract() -> None:
    found = imported(schema("X"), X=object_of("a", a=TEXT))
    assert found.descriptor.operation("ask").result == RefShape(name="X_2")
    assert_written_as_it_is(found)


def test_limits_that_cannot_be_held_are_left_to_the_other_side() -> None:
    prices = object_of(
        "price",
        "short",
        price={"type": "number", "multipleOf": 0.01},
        short={**TEXT, "maxLength": -1},
        none={"type": "integer", "multipleOf": 0},
        never={"type": "integer", "minimum": 2, "maximum": 1},
    )
    ids = {"type": "array", "items": TEXT, "minItems": 1}
    query = [{"name": "ids", "in": "query", "required": True, "schema": ids}]
    found = imported(schema("Prices"), None, query, Prices=prices)
    assert field(found.descriptor, "Prices", "price").shape == FloatShape()
    assert found.notes == ("Prices.never is left out: its limits leave no value",)
    assert_written_as_it_is(found)


def test_a_value_that_an_enum_names_twice_is_one_member() -> None:
    found = imported(schema("Choice"), Choice={"type": "string", "enum": ["a", "a", "A"]})
    choice = found.descriptor.types["Choice"]
    assert isinstance(choice, EnumShape)
    assert [(each.name, each.value) for each in choice.members] == [("A", "a"), ("A_2", "A")]
    assert_written_as_it_is(found)
