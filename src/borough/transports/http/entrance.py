"""Where calls from outside are counted, the moment they are here: before a task, a token or a body is looked at.

A handler that computes and never awaits has nobody beside it, so at the handler nothing overlaps
and nothing could be counted: those that wait are in the loop and in the sockets. Calls within the
process do not pass here: what was admitted is carried through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import copy_context
from typing import Protocol
from urllib.parse import unquote

import msgspec

from borough.clock import Clock
from borough.errors import InvalidRequest, Unavailable
from borough.reliability.adaptive_limit import AdaptiveLimit
from borough.reliability.arrival import Arrival
from borough.reliability.enough_time import enough_s
from borough.reliability.waiting_line import LineTerms, WaitingLine
from borough.transports.http import wire
from borough.transports.http.door import TIME_UNREAD, problem_response
from borough.transports.http.message import Request, Response

__all__ = ["Entrance", "EntranceLimits", "Entrances", "Waiter"]

_RETRY_AFTER_S = 1
_LOOK_S = 0.05
"""At least so often, while calls wait, it is looked at whether one has waited for too long."""


class EntranceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one service takes from outside at once."""

    most: int
    """The highest limit of calls at work."""
    least: int
    """The lowest."""
    line: LineTerms
    """How many may wait, and how long; at most half of their time, in a burst a tenth. None where `most` is 0."""
    default_timeout_s: float
    """The time of a call that does not say."""
    longest_timeout_s: float
    """The longest time that it may ask for."""


class Waiter(Protocol):
    """Whose call it is."""

    @property
    def is_inside(self) -> bool:
        """Whether a service of this system calls."""
        ...

    def begin(self) -> None:
        """Its call may begin now."""
        ...

    def turn_away(self, response: Response) -> None:
        """Its call is refused."""
        ...


class Entrance:
    """The entrance of one service."""

    def __init__(self, service: str, limits: EntranceLimits, clock: Clock) -> None:
        self.limit = AdaptiveLimit(limits.most, limits.least)
        self.line = WaitingLine(limits.line)
        self._limits = limits
        self._enough_s = enough_s(limits.default_timeout_s)
        self._monotonic = clock.monotonic
        self._timer: asyncio.TimerHandle | None = None
        self._context = copy_context()
        self.refused = 0
        """How many calls have been refused for want of room; not who had too little time to wait for any."""
        self._full = _refusal(f"{service} is at its limit of calls at work, and none may wait")
        self._crowded = _refusal(f"{service} has a full queue: newer calls go first")
        self._burst = _refusal(f"{service} has a full queue: those that came before go first")
        self._late = _refusal(f"{service} could not begin this call soon enough for its deadline")

    def arrive(
        self, request: Request, waiter: Waiter, now: float, came_at: float
    ) -> Arrival | None:
        """Count a call in. None where it was refused; else it has begun if it is `at_work`, or waits."""
        limits = self._limits
        timeout_s, asked_s = limits.default_timeout_s, request.timeout_s
        if asked_s is None and wire.TIMEOUT_MS in request.headers.raw:
            try:
                asked_s = wire.read_timeout_s(request.headers.get(wire.TIMEOUT_MS))
            except InvalidRequest:
                timeout_s = TIME_UNREAD
        if asked_s is not None:
            longest_s = limits.longest_timeout_s
            timeout_s = asked_s if asked_s < longest_s else longest_s
        if not timeout_s and not waiter.is_inside:
            timeout_s = TIME_UNREAD  # no client of the public means that; it is told so
        arrival = request.arrival = Arrival(came_at, timeout_s, self)
        if came_at < now and came_at + timeout_s / 2 < now and timeout_s != TIME_UNREAD:
            self._count_late(arrival)
            waiter.turn_away(self._late)
            return None
        limit = self.limit
        if limit.at_work < limit.limit:
            limit.begin(arrival, now)
            return arrival
        limit.was_full = True
        return self._wait(arrival, waiter, now)

    def _wait(self, arrival: Arrival, waiter: Waiter, now: float) -> Arrival | None:
        if not self._limits.line.most:
            self.refused += 1
            waiter.turn_away(self._full)
            return None
        arrival.waiter = waiter
        arrival.is_inside = waiter.is_inside
        arrival.start_by = arrival.came_at + arrival.timeout_s / 2
        gone: list[Arrival] = []
        self.line.add(arrival, now, gone)
        for each in gone:
            self._turn_away(each, self._crowded if self.line.is_overload else self._burst)
        if self._timer is None:
            self._arm()
        return arrival if arrival.waiter is not None else None

    def leave(self, arrival: Arrival) -> float:
        """A call that had begun has ended; others may begin. Returns the time."""
        now = self._monotonic()
        self.limit.end(arrival, now)
        if self._timer is not None:  # somebody may wait
            self._admit(now)
        return now

    def abandon(self, arrival: Arrival) -> None:
        """Who called has left, and what ran for it has ended; others may begin."""
        now = self._monotonic()
        self.limit.abandon(arrival, now)
        if self._timer is not None:
            self._admit(now)

    def _admit(self, now: float) -> None:
        gone: list[Arrival] = []
        while self.limit.has_room:
            arrival = self.line.take(now, gone)
            if arrival is None:
                break
            self.limit.begin(arrival, now)
            waiter, arrival.waiter = arrival.waiter, None
            self._context.copy().run(waiter.begin)  # this one is of the call that has ended
        for arrival in gone:
            self._turn_away(arrival, self._late)

    def forget(self, arrival: Arrival) -> None:
        """Who waited has left."""
        self.line.remove(arrival)
        arrival.waiter = None

    def _count_late(self, arrival: Arrival) -> None:
        """It could not begin in time: a want of room, unless it had next to no time."""
        if arrival.timeout_s >= self._enough_s:
            self.limit.was_full = True
            self.refused += 1

    def _turn_away(self, arrival: Arrival, response: Response) -> None:
        if response is self._late:
            self._count_late(arrival)
        else:
            self.refused += 1
        waiter, arrival.waiter = arrival.waiter, None
        waiter.turn_away(response)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(self._limits.line.wait_s / 2, _LOOK_S), self._look)

    def _look(self) -> None:
        self._timer = None
        for arrival in self.line.overdue(self._monotonic()):
            self._turn_away(arrival, self._late)
        if self.line:
            self._arm()


class Entrances:
    """The entrances of the services of this process, which all its listeners share."""

    def __init__(self, services: Iterable[str], limits: EntranceLimits, clock: Clock) -> None:
        self._entrances = {service: Entrance(service, limits, clock) for service in services}

    def of(self, service: str) -> Entrance | None:
        """The entrance of a service; None of one that is not answered here."""
        return self._entrances.get(service)

    def to(self, path: str) -> Entrance | None:
        """The entrance of the service to which a path leads; None where it leads elsewhere."""
        end = path.find("/", 1)
        first = path[1:] if end < 0 else path[1:end]
        entrance = self._entrances.get(first)
        return (
            self._entrances.get(unquote(first)) if entrance is None and "%" in first else entrance
        )


def _refusal(detail: str) -> Response:
    made = problem_response(Unavailable(detail, retry_after_s=_RETRY_AFTER_S))
    return Response(made.status, tuple(made.headers), made.body)
