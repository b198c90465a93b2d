"""Who handles an event, as relays, consumers and parking know him: mostly an `@on` method, bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from borough.contracts.operation import BoundEvent
from borough.errors import BoroughError

__all__ = ["EventHandler", "EventRefused", "EventSpared", "EventUnheard"]


class EventRefused(BoroughError):
    """Whoever is to have the event will never take it; trying again will not help."""


class EventUnheard(BoroughError):
    """A parked event is of a type that the handler's code does not name. Another release's may: it is tried again."""


class EventSpared(BoroughError):
    """What the event has met says nothing about it: it is tried again in `wait_s`, and no attempt counts."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class EventHandler(msgspec.Struct, frozen=True):
    """One handler. `name` is durable: `service.method` or `service.NAME`.

    `on_dead` says whether a dead event lets those behind it under its key go on; `folder` is where
    its own code lives; `projection` is the generation that the code of a projection names, `tables`
    what it is made in, and `generation` the one that is in force. Where it `takes_document`, its function is given the
    CloudEvents document as it came, and not the event in it.
    """

    name: str
    service: str
    function: Callable[..., Awaitable[object]]
    takes_transaction: bool
    events: tuple[BoundEvent, ...]
    generation: int = 1
    on_dead: Literal["continue", "block"] = "continue"
    folder: str = ""
    projection: int | None = None
    tables: tuple[str, ...] = ()
    takes_document: bool = False
