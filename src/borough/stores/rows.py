"""Rows as the type asked for: a struct by column names, a tuple by place, a dict, or one value.

What a type needs is worked out once per (type, columns) and kept. Columns that a database stores in
another form (bool, datetime, JSON) are turned back one by one; msgspec does the rest in one call.
A row whose values are just what a struct's plain fields take becomes one without either.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from borough.contracts.conversion import conversion
from borough.errors import StoreError, WrongRowCount

__all__ = ["Columns", "RowPlans", "Shape", "only_row", "within_limit"]

Columns = tuple[tuple[str, str | None], ...]
Shape = Callable[[Sequence[tuple[Any, ...]]], list[Any]]
Column = Callable[[Any], Any]
_PLANS = 1000
_MOST_FITTING = 256
_PLAIN = frozenset((bool, int, float, str, bytes, datetime, date, UUID, Decimal))


def only_row(found: list[Any], sql: str) -> list[Any]:
    """At most one row. Raises `WrongRowCount` on several."""
    if len(found) > 1:
        raise WrongRowCount(f"several rows, at most one was asked for: {sql}")
    return found


def within_limit(found: list[Any], limit: int, sql: str) -> list[Any]:
    """All rows. Raises `WrongRowCount` above the store's row limit."""
    if len(found) > limit:
        raise WrongRowCount(f"more than {limit} rows; ask for pages with limit: {sql}")
    return found


class RowPlans:
    """The shapes a store has worked out."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Any, Columns], Shape] = {}

    def of(self, kind: Any, columns: Columns) -> Shape:
        """How rows of these columns become `kind`. Raises `StoreError` where they cannot."""
        key = (kind, columns)
        shape = self._known.get(key)
        if shape is None:
            shape = _shape(kind, [name for name, _ in columns])
            if len(self._known) >= _PLANS:
                self._known.clear()
            self._known[key] = shape
        return shape


def _shape(kind: Any, names: list[str]) -> Shape:
    origin = get_origin(kind) or kind
    if origin in (dict, Mapping):
        return _mapping_shape(kind, names)
    if kind is tuple:
        return list
    if origin is tuple:
        return _tuple_shape(kind, names)
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return _struct_shape(kind, origin, names)
    return _value_shape(kind, names[0])


def _struct_shape(kind: Any, struct: type[msgspec.Struct], names: list[str]) -> Shape:
    hints = get_type_hints(struct, include_extras=True)
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    taken = [(index, fields[name]) for index, name in enumerate(names) if name in fields]
    missing = [f for f in fields if fields[f].required and f not in names]
    if missing:
        raise StoreError(
            f"{struct.__name__} needs the column {', '.join(missing)}; the statement gives "
            f"{', '.join(names)}. Select it, or name another one `as {missing[0]}`"
        )
    doubled = {name for name in names if name in fields and names.count(name) > 1}
    if doubled:
        raise StoreError(f"{struct.__name__}: the column {', '.join(doubled)} is given twice")
    keys = [field.encode_name for _, field in taken]
    columns = [(f.encode_name, _column(hints[f.name], f.name)) for _, f in taken]
    turned = [(key, turn) for key, turn in columns if turn is not None]
    picked = None if len(taken) == len(names) else [index for index, _ in taken]
    fitted = _conversion(kind)

    def convert(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        if picked is not None:  # columns that the struct does not know, as after `select *`
            rows = [tuple(row[index] for index in picked) for row in rows]
        found = [dict(zip(keys, row, strict=True)) for row in rows]
        for key, turn in turned:
            for values in found:
                if (value := values[key]) is not None:
                    values[key] = turn(value)
        return fitted(found)

    takes = [_taken_as_is(hints[name]) for name in fields]
    if not all(takes) or list(fields) != names or not _is_made_by_place(struct):
        return convert
    return _quick_shape(lambda rows: [struct(*row) for row in rows], takes, convert)


def _quick_shape(make: Shape, takes: Sequence[frozenset[type]], convert: Shape) -> Shape:
    """Make what is asked for at once where each value of a row is of a type that its place takes as it is."""
    fitting: set[tuple[type, ...]] = set()

    def shape(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        for row in rows:
            kinds = tuple(map(type, row))
            if kinds not in fitting:
                if not all(kind in taken for kind, taken in zip(kinds, takes, strict=True)):
                    return convert(rows)
                if len(fitting) >= _MOST_FITTING:  # which values are null is others' choice
                    fitting.clear()
                fitting.add(kinds)
        return make(rows)

    return shape


def _taken_as_is(kind: Any) -> frozenset[type]:
    """The types whose values a field takes without a look at them; none where it has constraints."""
    if get_origin(kind) in (Union, types.UnionType):
        parts = get_args(kind)
    else:
        parts = (kind,)
    return (
        frozenset(parts)
        if all(part in _PLAIN or part is type(None) for part in parts)
        else frozenset()
    )


def _is_made_by_place(struct: type[msgspec.Struct]) -> bool:
    """Whether it can be made of its fields in their order, and does nothing else when it is."""
    names = tuple(field.name for field in msgspec.structs.fields(struct))
    return struct.__match_args__ == names and not hasattr(struct, "__post_init__")


def _mapping_shape(kind: Any, names: list[str]) -> Shape:
    """Values by column name; where it is said of which type they are, they are."""
    said = get_args(kind)
    if not said or said[1] in (Any, object):
        return lambda rows: [dict(zip(names, row, strict=True)) for row in rows]
    turned = [(name, turn) for name in names if (turn := _column(said[1], name)) is not None]
    taken = _taken_as_is(said[1])
    fitted = _conversion(kind)

    def shape(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        found = [dict(zip(names, row, strict=True)) for row in rows]
        for values in found:
            for name, turn in turned:
                if values[name] is not None:
                    values[name] = turn(values[name])
        # Columns have types of their own, and msgspec knows no `str | UUID`.
        if all(_is_of(taken, value) for values in found for value in values.values()):
            return found
        return fitted(found)

    return shape


def _is_of(taken: frozenset[type], value: Any) -> bool:
    # asyncpg has a class of its own for UUIDs.
    return type(value) in taken or (UUID in taken and isinstance(value, UUID))


def _tuple_shape(kind: Any, names: list[str]) -> Shape:
    kinds = get_args(kind)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(names)
    if len(kinds) != len(names):
        raise StoreError(f"{kind} has {len(kinds)} places; the statement gives {', '.join(names)}")
    columns = [_column(each, name) for each, name in zip(kinds, names, strict=True)]
    turned = [(index, turn) for index, turn in enumerate(columns) if turn is not None]
    whole: Any = tuple.__class_getitem__(tuple(kinds))
    fitted = _conversion(whole)
    if not turned:
        takes = [_taken_as_is(each) for each in kinds]
        return _quick_shape(lambda rows: [tuple(row) for row in rows], takes, fitted)

    def shape(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        found = [list(row) for row in rows]
        for row in found:
            for index, turn in turned:
                if row[index] is not None:
                    row[index] = turn(row[index])
        return fitted(found)

    return shape


def _value_shape(kind: Any, name: str) -> Shape:
    turn = _column(kind, name)
    taken = _taken_as_is(kind)
    fitted = _conversion(kind)

    def shape(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        values = [row[0] for row in rows]
        if turn is not None:
            values = [None if value is None else turn(value) for value in values]
        return values if taken.issuperset(map(type, values)) else fitted(values)

    return shape


def _conversion(kind: Any) -> Callable[[Sequence[Any]], list[Any]]:
    """What makes each of some values a `kind`."""
    fitted = conversion(list[kind])

    def convert(values: Sequence[Any]) -> list[Any]:
        try:
            found: list[Any] = fitted(values)
            return found
        except msgspec.ValidationError as error:
            raise StoreError(f"a row does not fit: {error}") from error

    return convert


def _column(kind: Any, name: str) -> Column | None:
    """What turns a stored value back before msgspec sees it; None where it can do so itself."""
    kinds = _alternatives(kind)
    if len(kinds) != 1:
        stored = [each for each in kinds if _is_json(each)]
        if not stored:
            return None
        if len(stored) < len(kinds):
            raise StoreError(f"column {name}: {kind} is neither a plain value nor JSON alone")
        return _json(kind, name)
    plain = kinds[0]
    if plain is bool:
        return _bool(name)
    if plain is datetime:
        return _datetime(name)
    if plain is bytes:
        return _bytes(name)
    if plain is Decimal:
        return _decimal(name)
    return _json(kind, name) if _is_json(plain) else None


def _alternatives(kind: Any) -> list[Any]:
    """A type without `Annotated`, null and unset: the members of a union, else itself."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _alternatives(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        members = [each for part in get_args(kind) for each in _alternatives(part)]
        return [each for each in members if each not in (type(None), msgspec.UnsetType)]
    if isinstance(kind, typing.NewType):
        return _alternatives(kind.__supertype__)
    return [kind]


