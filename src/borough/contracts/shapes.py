"""Portable types as data: what travels, told without the code it was declared in.

A shape is a value: it compares, it is written as JSON and read back. Scalars, arrays, maps and
unions stand in place; structs and enums have a name and are referred to by it, so that types may
be recursive. `catalog.py` makes shapes of Python types; JSON Schema, protobuf and diffs read them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from msgspec import UNSET

from borough.contracts.struct import Struct

__all__ = [
    "ArrayShape",
    "BoolShape",
    "BytesShape",
    "DateShape",
    "DateTimeShape",
    "DecimalShape",
    "EnumMember",
    "EnumShape",
    "FieldShape",
    "FloatShape",
    "IntShape",
    "LiteralShape",
    "MapShape",
    "NamedShape",
    "OptionalShape",
    "RefShape",
    "Shape",
    "StrShape",
    "StructShape",
    "TupleShape",
    "UnionShape",
    "UuidShape",
    "height_of",
    "heights",
    "inner_shapes",
    "is_empty",
    "is_inexact",
    "names_used",
]


class _Described(Struct, omit_defaults=True, forbid_unknown_fields=True, tag_field="kind"):
    """What any shape may carry beside its meaning: `Meta(description=..., examples=[...])`."""

    doc: str = ""
    examples: tuple[Any, ...] = ()


class IntShape(_Described, tag="int"):
    """A whole number of 64 bits."""

    ge: int | None = None
    gt: int | None = None
    le: int | None = None
    lt: int | None = None
    multiple_of: int | None = None


class FloatShape(_Described, tag="float"):
    """A binary number of 64 bits."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    multiple_of: float | None = None


class StrShape(_Described, tag="str"):
    """Text; lengths count characters, `pattern` is searched for and not anchored."""

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


class BytesShape(_Described, tag="bytes"):
    """Bytes, as base64 in JSON; lengths count bytes."""

    min_length: int | None = None
    max_length: int | None = None


class BoolShape(_Described, tag="bool"):
    """True or false."""


class DecimalShape(_Described, tag="decimal"):
    """An exact decimal number, as a string in JSON."""


class UuidShape(_Described, tag="uuid"):
    """A UUID, as 36 characters."""


class DateTimeShape(_Described, tag="datetime"):
    """A point in time with its offset, RFC 3339."""


class DateShape(_Described, tag="date"):
    """A day, RFC 3339."""


class LiteralShape(_Described, tag="literal"):
    """One of these values, all text or all whole numbers, sorted."""

    values: tuple[str | int, ...]


class OptionalShape(_Described, tag="optional"):
    """Null, or the item."""

    item: Shape


class ArrayShape(_Described, tag="array"):
    """Any number of equal items."""

    item: Shape
    min_length: int | None = None
    max_length: int | None = None


class TupleShape(_Described, tag="tuple"):
    """A fixed number of items, each of its own shape."""

    items: tuple[Shape, ...]


class MapShape(_Described, tag="map"):
    """Values under text keys."""

    key: StrShape
    value: Shape
    min_length: int | None = None
    max_length: int | None = None


class RefShape(_Described, tag="ref"):
    """A struct or enum of the contract, by its name."""

    name: str


class UnionShape(_Described, tag="union"):
    """One of several structs; the member `tag_field` says which, by each struct's own tag."""

    tag_field: str
    members: tuple[str, ...]


Shape = (
    IntShape
    | FloatShape
    | StrShape
    | BytesShape
    | BoolShape
    | DecimalShape
    | UuidShape
    | DateTimeShape
    | DateShape
    | LiteralShape
    | OptionalShape
    | ArrayShape
    | TupleShape
    | MapShape
    | RefShape
    | UnionShape
)
"""Any shape that stands in place."""


