"""Shapes as JSON Schema 2020-12.

A schema says what readers do: they ignore members they do not know, so objects are open. The edge
alone refuses unknown members of a request; for that a struct can be written `closed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from borough.contracts.patterns import for_everyone
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
    BytesShape,
    DateShape,
    DateTimeShape,
    DecimalShape,
    EnumShape,
    FieldShape,
    FloatShape,
    IntShape,
    LiteralShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    TupleShape,
    UnionShape,
    UuidShape,
)

__all__ = ["Refer", "Schema", "named_schema", "schema_of", "struct_schema"]

Schema = dict[str, Any]
Refer = Callable[[str], str]
"""The URI under which a named type stands."""

_SCALARS: dict[type[Any], Schema] = {
    IntShape: {"type": "integer", "format": "int64"},
    FloatShape: {"type": "number", "format": "double"},
    StrShape: {"type": "string"},
    BytesShape: {"type": "string", "contentEncoding": "base64"},
    BoolShape: {"type": "boolean"},
    DecimalShape: {"type": "string", "format": "decimal"},
    UuidShape: {"type": "string", "format": "uuid"},
    DateTimeShape: {"type": "string", "format": "date-time"},
    DateShape: {"type": "string", "format": "date"},
}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
}


def schema_of(shape: Shape, refer: Refer) -> Schema:
    """The schema of a shape in place."""
    schema = _meaning(shape, refer)
    if shape.doc:
        schema["description"] = shape.doc
    if shape.examples:
        schema["examples"] = list(shape.examples)
    return schema


def _meaning(shape: Shape, refer: Refer) -> Schema:
    match shape:
        case OptionalShape():
            return _optional(schema_of(shape.item, refer))
        case RefShape():
            return {"$ref": refer(shape.name)}
        case UnionShape():
            return {"oneOf": [{"$ref": refer(name)} for name in shape.members]}
        case ArrayShape():
            lengths = _lengths(shape, "Items")
            return {"type": "array", "items": schema_of(shape.item, refer), **lengths}
        case TupleShape():
            parts = [schema_of(item, refer) for item in shape.items]
            fixed: Schema = {"type": "array", "minItems": len(parts), "maxItems": len(parts)}
            return {**fixed, "prefixItems": parts} if parts else fixed
        case MapShape():
            return _map(shape, refer)
        case LiteralShape():
            return _choice(list(shape.values))
        case _:
            return _scalar(shape)


def _scalar(shape: Shape) -> Schema:
    schema = dict(_SCALARS[type(shape)])
    for name, keyword in _LIMITS.items():
        limit = getattr(shape, name, None)
        if limit is not None:
            schema[keyword] = limit
    if isinstance(shape, BytesShape):
        for keyword in schema.keys() & {"minLength", "maxLength"}:
            schema[keyword] = -(-schema[keyword] // 3) * 4  # base64: three bytes, four characters
    if "pattern" in schema:
        pattern = for_everyone(schema.pop("pattern"))
        if pattern is not None:  # else the document says less than holds, and nothing wrong
            schema["pattern"] = pattern
    return schema


def _lengths(shape: ArrayShape | MapShape, what: str) -> Schema:
    limits = {f"min{what}": shape.min_length, f"max{what}": shape.max_length}
    return {keyword: limit for keyword, limit in limits.items() if limit is not None}


def _optional(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str) and "enum" not in schema and "const" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _map(shape: MapShape, refer: Refer) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": schema_of(shape.value, refer)}
    key = schema_of(shape.key, refer)
    if key != {"type": "string"}:
        schema["propertyNames"] = key
    return {**schema, **_lengths(shape, "Properties")}


def _choice(values: list[str | int]) -> Schema:
    kind = "string" if values and isinstance(values[0], str) else "integer"
    return (
        {"type": kind, "const": values[0]} if len(values) == 1 else {"type": kind, "enum": values}
    )


def named_schema(name: str, named: NamedShape, refer: Refer, *, closed: bool = False) -> Schema:
    """The schema of a named type; `closed`: as the edge reads it in a request."""
    head: Schema = {"title": name}
    if named.doc:
        head["description"] = named.doc
    if isinstance(named, EnumShape):
        return {**head, **_enum(named)}
    return {**head, **struct_schema(named, refer, closed=closed)}


def _enum(enum: EnumShape) -> Schema:
    choice = _choice([member.value for member in enum.members])
    if not enum.open:
        return choice
    # A reader must expect more values than are known today.
    return {"anyOf": [choice, {"type": choice["type"]}]}


def struct_schema(struct: StructShape, refer: Refer, *, closed: bool = False) -> Schema:
    """The object of a struct, without its title."""
    properties: dict[str, Schema] = {}
    required: list[str] = []
    if struct.tag_field is not None:
        properties[struct.tag_field] = {"const": struct.tag}
        required.append(struct.tag_field)
    for field in struct.fields:
        properties[field.wire] = _property(field, refer)
        if field.required:
            required.append(field.wire)
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if closed:
        schema["additionalProperties"] = False
    return schema


def _property(field: FieldShape, refer: Refer) -> Schema:
    schema = schema_of(field.shape, refer)
    return schema if field.default is UNSET else {**schema, "default": field.default}