def _is_json(kind: Any) -> bool:
    origin: Any = get_origin(kind) or kind
    if hasattr(origin, "__dataclass_fields__"):
        return True
    containers = (msgspec.Struct, list, tuple, Mapping, Set)
    return isinstance(origin, type) and issubclass(origin, containers)


def _json(kind: Any, name: str) -> Column:
    decode = msgspec.json.Decoder(kind).decode

    def turn(value: Any) -> Any:
        try:
            return decode(value)
        except (msgspec.DecodeError, TypeError) as error:
            raise StoreError(f"column {name} holds no JSON of {kind}: {error}") from error

    return turn


def _bool(name: str) -> Column:
    def turn(value: Any) -> bool:
        if value == 1:
            return True
        if value == 0:
            return False
        raise StoreError(f"column {name} holds {value!r}; a bool is stored as 0 or 1")

    return turn


def _datetime(name: str) -> Column:
    def turn(value: Any) -> datetime:
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise StoreError(f"column {name} holds {value!r}, which is no time") from error
        if found.tzinfo is None:
            raise StoreError(f"column {name} holds {value!r}, a time without a zone; {_STAMP}")
        return found

    return turn


def _bytes(name: str) -> Column:
    def turn(value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        raise StoreError(f"column {name} holds {value!r}, which is not bytes")

    return turn


def _decimal(name: str) -> Column:
    def turn(value: Any) -> Any:
        if isinstance(value, float):  # the column's affinity has already lost digits
            raise StoreError(
                f"column {name} holds a float; declare a Decimal's column `text collate decimal`"
            )
        return value

    return turn


_STAMP = "pass clock.now() as a parameter, current_timestamp has none"
