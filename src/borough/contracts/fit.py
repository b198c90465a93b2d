"""Whether a JSON value fits a shape, judged by data alone.

Scalars are judged by the decoder that reads them on the wire, so that the two cannot differ.
Unknown fields fit, as they do for every reader but the edge.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeGuard
from uuid import UUID

import msgspec

from borough.contracts.patterns import is_quick
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
    BytesShape,
    DateShape,
    DateTimeShape,
    DecimalShape,
    EnumShape,
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

__all__ = ["Misfit", "misfit"]

_PYTHON: dict[type[Any], Any] = {
    IntShape: int,
    FloatShape: float,
    StrShape: str,
    BytesShape: bytes,
    BoolShape: bool,
    DecimalShape: Decimal,
    UuidShape: UUID,
    DateTimeShape: Annotated[datetime, msgspec.Meta(tz=True)],
    DateShape: date,
}


class Misfit(msgspec.Struct, frozen=True):
    """Where a value does not fit (JSON pointer, empty at the root), and why."""

    pointer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} at {self.pointer}" if self.pointer else self.reason


def misfit(
    value: Any, shape: Shape, types: Mapping[str, NamedShape], *, is_own: bool = True
) -> Misfit | None:
    """The first place where a JSON value does not fit a shape, None where it fits.

    Of somebody else's patterns (not `is_own`) those are passed over that may take years to be searched for.
    """
    return _Looker(types, is_own).look(value, shape, "")


class _Looker:
    """Looks at one value; every part of it by the same types."""

    __slots__ = ("_is_own", "_types")

    def __init__(self, types: Mapping[str, NamedShape], is_own: bool) -> None:
        self._types = types
        self._is_own = is_own

    def look(self, value: Any, shape: Shape, at: str) -> Misfit | None:
        """The first misfit at or below a place."""
        match shape:
            case OptionalShape():
                return None if value is None else self.look(value, shape.item, at)
            case RefShape():
                return self._named(value, self._types[shape.name], at)
            case UnionShape():
                return self._union(value, shape, at)
            case ArrayShape():
                if not _is_array(value):
                    return Misfit(at, f"Expected `array`, got `{_kind(value)}`")
                parts = [(str(i), item, shape.item) for i, item in enumerate(value)]
                return _length(len(value), shape, at) or self._parts(parts, at)
            case TupleShape():
                if not _is_array(value) or len(value) != len(shape.items):
                    return Misfit(at, f"Expected `array` of length {len(shape.items)}")
                pairs = enumerate(zip(value, shape.items, strict=True))
                return self._parts([(str(i), item, part) for i, (item, part) in pairs], at)
            case MapShape():
                if not _is_object(value):
                    return Misfit(at, f"Expected `object`, got `{_kind(value)}`")
                keys = [(key, key, shape.key) for key in value]
                values = [(key, item, shape.value) for key, item in value.items()]
                return _length(len(value), shape, at) or self._parts([*keys, *values], at)
            case LiteralShape():
                # Without values it stands for a type in which a fault was noted: nothing more to say.
                if not shape.values or any(_same(value, known) for known in shape.values):
                    return None
                return Misfit(at, f"Invalid value {value!r}")
            case StrShape(pattern=str(pattern)) if not (
                self._is_own or is_quick(pattern, str(value))
            ):
                return _scalar(value, msgspec.structs.replace(shape, pattern=None), at)
            case _:
                return _scalar(value, shape, at)

    def _parts(self, parts: list[tuple[str, Any, Shape]], at: str) -> Misfit | None:
        for step, value, shape in parts:
            place = f"{at}/{step.replace('~', '~0').replace('/', '~1')}"
            found = self.look(value, shape, place)
            if found is not None:
                return found
        return None

    def _named(self, value: Any, named: NamedShape, at: str) -> Misfit | None:
        if isinstance(named, EnumShape):
            values = [member.value for member in named.members]
            if any(_same(value, known) for known in values):
                return None
            if named.open and values and type(value) is type(values[0]):
                return None
            return Misfit(at, f"Invalid enum value {value!r}")
        return self._struct(value, named, at)

    def _struct(self, value: Any, struct: StructShape, at: str) -> Misfit | None:
        if not _is_object(value):
            return Misfit(at, f"Expected `object`, got `{_kind(value)}`")
        tag_field = struct.tag_field
        if tag_field is not None and tag_field in value and not _same(value[tag_field], struct.tag):
            return Misfit(f"{at}/{tag_field}", f"Invalid value {value[tag_field]!r}")
        for field in struct.fields:
            if field.required and field.wire not in value:
                return Misfit(at, f"Object missing required field `{field.wire}`")
        given = [field for field in struct.fields if field.wire in value]
        return self._parts([(f.wire, value[f.wire], f.shape) for f in given], at)

    def _union(self, value: Any, shape: UnionShape, at: str) -> Misfit | None:
        if not _is_object(value):
            return Misfit(at, f"Expected `object`, got `{_kind(value)}`")
        if shape.tag_field not in value:
            return Misfit(at, f"Object missing required field `{shape.tag_field}`")
        tag = value[shape.tag_field]
        for name in shape.members:
            member = self._types[name]
            if isinstance(member, StructShape) and _same(tag, member.tag):
                return self._struct(value, member, at)
        return Misfit(f"{at}/{shape.tag_field}", f"Invalid value {tag!r}")


def _length(length: int, shape: ArrayShape | MapShape, at: str) -> Misfit | None:
    if shape.min_length is not None and length < shape.min_length:
        return Misfit(at, f"Expected length >= {shape.min_length}")
    if shape.max_length is not None and length > shape.max_length:
        return Misfit(at, f"Expected length <= {shape.max_length}")
    return None


def _same(value: Any, known: Any) -> bool:
    """Equal and of one type: 1 is not True."""
    return type(value) is type(known) and bool(value == known)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return "object" if _is_object(value) else "array" if _is_array(value) else type(value).__name__


def _scalar(value: Any, shape: Shape, at: str) -> Misfit | None:
    limits = {
        name: limit
        for name in shape.__struct_fields__
        if name not in ("doc", "examples") and (limit := getattr(shape, name)) is not None
    }
    try:
        msgspec.convert(value, _python_type(type(shape), tuple(limits.items())))
    except msgspec.ValidationError as error:
        return Misfit(at, str(error))
    if isinstance(shape, IntShape) and not -(2**63) <= value < 2**63:
        return Misfit(at, "The integer is beyond 64 bits")
    return None


@functools.lru_cache(maxsize=256)
def _python_type(kind: type[Any], limits: tuple[tuple[str, Any], ...]) -> Any:
    python = _PYTHON[kind]
    return Annotated[python, msgspec.Meta(**dict(limits))] if limits else python
