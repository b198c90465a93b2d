"""Whether a process that has ended by itself is begun anew, and when.

Exponential waits with full jitter, inside a budget: so many ends within a span of time. One more
and it stays down, for what ends so often will not be mended by another start.
"""

from __future__ import annotations

import msgspec

from borough.reliability.backoff import Backoff

__all__ = ["Restarts"]


class Restarts(msgspec.Struct, frozen=True):
    """The terms: at most `budget` restarts within `within_s` seconds, and the waits before them."""

    budget: int = 5
    within_s: float = 60.0
    waits: Backoff = Backoff(0.2, 10.0)

    def counted(self, ends: tuple[float, ...], now_s: float) -> tuple[float, ...]:
        """The ends that still count, with one more now."""
        return (*(each for each in ends if now_s - each < self.within_s), now_s)

    def wait_s(self, ends: tuple[float, ...], chance: float) -> float | None:
        """The wait after the last of these ends, None where the budget is spent.

        `chance` is a random number in [0, 1).
        """
        if len(ends) > self.budget:
            return None
        return self.waits.delay_s(len(ends), chance)
