"""Calls that wait for others to end. Many for a moment, in a burst; a few for a tenth of it under overload.

A line that was empty a moment ago is a burst, or what has come while the process stood still: it will be
empty soon, so all wait their turn, the oldest first, each for a tenth of its time at most; where it is full, who
comes last is refused. One that has not been empty for that long is overload. Then the oldest has the least time
left, so serving it first means to be late for all: the newest goes first, and only a few wait. It is over once the
last in line begins, or nobody has come for so long as a burst may last; that all are refused empties no line. Calls
from inside the system go before others: work that was admitted waits for them. To tell the two apart by time is an
idea of Nichols and Jacobson, Controlling Queue Delay (2012); to turn the line round besides, of Maurer, Fail at
Scale (2015).
"""

from __future__ import annotations

from collections import deque

import msgspec

from borough.reliability.arrival import Arrival

__all__ = ["LineTerms", "WaitingLine"]

_SHARE = 0.1
"""What a call may lose of its time in a burst: it goes in turn, so that all would be late who lost more."""


class LineTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How many may wait and for how long each, in seconds: in a burst, and under overload."""

    burst: int
    burst_s: float
    """A line that has not been empty for that long is no burst any more."""
    most: int
    wait_s: float


class WaitingLine:
    """The line of one service. `arrival.start_by` is until when each waits at most."""

    __slots__ = ("_came_at", "_inside", "_outside", "_since", "is_overload", "terms")

    def __init__(self, terms: LineTerms) -> None:
        self.terms = terms
        self.is_overload = False
        self._since: float | None = None
        self._came_at = 0.0
        self._inside: deque[Arrival] = deque()
        self._outside: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._inside) + len(self._outside)

    def add(self, arrival: Arrival, now: float, gone: list[Arrival]) -> None:
        """Let a call wait; those that have to go for it, maybe itself, are put to `gone`."""
        terms = self.terms
        if self._since is None or (not self and now - self._came_at > terms.burst_s):
            self._since, self.is_overload = now, False
        self._came_at = arrival.waits_since = now
        (self._inside if arrival.is_inside else self._outside).append(arrival)
        self._judge(now)
        waiting = self._outside or self._inside
        if self.is_overload:
            while len(self) > terms.most:
                gone.append(waiting.popleft())
                waiting = self._outside or self._inside
        elif len(self) > max(terms.burst, terms.most):
            gone.append(waiting.pop())  # those before it have waited, and will be answered

    def take(self, now: float, gone: list[Arrival]) -> Arrival | None:
        """The next to begin; those that it finds too late are put to `gone`."""
        self._judge(now)
        for waiting in (self._inside, self._outside):
            take = waiting.pop if self.is_overload else waiting.popleft
            while waiting:
                following = take()
                if not self._is_late(following, now):
                    if not self:
                        self._since = None
                    return following
                gone.append(following)
        return None

    def overdue(self, now: float) -> list[Arrival]:
        """Take out those that have waited for too long."""
        self._judge(now)
        gone: list[Arrival] = []
        for waiting in (self._inside, self._outside):
            late = [each for each in waiting if self._is_late(each, now)]
            if late:
                staying = [each for each in waiting if not self._is_late(each, now)]
                waiting.clear()
                waiting.extend(staying)
                gone += late
        return gone

    def remove(self, arrival: Arrival) -> None:
        """A call is given up by who made it."""
        waiting = self._inside if arrival.is_inside else self._outside
        if arrival in waiting:
            waiting.remove(arrival)

    def ease(self) -> None:
        """There is plenty of room: nobody waits, and whoever comes next begins a burst."""
        self._since, self.is_overload = None, False

    def _judge(self, now: float) -> None:
        """Whether this is overload by now."""
        if self._since is not None and now - self._since > self.terms.burst_s:
            self.is_overload = True

    def patience_s(self, arrival: Arrival) -> float:
        """How long this call may wait, as things stand."""
        terms = self.terms
        if self.is_overload:
            return terms.wait_s
        return min(terms.burst_s, arrival.timeout_s * _SHARE)

    def _is_late(self, arrival: Arrival, now: float) -> bool:
        return arrival.start_by < now or now - arrival.waits_since > self.patience_s(arrival)
