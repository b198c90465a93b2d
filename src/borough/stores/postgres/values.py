"""How a value comes to a parameter of the type that the server has found for it.

A column of PostgreSQL's own type takes the value itself (`boolean`, `timestamptz`, `numeric`, `uuid`, `date`,
`bytea`, `jsonb`); one of `text` takes what SQLite would store, so that the same statements serve both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from borough.errors import StoreError
from borough.stores.values import store_value

__all__ = ["Encoder"]

Encode = Callable[[Any, int], Any]

_INTEGERS = ("int2", "int4", "int8", "oid")
_FLOATS = ("float4", "float8")
_TEXTS = ("text", "varchar", "bpchar", "name", "citext")
_JSON = ("json", "jsonb")
_MOST_FITTING = 256


class Encoder:
    """Turns the values of one statement's parameters; `kinds` are the names of their types."""

    __slots__ = ("_encodes", "_fitting", "_passes", "_sql")

    def __init__(self, sql: str, kinds: Sequence[str]) -> None:
        self._sql = sql
        self._encodes = [_ENCODES.get(kind, _as_it_is) for kind in kinds]
        self._passes = [_PASSING.get(kind, _NOTHING) for kind in kinds]
        self._fitting: set[tuple[type, ...]] = set()

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        """What the driver gets. Raises `StoreError` for too few or too many, and for what cannot be stored."""
        kinds = tuple(map(type, values))
        if kinds in self._fitting:
            return values
        if len(kinds) != len(self._encodes):
            raise StoreError(
                f"{len(self._encodes)} parameters and {len(kinds)} values are in: {self._sql}"
            )
        if all(kind in passes for kind, passes in zip(kinds, self._passes, strict=True)):
            if len(self._fitting) >= _MOST_FITTING:  # whoever calls chooses which values are null
                self._fitting.clear()
            self._fitting.add(kinds)
            return values
        return [
            None if value is None else encode(value, number)
            for number, (value, encode) in enumerate(zip(values, self._encodes, strict=True), 1)
        ]


def _as_it_is(value: Any, _number: int) -> Any:
    return value.value if isinstance(value, Enum) else value


def _integer(value: Any, _number: int) -> Any:
    value = value.value if isinstance(value, Enum) else value
    return int(value) if isinstance(value, bool) else value


def _float(value: Any, number: int) -> Any:
    if isinstance(value, float) and math.isnan(value):
        raise StoreError(f"${number} is NaN, which another store keeps as null; give None")
    return float(value) if isinstance(value, Decimal) else value


def _text(value: Any, number: int) -> Any:
    if isinstance(value, str):
        return value.value if isinstance(value, Enum) else value
    stored = (
        store_value(None, number, value) if not isinstance(value, (int, float, bytes)) else value
    )
    if not isinstance(stored, str):
        raise StoreError(f"${number}: a {type(value).__name__} is no text; its column is")
    return stored


def _bool(value: Any, _number: int) -> Any:
    return bool(value) if value in (0, 1) else value


def _moment(value: Any, number: int) -> Any:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        raise StoreError(f"{value!r} has no time zone; store aware times only (clock.now() is)")
    return value


def _naive(_value: Any, number: int) -> Any:
    raise StoreError(f"${number}: a column of `timestamp` has no time zone; declare `timestamptz`")


def _day(value: Any, _number: int) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _numeric(value: Any, _number: int) -> Any:
    if isinstance(value, Decimal) and not value.is_finite():
        raise StoreError(f"{value} is no number; give None")
    return Decimal(value) if isinstance(value, (str, float)) else value


def _json(value: Any, number: int) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return value
    stored = (
        store_value(None, number, value) if not isinstance(value, (int, float, bytes)) else value
    )
    if isinstance(stored, str) and not isinstance(value, Enum):
        return stored
    raise StoreError(f"${number}: a {type(value).__name__} is no JSON document; its column is")


_NOTHING: frozenset[type] = frozenset()
_ENCODES: dict[str, Encode] = {
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(_FLOATS, _float),
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_JSON, _json),
    "bool": _bool,
    "timestamptz": _moment,
    "timestamp": _naive,
    "date": _day,
    "numeric": _numeric,
}
_PASSING: dict[str, frozenset[type]] = {
    **dict.fromkeys(_INTEGERS, frozenset((int, type(None)))),
    **dict.fromkeys(_FLOATS, frozenset((int, type(None)))),
    **dict.fromkeys(_TEXTS, frozenset((str, type(None)))),
    **dict.fromkeys(_JSON, frozenset((str, type(None)))),
    "bool": frozenset((bool, type(None))),
    "bytea": frozenset((bytes, bytearray, memoryview, type(None))),
    "uuid": frozenset((UUID, type(None))),
    "date": frozenset((date, type(None))),
}
"""The types of values that a parameter takes without a look at them."""
