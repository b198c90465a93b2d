"""Which values of a call are shown with its span: those that name a thing, such as an order's id.

By an id a trace is looked for. Nothing else of an argument is shown: parameters and the fields of a
struct are taken where they are called `id` or `SOMETHING_id`, and hold a text, a number or a UUID.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

import msgspec

from borough.contracts.operation import Operation
from borough.telemetry.span import Value

__all__ = ["Identifiers", "identifiers_of", "identifiers_of_event"]

_LONGEST = 128


class Identifiers:
    """Reads identifiers of arguments, or of an event in their place."""

    __slots__ = ("_getters", "names")

    def __init__(self, named: dict[str, Callable[[Any], Any]]) -> None:
        self.names = tuple(named)
        self._getters = tuple(named.values())

    def __call__(self, given: Any) -> tuple[Value | None, ...]:
        """The values in the order of `names`; None for one that is no identifier after all."""
        return tuple([_shown(getter, given) for getter in self._getters])


def identifiers_of(operation: Operation) -> Identifiers | None:
    """What to read of an operation's arguments; None where there is nothing."""
    named: dict[str, Callable[[Any], Any]] = {}
    for index, parameter in enumerate(operation.parameters):
        if _is_named(parameter.name) or parameter.name == operation.mark.idempotent_by:
            named[_key(parameter.name)] = _at(index)
        for field in _fields(parameter.kind):
            named.setdefault(_key(field), _inside(index, field))
    return Identifiers(named) if named else None


def identifiers_of_event(kind: type[Any]) -> Identifiers | None:
    """What to read of an event; None where there is nothing."""
    named = {
        _key(field): cast("Callable[[Any], Any]", attrgetter(field)) for field in _fields(kind)
    }
    return Identifiers(named) if named else None


def _key(name: str) -> str:
    return f"app.{name}"


def _is_named(name: str) -> bool:
    return name == "id" or name.endswith("_id")


def _fields(kind: Any) -> list[str]:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    return [name for name in kind.__struct_fields__ if _is_named(name)]


def _at(index: int) -> Callable[[Sequence[Any]], Any]:
    return lambda arguments: arguments[index]


def _inside(index: int, field: str) -> Callable[[Sequence[Any]], Any]:
    get = attrgetter(field)
    return lambda arguments: get(arguments[index])


def _shown(getter: Callable[[Any], Any], given: Any) -> Value | None:
    try:
        value = getter(given)
    except (AttributeError, IndexError):  # of another shape than declared: refused elsewhere
        return None
    if type(value) is str:
        return value if len(value) <= _LONGEST else value[:_LONGEST]
    if isinstance(value, (UUID, int)):
        return str(value)
    return None
