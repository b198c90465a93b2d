"""Many deadlines on one timer: most calls end long before theirs, so none gets a timer of its own.

The timer stands at the earliest deadline that was asked for; when it fires, what is overdue
expires, and it moves on.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

__all__ = ["EARLY_S", "Deadlines", "Expiring"]

_NEVER = float("inf")
EARLY_S: Final = 0.001
"""A loop may fire that much too soon."""


class Expiring(Protocol):
    """Something that may wait only until `deadline`, on the loop's clock."""

    deadline: float

    def expire(self) -> None:
        """Time is up."""
        ...


class Deadlines:
    """All deadlines of one client."""

    __slots__ = ("_due", "_loop", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Expiring] = set()
        self._due = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiting: Expiring) -> None:
        """Call `waiting.expire()` at its deadline, unless it is discarded before."""
        self._watched.add(waiting)
        if waiting.deadline < self._due:
            self._arm(waiting.deadline)

    def discard(self, waiting: Expiring) -> None:
        """No longer watch it."""
        self._watched.discard(waiting)

    def close(self) -> None:
        """Forget all of them."""
        self._watched.clear()
        self._arm(_NEVER)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due == _NEVER else self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        now = self._loop.time() + EARLY_S
        overdue = [each for each in self._watched if each.deadline <= now]
        self._watched.difference_update(overdue)
        self._timer = None
        self._arm(min((each.deadline for each in self._watched), default=_NEVER))
        for each in overdue:
            each.expire()
