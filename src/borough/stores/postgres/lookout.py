"""One timer for all connections of a pool: what is not answered when it is due is stopped.

The server ends what takes too long by itself, in its `statement_timeout`. This is for what began late in its
transaction, and for a server that does not answer. It nearly never happens, so nothing is armed for a statement:
the earliest of all that was due when the timer was last set is waited for, and what is due then is looked up.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from borough.clock import Clock

__all__ = ["NEVER", "Lookout"]

NEVER = math.inf


class Asked(Protocol):
    """A connection. `due` is when what it is asked is to be answered, `NEVER` while it is asked nothing."""

    due: float

    def stop(self, now: float) -> None:
        """It was due, and is not answered; it may be due once more."""
        ...


class Lookout:
    """Looks after the connections of one pool. `looks_at` is when it looks next."""

    __slots__ = ("_clock", "_connections", "_timer", "looks_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: set[Asked] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.looks_at = NEVER

    def add(self, connection: Asked) -> None:
        """From now on look after it, too."""
        self._connections.add(connection)

    def forget(self, connection: Asked) -> None:
        """It is of no more use."""
        self._connections.discard(connection)
        if not self._connections and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.looks_at = NEVER

    def expect(self, connection: Asked, due: float) -> None:
        """What the connection is asked now is to be answered by `due`, unless its `due` is set back before."""
        connection.due = due
        if due < self.looks_at:
            self._look_at(due)

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        left_s = max(0.0, due - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left_s, self._look)
        self.looks_at = due

    def _look(self) -> None:
        self._timer = None
        self.looks_at = NEVER
        now = self._clock.monotonic()
        earliest = NEVER
        for connection in self._connections:
            if connection.due <= now:
                connection.stop(now)
            earliest = min(earliest, connection.due)
        if earliest < NEVER:
            self._look_at(earliest)
