"""Whether a call that came to nothing is sent again, and when: few times, with full jitter, on a budget.

Only what surely did not run is repeated, or what may run twice. Repeats are paid for by answers: a
dependency that answers nothing earns none, so that a dead one is not called much more than it is asked
for. One layer repeats: what a callee could not get from others is never marked as repeatable.
"""

from __future__ import annotations

import msgspec

from borough.reliability.backoff import Backoff

__all__ = ["RepeatTerms", "Repeats"]


class RepeatTerms(msgspec.Struct, frozen=True):
    """`attempts` in all for one call; `share` of the answered calls may be repeats, `saved` at most at once."""

    attempts: int = 3
    share: float = 0.2
    saved: int = 10
    waits: Backoff = Backoff(0.05, 2.0)


class Repeats:
    """The repeats of all calls from one service to another. At first the whole of `saved` is there."""

    __slots__ = ("_answered", "_tokens", "count", "terms")

    def __init__(self, terms: RepeatTerms) -> None:
        self.terms = terms
        self.count = 0
        """How many there were."""
        self._tokens = float(terms.saved)
        self._answered = 0

    def wait_s(
        self,
        attempts: int,
        *,
        answered: int,
        left_s: float,
        chance: float,
        asked_s: float | None = None,
    ) -> float | None:
        """How long to wait before the next attempt, which is then paid for; None: no further one.

        `attempts` were made for this call, `answered` counts the calls ever answered, `left_s` is the
        time left, `chance` a random number in [0, 1), `asked_s` what the callee asked to wait at least.
        """
        terms = self.terms
        if attempts >= terms.attempts:
            return None
        wait_s = terms.waits.delay_s(attempts, chance)
        if asked_s is not None:
            if asked_s > terms.waits.last_s:
                return None
            wait_s += asked_s
        if wait_s >= left_s:
            return None
        # Answers are counted by whoever has them at hand; here it is only seen how many came since.
        earned = terms.share * (answered - self._answered)
        self._answered = answered
        self._tokens = min(float(terms.saved), self._tokens + earned)
        if self._tokens < 1:
            return None
        self._tokens -= 1
        self.count += 1
        return wait_s
