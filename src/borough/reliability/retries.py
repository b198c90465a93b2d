"""What becomes of an event whose handler failed: tried again in its place, parked, or dead.

A few quick attempts keep it in its place. Then it is parked in the consumer's database, with what
follows it under its key, and holds up nobody else; it is tried ever more slowly. After the last
attempt it is dead: kept with its cause until somebody replays or drops it. An attempt counts when
it begins, so that an event which takes its process down does not do so for ever.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from borough.reliability.backoff import Backoff

__all__ = ["Retries", "Verdict"]


class Verdict(Enum):
    """What to do next with an event that has failed."""

    AGAIN = "again"
    """Try again soon, in its place."""
    PARK = "park"
    """Put it aside with what follows it."""
    BURY = "bury"
    """Give it up."""


class Retries(msgspec.Struct, frozen=True):
    """How often and how fast an event is tried.

    `quick` attempts in its place, `attempts` in all; `parked` events at most per handler, `behind`
    at most under one key. Above those, reading pauses.
    """

    quick: int = 3
    attempts: int = 12
    quick_waits: Backoff = Backoff(0.1, 2.0)
    parked_waits: Backoff = Backoff(10.0, 900.0)
    parked: int = 10_000
    behind: int = 1_000

    def judge(self, attempts: int, *, hopeless: bool) -> Verdict:
        """After the `attempts`-th failure; a `hopeless` one fails for a reason that will not go."""
        if hopeless or attempts >= self.attempts:
            return Verdict.BURY
        return Verdict.AGAIN if attempts < self.quick else Verdict.PARK

    def wait_s(self, attempts: int, chance: float) -> float:
        """How long to wait after the `attempts`-th failure; `chance` is a random number in [0, 1)."""
        if attempts < self.quick:
            return self.quick_waits.delay_s(attempts, chance)
        return self.parked_waits.delay_s(attempts - self.quick + 1, chance)

    @property
    def longest_s(self) -> float:
        """No wait is longer: what seems to wait longer was put down before a clock was set back."""
        return self.parked_waits.last_s
