"""Examples made from shapes: declared ones where there are any, else values that fit, by a seed.

The same shape and seed give the same example on every machine and in every version of Python, for
each choice is read from a hash of the seed and of the place where it is made.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from borough.contracts.descriptor import (
    Descriptor,
    EventDescriptor,
    OperationDescriptor,
    ProblemDescriptor,
)
from borough.contracts.fit import misfit
from borough.contracts.patterns import is_quick, only_writes, text_for
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
    TupleShape,
    UnionShape,
    UuidShape,
    height_of,
    heights,
)

__all__ = [
    "NoExample",
    "example_arguments",
    "example_event",
    "example_of",
    "example_problem",
    "example_result",
]

Types = Mapping[str, NamedShape]

_DEEP = 3
"""Structs inside structs beyond this depth are kept as small as they may be."""
_TRIES = 40
_MOST_VALUES = 10_000
_LONGEST = 64 * 1024
"""What an example may have at most: a descriptor of somebody else's may ask for billions."""


class NoExample(ValueError):
    """No value could be found. `Meta(examples=[...])` on the field is the way out."""


def example_of(shape: Shape, types: Types, seed: int = 0) -> Any:
    """A JSON value that fits the shape. Raises `NoExample` where none is found."""
    return _Maker(types, seed).make(shape, "")


def example_arguments(
    operation: OperationDescriptor, descriptor: Descriptor, seed: int = 0
) -> dict[str, Any]:
    """A JSON value for each parameter, by its name in code; those of `example=` come first."""
    maker = _Maker(descriptor.types, seed)
    return {
        parameter.name: operation.example[parameter.name]
        if parameter.name in operation.example
        else maker.make(parameter.shape, parameter.name)
        for parameter in operation.parameters
    }


def example_result(operation: OperationDescriptor, descriptor: Descriptor, seed: int = 0) -> Any:
    """An answer, of a stream an item: `example={"return": ...}`, else a generated one."""
    if operation.result is None:
        return None
    if "return" in operation.example:
        return operation.example["return"]
    return _Maker(descriptor.types, seed).make(operation.result, "")


def example_event(event: EventDescriptor, descriptor: Descriptor, seed: int = 0) -> Any:
    """The data of an event."""
    return _Maker(descriptor.types, seed).make(RefShape(name=event.type), "")


def example_problem(
    problem: ProblemDescriptor, descriptor: Descriptor, seed: int = 0
) -> dict[str, Any]:
    """A whole problem document (RFC 9457)."""
    fields = _Maker(descriptor.types, seed).make(RefShape(name=problem.type), "")
    head = {
        "type": f"urn:borough:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.title,
        "code": problem.code,
    }
    return {**head, **fields}


