"""How long things took, as counts per power of two: an exponential histogram of scale 0.

Bucket `e` holds what took at least 2^(e-1) and less than 2^e seconds. On the hot path a duration is
only put down; a quarter of a microsecond later it would be counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from math import frexp, inf

__all__ = ["LOWEST", "Durations", "RecentDurations"]

LOWEST, _HIGHEST = -30, 33
_SHORTEST = 2.0**LOWEST
_MOST_RECENT = 32_768
"""Below a nanosecond and above a century nothing is measured."""


class Durations:
    """Counts of durations. `counts[e]` is the bucket of that exponent, negative ones from the end."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * 64
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[frexp(seconds)[1] if seconds >= _SHORTEST else LOWEST] += 1
        self.total_s += seconds

    def settle(self) -> None:
        """Nothing waits to be counted here."""

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def buckets(self) -> list[tuple[float, int]]:
        """Upper bound in seconds and count of each bucket that is not empty, shortest first."""
        return [
            (2.0**exponent, self.counts[exponent])
            for exponent in range(LOWEST, _HIGHEST)
            if self.counts[exponent]
        ]

    def by_exponent(self) -> dict[int, int]:
        """The count of each bucket that is not empty, by its exponent."""
        counts = self.counts
        return {each: counts[each] for each in range(LOWEST, _HIGHEST) if counts[each]}

    def quantile(self, share: float) -> float:
        """About how long that share (0 to 1) took at most, in seconds; 0.0 where there is nothing."""
        wanted, below = share * self.count, 0
        for upper, count in self.buckets():
            if below + count >= wanted:
                return upper / 2 * (1 + (wanted - below) / count)
            below += count
        return 0.0


class RecentDurations(Durations):
    """Durations that are put down in `recent`, and counted by `settle` whenever somebody looks.

    At most 32,768 wait to be counted. Of more, between two looks, the latest stand for all. Those that are not
    below `bound_s` are `slow`, which is exact where buckets are too wide to say.
    """

    __slots__ = ("bound_s", "recent", "slow")

    def __init__(self, bound_s: float = inf) -> None:
        super().__init__()
        self.bound_s = bound_s
        self.slow = 0
        self.recent: deque[float] = deque(maxlen=_MOST_RECENT)

    def add(self, seconds: float) -> None:
        """Count one."""
        # As above, and not by calling it: a call that fails is counted here at once.
        self.counts[frexp(seconds)[1] if seconds >= _SHORTEST else LOWEST] += 1
        self.total_s += seconds
        if seconds >= self.bound_s:
            self.slow += 1

    def settle(self) -> None:
        """Count what has been put down."""
        recent = self.recent
        if not recent:
            return
        found = sorted(recent.popleft() for _ in range(len(recent)))
        self.total_s += sum(found)
        if self.bound_s < inf:
            self.slow += len(found) - bisect_left(found, self.bound_s)
        before = bisect_left(found, _SHORTEST)
        self.counts[LOWEST] += before
        exponent = frexp(found[before])[1] if before < len(found) else LOWEST
        while before < len(found):
            upto = bisect_left(found, 2.0**exponent)
            self.counts[exponent] += upto - before
            exponent, before = exponent + 1, upto
