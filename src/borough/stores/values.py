"""How values of the portable types are stored as text or number, for SQLite and for columns of text.

bool 0/1; datetime text in UTC, always `2025-01-31T12:00:00.000000Z`, so that it sorts; date ISO
text; Decimal text as written, sorted by `collate decimal`; UUID text; an enum's value; struct,
tuple, list and mapping JSON text. What would change its meaning (NaN, a naive time) is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from borough.errors import StoreError

__all__ = ["check_floats", "compare_decimals", "store_value"]

_ENCODE = msgspec.json.Encoder(decimal_format="string", order="deterministic").encode


def store_value(_cursor: object, number: int, value: object) -> str | int | float | bytes | None:
    """What SQLite gets for a value that it does not know; called by apsw for those only."""
    store = _STORED.get(type(value))
    if store is not None:
        return store(value)
    if isinstance(value, Enum):
        inner = value.value
        return inner if isinstance(inner, (str, int)) else store_value(_cursor, number, inner)
    if isinstance(value, (msgspec.Struct, list, tuple, Mapping, set, frozenset)):
        return _ENCODE(value).decode()
    for kind, store in _STORED.items():
        if isinstance(value, kind):
            return store(value)
    raise StoreError(
        f"${number}: a {type(value).__name__} cannot be stored; the portable types are int, float, "
        f"str, bool, bytes, Decimal, UUID, datetime, date, enum, Struct, tuple, list and mapping"
    )


def check_floats(values: Sequence[Any]) -> None:
    """Refuse NaN, which SQLite would store as null."""
    for number, value in enumerate(values, 1):
        if isinstance(value, float) and math.isnan(value):
            raise StoreError(f"${number} is NaN, which the database would store as null; give None")


def compare_decimals(left: str, right: str) -> int:
    """The collation `decimal`: numbers by value, and any other text after them, by itself."""
    try:
        one, two = Decimal(left), Decimal(right)
        if one.is_finite() and two.is_finite():
            return (one > two) - (one < two)
    except ArithmeticError:
        pass
    keys = (_is_number(left), left), (_is_number(right), right)
    return (keys[0] > keys[1]) - (keys[0] < keys[1])


def _is_number(text: str) -> int:
    try:
        return 0 if Decimal(text).is_finite() else 1
    except ArithmeticError:
        return 1


def _datetime(value: datetime) -> str:
    if value.tzinfo is None:
        raise StoreError(f"{value!r} has no time zone; store aware times only (clock.now() is)")
    try:
        utc = value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise StoreError(f"{value!r} is no time in UTC") from None
    return f"{utc.isoformat(timespec='microseconds')}Z"


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise StoreError(f"{value} is no number; give None")
    # Plain digits as long as they can be read; 1E+999999 would be a megabyte of them.
    return format(value, "f") if abs(value.adjusted()) < 60 else str(value)


_STORED: dict[type, Callable[[Any], str | bytes]] = {
    datetime: _datetime,  # before date, which it inherits
    date: date.isoformat,
    Decimal: _decimal,
    UUID: str,
    bytearray: bytes,
    memoryview: bytes,
}
