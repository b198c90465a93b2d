"""How long things took, as counts per power of two: an exponential histogram of scale 0.

To add a duration costs one C function and one list element, as every call is counted. Bucket `e`
holds what took at least 2^(e-1) and less than 2^e seconds.
"""

from __future__ import annotations

from math import frexp

__all__ = ["LOWEST", "Durations"]

LOWEST, _HIGHEST = -30, 33
"""Below a nanosecond and above a century nothing is measured."""


class Durations:
    """Counts of durations. `counts[e]` is the bucket of that exponent, negative ones from the end."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * 64
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[frexp(seconds)[1]] += 1
        self.total_s += seconds

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

    def quantile(self, share: float) -> float:
        """About how long that share (0 to 1) took at most, in seconds; 0.0 where there is nothing."""
        wanted, below = share * self.count, 0
        for upper, count in self.buckets():
            if below + count >= wanted:
                return upper / 2 * (1 + (wanted - below) / count)
            below += count
        return 0.0
