"""A caller holds itself back where a callee refuses: refusing costs the callee what it is short of.

As long as a service takes at least every second call, all are sent. Above that a share is refused here,
such that about `factor` times what it takes still arrives, and at least one call in ten.
"""

from __future__ import annotations

import msgspec

__all__ = ["Throttle", "ThrottleTerms"]


class ThrottleTerms(msgspec.Struct, frozen=True):
    """The last `window_s` count; so many calls as `spare` are too few to judge by."""

    window_s: float = 2.0
    factor: float = 2.0
    spare: int = 10
    most: float = 0.9


class Throttle:
    """What one callee has taken and refused lately. Idle, and not to be asked, until it refuses."""

    __slots__ = ("_before", "_since", "_taken_at", "_turned_away", "is_active", "terms")

    def __init__(self, terms: ThrottleTerms) -> None:
        self.terms = terms
        self.is_active = False
        """Whether there was a refusal within the window."""
        self._since = 0.0
        self._taken_at = 0
        self._turned_away = 0
        self._before = (0, 0)

    def note_refusal(self, now: float, answered: int) -> None:
        """A call was turned away, there or here. `answered` counts the calls ever taken."""
        if not self.is_active:
            self.is_active = True
            self._since, self._taken_at = now, answered
            self._turned_away, self._before = 0, (0, 0)
        else:
            self._move_on(now, answered)
        self._turned_away += 1

    def chance_of_refusal(self, now: float, answered: int) -> float:
        """With which probability the next call is refused here, in [0, `most`]."""
        self._move_on(now, answered)
        if not self.is_active:
            return 0.0
        terms, (taken_before, away_before) = self.terms, self._before
        taken = answered - self._taken_at + taken_before
        asked = taken + self._turned_away + away_before
        excess = asked - terms.spare - terms.factor * taken
        return min(terms.most, excess / (asked + 1)) if excess > 0 else 0.0

    def _move_on(self, now: float, answered: int) -> None:
        """Keep this half of the window and the one before."""
        half_s = self.terms.window_s / 2
        passed_s = now - self._since
        if passed_s < half_s:
            return
        taken = answered - self._taken_at
        self._before = (taken, self._turned_away) if passed_s < 2 * half_s else (0, 0)
        self._since, self._taken_at, self._turned_away = now, answered, 0
        self.is_active = self._before[1] > 0
