"""When the relay looks into the outbox again: at once after moving some, on a hint, or on its poll.

Polling is the truth, hints only make it fast. An idle relay polls ever more slowly, a relay whose
broker fails waits with full jitter, and the rows stay where they are. What fails again and again is moved one by
one, so that all before an event that the broker never takes are moved, and that one is known.
"""

from __future__ import annotations

import msgspec

from borough.reliability.backoff import Backoff

__all__ = ["RelayPace", "RelayTerms"]

_SUSPICIOUS = 3
"""After so many failures one after another they may lie in a single event."""


class RelayTerms(msgspec.Struct, frozen=True):
    """The sizes and waits of a relay."""

    batch: int = 500
    """Events moved at once, at most."""
    batch_bytes: int = 8 << 20
    """No further event is moved along with ones of so many bytes; a single one may be larger."""
    poll_s: float = 0.2
    idle_poll_s: float = 1.0
    backoff: Backoff = Backoff(0.1, 5.0)


class RelayPace:
    """How long the relay waits after each look; zero means that there is more to do."""

    __slots__ = ("_failures", "_poll_s", "batch", "terms")

    def __init__(self, terms: RelayTerms) -> None:
        self.terms = terms
        self.batch = terms.batch
        """How many to move at the next look, at most."""
        self._poll_s = terms.poll_s
        self._failures = 0

    def moved(self, count: int) -> float:
        """After a look that found `count` rows and moved them."""
        self._failures = 0
        if count:
            self.batch = min(2 * self.batch, self.terms.batch)
            self._poll_s = self.terms.poll_s
            return 0.0
        wait_s = self._poll_s
        self._poll_s = min(self._poll_s * 1.5, self.terms.idle_poll_s)
        return wait_s

    def failed(self, chance: float) -> float:
        """After a look whose rows could not be moved; `chance` is a random number in [0, 1)."""
        self._failures += 1
        if self._failures >= _SUSPICIOUS or self.batch < self.terms.batch:
            self.batch = 1
        return self.terms.backoff.delay_s(self._failures, chance)
