"""How a handler gets on with its topic: whether it comes nearer to the end, and how long that will take. Pure.

It is judged by how far both were at the looks of the last 20 seconds, and says nothing before it has seen
ten: a minute would call worse what has begun to get better. Of the time to come it expects more of the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

__all__ = ["ENOUGH_S", "Headway", "Pace", "Paces", "Trend"]

Trend = Literal["level", "catching-up", "falling-behind", "as-far", "still", "unknown"]
"""Events are handled as they come; fewer, more, as many wait as before; some wait and none is handled; too early."""

_WINDOW_S = 20.0
ENOUGH_S = 10.0
"""Of less time nothing is said."""
_LEVEL_S = 5.0
"""What waits no longer than that is on its way: looks are seconds apart."""
_SAME = 0.05
"""By less than this share of what has come or gone, the distance is the same."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """A handler's way through a topic, as it was at the latest look.

    `oldest_s` is the age of the oldest event that waits, null where none does; `is_at_least`: it waited already when
    it was first looked at. `attempts` and the `failures` among them are those of the last `over_s` seconds.
    `left_s` says when nothing will wait, where fewer wait than before.
    """

    waiting: int
    oldest_s: float | None
    is_at_least: bool
    per_s: float
    attempts: int
    failures: int
    over_s: float
    trend: Trend
    left_s: float | None = None


class Paces(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known: by handler and topic, and how many events a second each topic is given."""

    consumers: Mapping[tuple[str, str], Pace] = MappingProxyType({})
    topics: Mapping[str, float] = MappingProxyType({})


class Headway:
    """How far a handler and its topic were lately."""

    __slots__ = ("_gone", "_place", "_seen")

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()
        self._gone = 0
        self._place = 0

    def take(self, now: float, place: int, end: int) -> None:
        """Take where they are. Numbers begin anew where the handler has gone back, and with the first event of a topic.

        Where a broker tells only what waits, the end goes back when an event is parked: that one is done with, too.
        """
        seen = self._seen
        if place < self._place or (seen and not seen[-1][2]):
            seen.clear()
            self._gone = 0
        elif seen:
            self._gone = max(self._gone, seen[-1][2] - end)
        self._place = place
        place, end = place + self._gone, end + self._gone
        seen.append((now, place, end))
        while len(seen) > 1 and seen[1][0] <= now - _WINDOW_S:
            seen.popleft()

    def judged(self, oldest_s: float | None) -> tuple[Trend, float | None]:
        """How it goes, and how long until nothing waits, where that can be said."""
        if oldest_s is None:
            return "level", None
        (began, first_place, first_end), (now, place, end) = self._seen[0], self._seen[-1]
        if now - began < ENOUGH_S:
            return "unknown", None
        if oldest_s < _LEVEL_S:
            return "level", None
        done, come = place - first_place, end - first_end
        if not done:
            return "still", None
        nearer = done - come
        if abs(nearer) <= _SAME * max(done, come):
            return "as-far", None
        if nearer < 0:
            return "falling-behind", None
        return "catching-up", (end - place) / nearer * (now - began)