class _Maker:
    """Makes values of one contract's types for one seed."""

    def __init__(self, types: Types, seed: int) -> None:
        self.types = types
        self.seed = seed
        self.depth = 0
        self._made = 0
        self._heights: dict[str, float] | None = None

    def _draw(self, at: str, count: int) -> int:
        """A number from 0 up to and without `count`, which this place always gets."""
        return int.from_bytes(self._bytes(at, 8), "big") % max(count, 1)

    def _bytes(self, at: str, length: int) -> bytes:
        found = b""
        while len(found) < length:
            found += hashlib.sha256(f"{self.seed}/{len(found)}{at}".encode()).digest()
        return found[:length]

    def make(self, shape: Shape, at: str) -> Any:
        """A value for a shape; `at` is the place, and a hint for texts."""
        self._made += 1
        if self._made > _MOST_VALUES:
            raise NoExample(f"an example would have more than {_MOST_VALUES} values")
        if shape.examples:
            return shape.examples[self._draw(at, len(shape.examples))]
        match shape:
            case OptionalShape():
                deep = self.depth > _DEEP or math.isinf(self._height(shape.item))
                return None if deep else self.make(shape.item, at)
            case RefShape():
                return self._named(shape.name, at)
            case UnionShape():
                return self._named(self._member(shape, at), at)
            case ArrayShape():
                count = self._count(shape, at)
                return [self.make(shape.item, f"{at}/{index}") for index in range(count)]
            case TupleShape():
                return [self.make(part, f"{at}/{index}") for index, part in enumerate(shape.items)]
            case MapShape():
                return self._map(shape, at)
            case _:
                return self._scalar(shape, at)

    def _scalar(self, shape: Shape, place: str) -> Any:
        # Only the field's name and the indices count, so that an `order_id` is the same everywhere.
        steps = place.split("/")
        at = "/".join([*filter(str.isdigit, steps[:-1]), steps[-1]])
        if at.isdigit() or ("/" in at and steps[-1].isdigit()):
            words = [step for step in steps if step and not step.isdigit()]
            at = "/".join([*words[-1:], at])
        for attempt in range(_TRIES):
            try:
                value = self._guess(shape, f"{at}#{attempt}" if attempt else at, attempt)
                if misfit(value, self._tried(shape, value), self.types) is None:
                    return value
            except NoExample:
                raise
            except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
                raise NoExample(f"{shape} has limits that no type has: {error}") from None
        raise NoExample(f"no example was found for {place or 'the value'}: {shape}")

    @staticmethod
    def _tried(shape: Shape, value: Any) -> Shape:
        """What the value is held against: a pattern that may take years is believed its writer."""
        if not isinstance(shape, StrShape) or shape.pattern is None:
            return shape
        if is_quick(shape.pattern, value):
            return shape
        if not only_writes(shape.pattern):
            remedy = "give one by Meta(examples=[...])"
            raise NoExample(f"the pattern {shape.pattern!r} looks ahead or back; {remedy}")
        return msgspec.structs.replace(shape, pattern=None)

    def _guess(self, shape: Shape, at: str, attempt: int) -> Any:
        match shape:
            case IntShape():
                return self._int(shape, at)
            case FloatShape():
                return self._float(shape, at)
            case StrShape():
                return self._str(shape, at, attempt)
            case BytesShape():
                low = _length(shape.min_length)
                high = shape.max_length if shape.max_length is not None else max(low, 12)
                return base64.b64encode(self._bytes(at, min(high, max(low, 12)))).decode()
            case BoolShape():
                return bool(self._draw(at, 2))
            case DecimalShape():
                return f"{self._draw(at, 200)}.{self._draw(at + '.', 100):02}"
            case UuidShape():
                raw = self._bytes(at, 16).hex()
                return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"
            case DateTimeShape():
                start = datetime(2026, 1, 1, 8, tzinfo=UTC)
                moment = start + timedelta(minutes=self._draw(at, 500_000))
                return moment.isoformat().replace("+00:00", "Z")
            case DateShape():
                return (date(2026, 1, 1) + timedelta(days=self._draw(at, 365))).isoformat()
            case LiteralShape():
                return shape.values[self._draw(at, len(shape.values))]
            case _:
                raise NoExample(f"no example for {shape}")

    def _int(self, shape: IntShape, at: str) -> int:
        low = max(-(2**63) if shape.ge is None else shape.ge, _after(shape.gt, 1, -(2**63)))
        high = min(2**63 - 1 if shape.le is None else shape.le, _after(shape.lt, -1, 2**63 - 1))
        unbounded = low == -(2**63)
        if unbounded:
            low = 1 if high >= 100 else max(low, high - 100)
        step = shape.multiple_of or 1
        first = -(-low // step) * step
        if first > high and unbounded:
            first = high // step * step
        return first + step * self._draw(at, min((high - first) // step + 1, 100))

    def _float(self, shape: FloatShape, at: str) -> float:
        low = max(-math.inf if v is None else v for v in (shape.ge, shape.gt))
        high = min(math.inf if v is None else v for v in (shape.le, shape.lt))
        if math.isinf(low):
            low = 0.0 if high > 0 else high - 100
        high = min(high, low + 100)
        if shape.multiple_of is not None:
            first = math.ceil(low / shape.multiple_of)
            count = math.floor(high / shape.multiple_of) - first + 1
            return (first + self._draw(at, max(1, min(count, 100)))) * shape.multiple_of
        share = (self._draw(at, 998) + 1) / 1000
        rough = round(low + (high - low) * share, 2)
        return rough if low < rough < high else low + (high - low) * share

    def _str(self, shape: StrShape, at: str, attempt: int) -> str:
        low, high = _length(shape.min_length), shape.max_length
        if shape.pattern is not None:
            turns = itertools.count()
            try:
                text = text_for(
                    shape.pattern,
                    lambda count: self._draw(f"{at}~{next(turns)}", count),
                    2 + attempt * 2 + (low if attempt else 0),
                )
            except ValueError as error:
                remedy = "give one by Meta(examples=[...])"
                message = f"no text for the pattern {shape.pattern!r}: {error}; {remedy}"
                raise NoExample(message) from None
            is_longer = attempt % 2 and is_quick(shape.pattern, text)
            return text + "x" * (low - len(text) if is_longer else 0)
        words = [word for word in at.partition("#")[0].split("/") if word and not word.isdigit()]
        text = f"{words[-1] if words else 'text'}-{self._draw(at, 0xFFF):03x}"
        if len(text) < low:
            text += self._bytes(at, low).hex()[: low - len(text)]
        return text if high is None or len(text) <= high else text[len(text) - high :]

    def _count(self, shape: ArrayShape | MapShape, at: str) -> int:
        low = shape.min_length or 0
        item = shape.item if isinstance(shape, ArrayShape) else shape.value
        if self.depth > _DEEP or math.isinf(self._height(item)):
            return low
        wanted = max(low, 1 + self._draw(at + "*", 2))
        return wanted if shape.max_length is None else min(wanted, shape.max_length)

    def _map(self, shape: MapShape, at: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        count = self._count(shape, at)
        for index in range(count + _TRIES):
            if len(found) >= count:
                return found
            key = self.make(shape.key, f"{at}/{index}")
            found[key] = self.make(shape.value, f"{at}/{index}")
        raise NoExample(f"not enough different keys for {at or 'the map'}")

    def _member(self, shape: UnionShape, at: str) -> str:
        finite = [name for name in shape.members if not math.isinf(self._named_height(name))]
        if not finite:
            raise NoExample(f"no member of {shape.members} has an end")
        if self.depth > _DEEP:
            return min(finite, key=self._named_height)
        return finite[self._draw(at, len(finite))]

    def _named(self, name: str, at: str) -> Any:
        named = self.types[name]
        if isinstance(named, EnumShape):
            values = [m.value for m in named.members if not named.open or m.name != "UNKNOWN"]
            values = values or [member.value for member in named.members]
            return values[self._draw(at, len(values))]
        if math.isinf(self._named_height(name)):
            raise NoExample(f"{name} contains itself without end")
        value: dict[str, Any] = {}
        if named.tag_field is not None:
            value[named.tag_field] = named.tag
        self.depth += 1
        try:
            for field in named.fields:
                if field.required or (
                    self.depth <= _DEEP and not math.isinf(self._height(field.shape))
                ):
                    value[field.wire] = self.make(field.shape, f"{at}/{field.wire}")
        finally:
            self.depth -= 1
        return value

    def _named_height(self, name: str) -> float:
        return self._height(RefShape(name=name))

    def _height(self, shape: Shape) -> float:
        """How many structs a smallest value nests; infinite where it would never end."""
        if self._heights is None:
            self._heights = heights(self.types)
        return height_of(shape, self._heights)


def _after(limit: int | None, step: int, otherwise: int) -> int:
    return otherwise if limit is None else limit + step


def _length(least: int | None) -> int:
    if (least or 0) > _LONGEST:
        raise NoExample(f"an example would be longer than {_LONGEST}")
    return least or 0
