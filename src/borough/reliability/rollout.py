"""How a new version takes the place of the running one: one replica at a time, and back on any trouble.

A new replica is there before an old one leaves. The old ones that have left come back before the
new ones go. Which state follows which event stands in `TRANSITIONS`; who acts is elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

__all__ = ["FINAL", "TRANSITIONS", "Event", "State", "Tally", "is_much_worse"]

State = Literal[
    "checking",
    "starting",
    "watching",
    "retiring",
    "dismissing",
    "restoring",
    "clearing",
    "done",
    "refused",
    "rolled back",
    "stuck",
]
Event = Literal["fine", "last", "trouble"]

TRANSITIONS: Mapping[tuple[State, Event], State] = {
    # its code loads; contracts and migrations fit what runs
    ("checking", "fine"): "starting",
    ("checking", "trouble"): "dismissing",
    ("dismissing", "fine"): "refused",
    # one more new replica is ready, and is told to everybody
    ("starting", "fine"): "watching",
    ("starting", "trouble"): "restoring",
    # it has answered beside the old ones for a while
    ("watching", "fine"): "retiring",
    ("watching", "trouble"): "restoring",
    # an old one is told to nobody any more, has finished, and has ended
    ("retiring", "fine"): "starting",
    ("retiring", "last"): "done",
    ("retiring", "trouble"): "restoring",
    # as many old ones as before take calls again
    ("restoring", "fine"): "clearing",
    ("restoring", "trouble"): "stuck",
    # the new ones have finished, and have ended
    ("clearing", "fine"): "rolled back",
}
"""What follows. A pair that is not here cannot be."""

FINAL: frozenset[State] = frozenset({"done", "refused", "rolled back", "stuck"})

_FEWEST_FAILURES = 5
_LARGER_SHARE = 2.0
_MARGIN = 0.05


class Tally(msgspec.Struct, frozen=True):
    """Requests answered, and how many of them with a failure."""

    requests: int = 0
    failures: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.requests + other.requests, self.failures + other.failures)

    def since(self, before: Tally) -> Tally:
        """What came after `before`; all of a process that was begun anew since, and so counts from zero."""
        if self.requests < before.requests or self.failures < before.failures:
            return self
        return Tally(self.requests - before.requests, self.failures - before.failures)

    @property
    def share(self) -> float:
        """The failed share, 0 where nothing was asked."""
        return self.failures / self.requests if self.requests else 0.0


def is_much_worse(new: Tally, old: Tally) -> bool:
    """Whether the new version fails well above the old one: more than twice its share and 5 % on top,
    and more often than chance explains. What fails on both, or seldom, is no reason to go back."""
    return new.failures >= _FEWEST_FAILURES and new.share > _LARGER_SHARE * old.share + _MARGIN
