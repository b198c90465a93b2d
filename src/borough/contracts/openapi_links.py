"""Which operation can follow which, as OpenAPI links: what an answer names, another path asks for.

A link is derived where a field of an answer, or of the first item of an array in it, has name and
type of a path parameter of another operation of the contract. The other slots of that path must
come from the same answer or from the path of the request; constraints are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from borough.contracts.descriptor import Descriptor, OperationDescriptor, ParameterDescriptor
from borough.contracts.json_schema import Schema
from borough.contracts.shapes import (
    ArrayShape,
    FieldShape,
    LiteralShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StructShape,
    TupleShape,
    UnionShape,
)

__all__ = ["links"]

Slots = Mapping[str, str]
"""The names that the slots of an operation's path have in the document, by parameter."""


def links(
    source: OperationDescriptor,
    descriptor: Descriptor,
    targets: Sequence[tuple[OperationDescriptor, Slots]],
    slots: Slots,
) -> dict[str, Schema]:
    """The links of a successful answer of `source`, by the name of the operation that they lead to.

    `targets` are the operations in the document; `slots` belong to the path of `source`.
    """
    if source.stream or source.result is None:
        return {}
    answered = dict(_answered(source.result, descriptor.types))
    asked = {parameter.name: parameter for parameter in _in_path(source)}
    found: dict[str, Schema] = {}
    for target, target_slots in targets:
        given: dict[str, str] = {}
        wanted = _in_path(target)
        for parameter in wanted:
            spot = answered.get(parameter.name)
            same = asked.get(parameter.name)
            name = target_slots.get(parameter.name, parameter.wire)
            if spot is not None and _same_type(spot[1], parameter.shape):
                given[f"path.{name}"] = f"$response.body#{spot[0]}"
            elif same is not None and _same_type(same.shape, parameter.shape):
                given[f"path.{name}"] = f"$request.path.{slots.get(same.name, same.wire)}"
        answers = any(value.startswith("$response") for value in given.values())
        if target.wire_name != source.wire_name and answers and len(given) == len(wanted):
            found[target.name] = {"operationId": target.wire_name, "parameters": given}
    return found


def _in_path(operation: OperationDescriptor) -> list[ParameterDescriptor]:
    return [parameter for parameter in operation.parameters if parameter.place == "path"]


def _answered(
    result: Shape, types: Mapping[str, NamedShape]
) -> Iterator[tuple[str, tuple[str, Shape]]]:
    """Names in an answer with JSON pointer and shape; the outer ones last, so that they win."""
    outer = list(_fields(result, types))
    for field in outer:
        if isinstance(field.shape, ArrayShape):
            for inner in _fields(field.shape.item, types):
                if _is_there(inner):
                    pointer = f"/{_escaped(field.wire)}/0/{_escaped(inner.wire)}"
                    yield inner.name, (pointer, inner.shape)
    for field in outer:
        if _is_there(field):
            yield field.name, (f"/{_escaped(field.wire)}", field.shape)


def _fields(shape: Shape, types: Mapping[str, NamedShape]) -> tuple[FieldShape, ...]:
    named = types.get(shape.name) if isinstance(shape, RefShape) else None
    return named.fields if isinstance(named, StructShape) else ()


def _is_there(field: FieldShape) -> bool:
    """Whether an answer always has a value there."""
    return not field.unset and not isinstance(field.shape, OptionalShape)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _same_type(one: Shape, other: Shape) -> bool:
    """Whether two shapes are one scalar type, whatever values they leave out."""
    if isinstance(one, RefShape) and isinstance(other, RefShape):
        return one.name == other.name
    if isinstance(one, LiteralShape) and isinstance(other, LiteralShape):
        return one.values == other.values
    nested = (RefShape, LiteralShape, ArrayShape, MapShape, TupleShape, UnionShape)
    return type(one) is type(other) and not isinstance(one, nested)
