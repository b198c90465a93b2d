"""An `@on` method of a service object, bound: what relays, consumers and parking know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from borough.contracts.operation import BoundEvent

__all__ = ["EventHandler"]


class EventHandler(msgspec.Struct, frozen=True):
    """One handler. `name` is durable: `service.method` or `service.NAME`.

    `on_dead` says whether a dead event lets those behind it under its key go on; `folder` is where
    its own code lives; `projection` is the generation that the code of a projection names, and
    `generation` the one that is in force.
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
