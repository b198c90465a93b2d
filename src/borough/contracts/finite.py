"""Numbers that no other language reads: NaN, infinity, and decimals without an end; and instants that are none.

`find_endless(type)` compiles a look at values of a type. It returns the first such number as
(sentence, JSON pointer), or None. A type without float and Decimal has no look and costs nothing.
Every boundary asks it, so that local, honest and remote calls refuse the same values. Of what is sent,
`find_unfit(type)` asks for instants, too: those without a time zone, those whose offset cannot be written
(a zone's time before there were zones), and those that UTC has not, where year 1 has a first hour.
Where nothing is written, `exact` asks for what stands in place of a float, too: a type checker lets a whole number
pass for one, and numbers of other libraries, of which a wire makes floats, or which it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, cast

import msgspec
from msgspec import inspect as shape

from borough.contracts.portable import struct_class, type_shape
from borough.errors import InvalidRequest

__all__ = [
    "EXPONENT_LIMIT",
    "LENGTH_LIMIT",
    "NO_FLOAT",
    "Look",
    "find_endless",
    "find_unfit",
    "refuse_endless",
]

EXPONENT_LIMIT = 6144
"""The largest exponent of a decimal, up and down: that of IEEE 754 decimal128."""

LENGTH_LIMIT = 6144
"""How many characters a decimal has at most as it is written; whatever its exponent, PostgreSQL can hold it."""

NO_FLOAT = "not a float"
"""What an exact look says of something that is no refusal yet: made a float, it may be right."""

Look = Callable[[Any], "tuple[str, str] | None"]
_NOT_FINITE = "not a finite number", ""
_TOO_WIDE = f"the exponent is beyond {EXPONENT_LIMIT}", ""
_TOO_LONG = f"it is written with more than {LENGTH_LIMIT} characters", ""
_NOT_IN_UTC = "no time in UTC, which has the years 1 to 9999", ""
_WITHOUT_ZONE = "a datetime without a time zone", ""
_WITHOUT_OFFSET = "a datetime whose time zone does not tell its offset", ""
_SECONDS_OFF = "its offset has seconds, which RFC 3339 cannot write; convert it to UTC", ""
_IN_PLACE_OF_FLOAT = NO_FLOAT, ""
_MINUTE = timedelta(minutes=1)
_Known = dict[Any, "list[Look | None]"]
_Leaves = Mapping[type[shape.Type], Look]


def find_endless(kind: Any, *, exact: bool = False) -> Look | None:
    """The look for a type, None where no value of it can hold such a number."""
    return _found(kind, _NUMBERS, exact)


def find_unfit(kind: Any, *, exact: bool = False) -> Look | None:
    """The look for the type of what is sent: for such numbers, and for instants that are none."""
    return _found(kind, _NUMBERS_AND_INSTANTS, exact)


def _found(kind: Any, leaves: _Leaves, exact: bool) -> Look | None:
    found = type_shape(kind)
    if exact:
        leaves = {**leaves, shape.FloatType: _float_itself}
    return _compile(found, leaves, {}) if _holds_any(found, leaves, set()) else None


def refuse_endless(name: str, look: Look, value: Any) -> None:
    """Raise `InvalidRequest` where an argument holds what its look is for."""
    endless = look(value)
    if endless is not None:
        message, pointer = endless
        raise InvalidRequest(
            f"{name} does not fit: {message} at #{pointer}",
            errors=[{"detail": message, "pointer": f"#{pointer}", "parameter": name}],
        )


def _holds_any(found: shape.Type, leaves: _Leaves, seen: set[Any]) -> bool:
    """Whether one of `leaves` stands anywhere below; asked first, as types may hold themselves."""
    while isinstance(found, shape.Metadata):
        found = found.type
    if type(found) in leaves:
        return True
    if isinstance(found, shape.StructType):
        if found.cls in seen:
            return False
        seen.add(found.cls)
        return any(_holds_any(field.type, leaves, seen) for field in found.fields)
    if isinstance(found, (shape.ListType, shape.VarTupleType)):
        return _holds_any(found.item_type, leaves, seen)
    if isinstance(found, shape.TupleType):
        return any(_holds_any(part, leaves, seen) for part in found.item_types)
    if isinstance(found, shape.DictType):
        return _holds_any(found.value_type, leaves, seen)
    if isinstance(found, shape.UnionType):
        return any(_holds_any(member, leaves, seen) for member in found.types)
    return False


def _compile(found: shape.Type, leaves: _Leaves, known: _Known) -> Look | None:
    while isinstance(found, shape.Metadata):
        found = found.type
    if (leaf := leaves.get(type(found))) is not None:
        return leaf
    if isinstance(found, shape.StructType):
        return _struct(found, leaves, known) if _holds_any(found, leaves, set()) else None
    if isinstance(found, (shape.ListType, shape.VarTupleType)):
        item = _compile(found.item_type, leaves, known)
        return None if item is None else _items(item)
    if isinstance(found, shape.TupleType):
        parts = [_compile(part, leaves, known) for part in found.item_types]
        return _parts(parts) if any(parts) else None
    if isinstance(found, shape.DictType):
        value = _compile(found.value_type, leaves, known)
        return None if value is None else _values(value)
    if isinstance(found, shape.UnionType):
        looks = [look for look in (_compile(each, leaves, known) for each in found.types) if look]
        return looks[0] if len(looks) == 1 else _any_of(looks)
    return None


def _float(value: Any) -> tuple[str, str] | None:
    return _NOT_FINITE if isinstance(value, float) and not isfinite(value) else None


def _float_itself(value: Any) -> tuple[str, str] | None:
    if type(value) is float:
        return None if isfinite(value) else _NOT_FINITE
    return None if value is None or value is msgspec.UNSET else _IN_PLACE_OF_FLOAT


def _decimal(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, Decimal):
        return None
    if not value.is_finite():
        return _NOT_FINITE
    if not -EXPONENT_LIMIT <= value.adjusted() <= EXPONENT_LIMIT:
        return _TOO_WIDE
    return None if len(str(value)) <= LENGTH_LIMIT else _TOO_LONG


def _instant(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, datetime) or value.tzinfo is UTC:
        return None
    try:
        offset = value.utcoffset()
    except Exception:  # of a zone or a class of its own
        return _WITHOUT_OFFSET
    if offset is None:  # whatever the type says: no type checker tells the two apart
        return _WITHOUT_ZONE
    if offset % _MINUTE:
        return _SECONDS_OFF
    if 1 < value.year < 9999:
        return None
    try:
        value.astimezone(UTC)
    except (OverflowError, ValueError):
        return _NOT_IN_UTC
    return None


_NUMBERS: _Leaves = {shape.FloatType: _float, shape.DecimalType: _decimal}
_NUMBERS_AND_INSTANTS: _Leaves = {**_NUMBERS, shape.DateTimeType: _instant}


def _struct(found: shape.StructType, leaves: _Leaves, known: _Known) -> Look:
    if found.cls in known:
        slot = known[found.cls]
        return lambda value: slot[0](value) if slot[0] is not None else None
    slot = known[found.cls] = [None]
    cls = struct_class(found)
    looks = [
        (field.name, field.encode_name, look)
        for field in found.fields
        if (look := _compile(field.type, leaves, known)) is not None
    ]

    def check(value: Any) -> tuple[str, str] | None:
        if not isinstance(value, cls):
            return None
        for name, key, look in looks:
            endless = look(getattr(value, name))
            if endless is not None:
                return endless[0], f"/{_escaped(key)}{endless[1]}"
        return None

    slot[0] = check
    return check


def _items(item: Look) -> Look:
    def check(value: Any) -> tuple[str, str] | None:
        if isinstance(value, (tuple, list)):
            for index, element in enumerate(cast("list[Any]", value)):
                endless = item(element)
                if endless is not None:
                    return endless[0], f"/{index}{endless[1]}"
        return None

    return check


def _parts(parts: list[Look | None]) -> Look:
    def check(value: Any) -> tuple[str, str] | None:
        if value.__class__ is tuple:
            for index, (element, look) in enumerate(zip(value, parts, strict=False)):
                endless = look(element) if look is not None else None
                if endless is not None:
                    return endless[0], f"/{index}{endless[1]}"
        return None

    return check


def _values(item: Look) -> Look:
    def check(value: Any) -> tuple[str, str] | None:
        if isinstance(value, Mapping):
            for key, element in cast("Mapping[str, Any]", value).items():
                endless = item(element)
                if endless is not None:
                    return endless[0], f"/{_escaped(key)}{endless[1]}"
        return None

    return check


def _any_of(looks: list[Look]) -> Look:
    """Each look knows the values that are its own, and passes over the others."""

    def check(value: Any) -> tuple[str, str] | None:
        for look in looks:
            endless = look(value)
            if endless is not None:
                return endless
        return None

    return check


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
