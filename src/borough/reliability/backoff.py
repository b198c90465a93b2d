"""How long to wait before the next attempt: exponential, with full jitter.

Full jitter spreads attempts over the whole span up to the ceiling, so that many who failed together
do not come back together.
"""

from __future__ import annotations

import msgspec

__all__ = ["Backoff"]


class Backoff(msgspec.Struct, frozen=True):
    """A schedule of waits: the ceiling starts at `first_s`, doubles, and ends at `last_s`."""

    first_s: float = 0.1
    last_s: float = 10.0

    def ceiling_s(self, attempt: int) -> float:
        """The longest wait after the `attempt`-th failure, counted from 1."""
        return float(min(self.last_s, self.first_s * 2 ** min(attempt - 1, 62)))

    def delay_s(self, attempt: int, chance: float) -> float:
        """The wait after the `attempt`-th failure; `chance` is a random number in [0, 1)."""
        return self.ceiling_s(attempt) * chance
