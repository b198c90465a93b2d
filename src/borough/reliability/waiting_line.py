"""Calls that wait for others to end: a few, the newest first, each only until it would be late.

Under overload the oldest has the least time left, so serving it first means to be late for all. Calls
from inside the system go first: work that was admitted waits for them.
"""

from __future__ import annotations

from collections import deque

from borough.reliability.arrival import Arrival

__all__ = ["WaitingLine"]


class WaitingLine:
    """The line of one service; `most` may wait. `arrival.start_by` is until when each does."""

    __slots__ = ("_inside", "_outside", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._inside: deque[Arrival] = deque()
        self._outside: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._inside) + len(self._outside)

    def add(self, arrival: Arrival) -> Arrival | None:
        """Let a call wait; returns the one that has to go for it, maybe itself."""
        (self._inside if arrival.is_inside else self._outside).append(arrival)
        if len(self) <= self.most:
            return None
        return self._outside.popleft() if self._outside else self._inside.popleft()

    def take(self, now: float, gone: list[Arrival]) -> Arrival | None:
        """The next to begin; those that it finds too late are put to `gone`."""
        for waiting in (self._inside, self._outside):
            while waiting:
                newest = waiting.pop()
                if now <= newest.start_by:
                    return newest
                gone.append(newest)
        return None

    def overdue(self, now: float) -> list[Arrival]:
        """Take out those that have waited for too long."""
        gone: list[Arrival] = []
        for waiting in (self._inside, self._outside):
            late = [each for each in waiting if each.start_by < now]
            for each in late:
                waiting.remove(each)
            gone += late
        return gone

    def remove(self, arrival: Arrival) -> None:
        """A call is given up by who made it."""
        waiting = self._inside if arrival.is_inside else self._outside
        if arrival in waiting:
            waiting.remove(arrival)
