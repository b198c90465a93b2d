"""What a service does without being called: hear events and run on a schedule. Marks only."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from borough.contracts.struct import Event

__all__ = ["EveryMark", "OnDead", "OnMark", "ProjectionMark", "every", "on", "refuse_other"]

OnDead = Literal["continue", "block"]
F = TypeVar("F", bound=Callable[..., Any])

ON_MARK = "__borough_on__"
EVERY_MARK = "__borough_every__"
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class ProjectionMark(msgspec.Struct, frozen=True):
    """What `@projection` said further: the tables that it makes, and of which generation."""

    tables: tuple[str, ...]
    generation: int = 1


class OnMark(msgspec.Struct, frozen=True):
    """What `@on` or `@projection` said: the events heard, the handler's durable name if not the
    method's, and what a dead event does to those behind it."""

    events: tuple[type[Event], ...]
    name: str | None = None
    on_dead: OnDead = "continue"
    projection: ProjectionMark | None = None


class EveryMark(msgspec.Struct, frozen=True):
    """What `@every` said: the interval in seconds, and the schedule's durable name if not the method's."""

    interval_s: float
    name: str | None = None


def on(
    *events: type[Event], name: str | None = None, on_dead: OnDead = "continue"
) -> Callable[[F], F]:
    """Hear events. `(self, event, tx)`: inbox row and effects commit together, calls are refused.
    `(self, event)`: no transaction is open, calls are allowed, at least once.

    The handler is named `service.method`, or `service.NAME`; the name is durable: it owns the position.
    An event that fails to the end is dead: those behind it under its key go on (`"continue"`), or wait until
    it is replayed or dropped (`on_dead="block"`). Raises `TypeError` for what is no event.
    """
    for event in events:
        refuse_other(event, "on")
    mark = OnMark(events, name, on_dead)

    def apply(function: F) -> F:
        setattr(function, ON_MARK, mark)
        return function

    return apply


def refuse_other(thing: object, mark: str) -> None:
    """Raise `TypeError` for what is no event: a mark without parentheses is handed the method."""
    name = getattr(thing, "__name__", thing)
    if not (isinstance(thing, type) and issubclass(thing, Event)):
        raise TypeError(f"@{mark}({name}) is no event; write @{mark}(SomeEvent)")


def every(interval: str, *, name: str | None = None) -> Callable[[F], F]:
    """Run `(self)` or `(self, tx)` each `interval` (`"500ms"`, `"30s"`, `"5m"`, `"1h"`, `"1d"`).

    One process of the service runs it at a time (a leased role). A missed run is not made up for.
    Raises `ValueError` for an interval that cannot be read.
    """
    found = _INTERVAL.match(str(interval))
    if found is None or not float(found[1]):
        raise ValueError(
            f"@every({interval!r}) is no interval; write a number above zero and ms, s, m, h or d"
        )
    mark = EveryMark(float(found[1]) * _UNITS[found[2]], name)

    def apply(function: F) -> F:
        setattr(function, EVERY_MARK, mark)
        return function

    return apply
