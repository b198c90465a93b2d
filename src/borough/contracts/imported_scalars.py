"""Single values of other people's JSON Schemas as shapes.

Schemas say of a value what it must be, and nothing of what it means, so any text format that is not known
is text. A limit that cannot be held here is left to the other side, which looks anyway.
"""

from __future__ import annotations

import re
from typing import Any, cast

from borough.contracts.imported import Json, Unmappable
from borough.contracts.shapes import (
    BoolShape,
    BytesShape,
    DateShape,
    DateTimeShape,
    DecimalShape,
    FloatShape,
    IntShape,
    LiteralShape,
    OptionalShape,
    Shape,
    StrShape,
    UuidShape,
    is_inexact,
)

__all__ = ["length_limit", "literal_shape", "scalar_shape"]

_TEXTS: dict[str, Shape] = {
    "uuid": UuidShape(),
    "date-time": DateTimeShape(),
    "date": DateShape(),
    "byte": BytesShape(),
    "decimal": DecimalShape(),
}


def literal_shape(values: list[Any]) -> Shape:
    """The shape of one of these values. Raises `Unmappable`."""
    given = [value for value in values if value is not None]
    if set(map(type, given)) == {bool}:
        return BoolShape()
    if len(set(map(type, given))) != 1 or not isinstance(given[0], (str, int)):
        raise Unmappable(f"it is one of {', '.join(map(repr, values))}")
    shape = LiteralShape(values=tuple(sorted(set(given))))
    return shape if len(given) == len(values) else OptionalShape(item=shape)


def scalar_shape(schema: Json) -> Shape:
    """The shape of a text, a number, true or false. Raises `Unmappable` for any other schema."""
    kind = schema.get("type")
    if kind == "string":
        return _text(schema)
    if kind == "boolean":
        return BoolShape()
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    raise Unmappable("it may be anything" if kind is None else f"it is of the type {kind}")


def length_limit(schema: Json, word: str) -> int | None:
    """A limit of a length; none where it says nothing, as one below zero does."""
    limit = schema.get(word)
    said = isinstance(limit, (int, float)) and limit >= (0 if word.startswith("max") else 1)
    return int(cast("int", limit)) if said else None


def _text(schema: Json) -> Shape:
    form = "byte" if schema.get("contentEncoding") == "base64" else schema.get("format")
    known = _TEXTS.get(str(form))
    if known is not None:
        return known
    pattern = schema.get("pattern")
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError):
        pattern = None  # it is written for another engine, or none
    return StrShape(
        min_length=length_limit(schema, "minLength"),
        max_length=length_limit(schema, "maxLength"),
        pattern=pattern,
    )


def _number(schema: Json, *, whole: bool) -> Shape:
    limits: dict[str, Any] = {
        "ge": schema.get("minimum"),
        "le": schema.get("maximum"),
        "gt": schema.get("exclusiveMinimum"),
        "lt": schema.get("exclusiveMaximum"),
        "multiple_of": schema.get("multipleOf") or None,
    }
    for bound, strict in (("ge", "gt"), ("le", "lt")):  # OpenAPI 3.0 has a switch for it
        if limits[strict] is True:
            limits[strict], limits[bound] = limits[bound], None
        elif limits[strict] is False:
            limits[strict] = None
        elif limits[strict] is not None:
            limits[bound] = None
    if not whole:
        if limits["multiple_of"] is not None and is_inexact(limits["multiple_of"]):
            limits["multiple_of"] = None
        broken: Any = {n: None if v is None else float(v) for n, v in limits.items()}
        return FloatShape(**broken)
    fits = {n: v for n, v in limits.items() if v is not None and float(v).is_integer()}
    kept: Any = {n: int(v) for n, v in fits.items() if abs(v) < 2**63}
    return IntShape(**kept)
