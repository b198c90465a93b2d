"""A fixed rate per client, kept as one number each: when its bucket would be full again (GCRA).

A bucket holds one period's worth, so a client that was quiet may send that much at once. The number
of buckets is bounded: the least recently used one is forgotten, which only ever forgives.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec

__all__ = ["Buckets", "Rate", "read_rate"]

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(s|m|h)\s*\Z")
_PERIODS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Rate(msgspec.Struct, frozen=True):
    """`count` requests in `period_s` seconds."""

    count: int
    period_s: float


def read_rate(text: str) -> Rate:
    """Read `"500/s"`, `"30/m"` or `"1000/h"`. Raises `ValueError`, saying what to write."""
    found = _RATE.match(text)
    if found is None:
        raise ValueError(
            f'{text!r} is no rate; write a number and /s, /m or /h, such as "500/s" or "30/m"'
        )
    if int(found[1]) == 0:
        raise ValueError(f"The rate {text!r} lets nothing pass; write a number above zero")
    return Rate(int(found[1]), _PERIODS_S[found[2]])


class Buckets:
    """One bucket per client, at most `limit` of them."""

    __slots__ = ("_full_at", "_limit", "_period_s", "_step_s", "rate")

    def __init__(self, rate: Rate, limit: int = 10_000) -> None:
        self.rate = rate
        self._limit = limit
        self._period_s = rate.period_s
        self._step_s = rate.period_s / rate.count
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Take one token; 0 when it was there, else the seconds until then. `now` is monotonic."""
        full_at = self._full_at
        at = full_at.get(client, now)
        at = (at if at > now else now) + self._step_s
        wait_s = at - now - self._period_s
        # A client that is refused pays nothing: asking too often does not lengthen its wait.
        if wait_s > 1e-9:
            full_at.move_to_end(client)
            return wait_s
        full_at[client] = at
        full_at.move_to_end(client)
        if len(full_at) > self._limit:
            full_at.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)