class FieldShape(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A field of a struct.

    `name` is its name in code, `wire_name` in JSON (left out where equal). `required` says whether
    it must be given; `default` is the value taken when it is not. `unset`: being absent means
    something of its own. `key`: this field keeps an event's order.
    """

    name: str
    wire_name: str = ""
    shape: Shape
    required: bool = True
    default: Any = UNSET
    unset: bool = False
    key: bool = False

    @property
    def wire(self) -> str:
        """Its name in JSON."""
        return self.wire_name or self.name


class StructShape(_Described, tag="struct"):
    """A named value with fields. With a tag it says in `tag_field` which struct it is."""

    fields: tuple[FieldShape, ...]
    tag_field: str | None = None
    tag: str | int | None = None


class EnumMember(Struct, forbid_unknown_fields=True):
    """A member of an enum: its name in code, its value on the wire."""

    name: str
    value: str | int


class EnumShape(_Described, tag="enum"):
    """A named choice. `open`: more values may come, which readers see as UNKNOWN."""

    members: tuple[EnumMember, ...]
    open: bool = False


NamedShape = StructShape | EnumShape
"""A type that has a name in its contract."""


def inner_shapes(shape: Shape | NamedShape) -> tuple[Shape, ...]:
    """The shapes directly inside one; a reference is not followed."""
    match shape:
        case OptionalShape() | ArrayShape():
            return (shape.item,)
        case TupleShape():
            return shape.items
        case MapShape():
            return (shape.key, shape.value)
        case StructShape():
            return tuple(field.shape for field in shape.fields)
        case _:
            return ()


def _referred(shape: Shape | NamedShape) -> Iterator[str]:
    if isinstance(shape, RefShape):
        yield shape.name
    elif isinstance(shape, UnionShape):
        yield from shape.members
    for inner in inner_shapes(shape):
        yield from _referred(inner)


def names_used(shapes: Mapping[str, NamedShape], *roots: Shape) -> set[str]:
    """The names of all types that values of `roots` can contain, also of those that are missing."""
    found: set[str] = set()
    waiting = [name for root in roots for name in _referred(root)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name in shapes:
                waiting.extend(_referred(shapes[name]))
    return found


def height_of(shape: Shape, heights: Mapping[str, float]) -> float:
    """How many structs a smallest value nests; infinite where it would never end."""
    match shape:
        case RefShape():
            return heights[shape.name]
        case UnionShape():
            return min(heights[name] for name in shape.members)
        case ArrayShape() if shape.min_length:
            return height_of(shape.item, heights)
        case MapShape() if shape.min_length:
            return height_of(shape.value, heights)
        case TupleShape():
            return max((height_of(item, heights) for item in shape.items), default=0)
        case _:
            return 0


def heights(types: Mapping[str, NamedShape]) -> dict[str, float]:
    """The height of each named type; those that never come down stay infinite."""
    found = dict.fromkeys(types, math.inf)
    changed = True
    while changed:
        changed = False
        for name, named in types.items():
            if isinstance(named, EnumShape):
                height = 0.0
            else:
                needed = [height_of(f.shape, found) for f in named.fields if f.required]
                height = 1 + max(needed, default=0)
            if height < found[name]:
                found[name], changed = height, True
    return found


def is_empty(shape: Shape) -> bool:
    """Whether its limits leave no value at all, as far as they tell by themselves."""
    least, most = (getattr(shape, name, None) for name in ("min_length", "max_length"))
    if least is not None and most is not None and least > most:
        return True
    if not isinstance(shape, (IntShape, FloatShape)):
        return False
    step = 1 if isinstance(shape, IntShape) else 0  # to the next whole number
    lows = [shape.ge, None if shape.gt is None else shape.gt + step]
    highs = [shape.le, None if shape.lt is None else shape.lt - step]
    low = max((each for each in lows if each is not None), default=None)
    high = min((each for each in highs if each is not None), default=None)
    if low is None or high is None:
        return False
    is_open = not step and (shape.gt == low or shape.lt == high)
    return low > high or (low == high and is_open)


def is_inexact(multiple: float) -> bool:
    """Whether the binary number is only near the one that was written, as of 0.01 and not of 0.25.

    Then most of what was written as a multiple of it is none.
    """
    return Decimal(repr(multiple)) != Decimal(multiple)
