"""Objectives, and how fast the rest of them is burned: the error budget of chapter 5 of the SRE workbook.

An objective of 99.9 % leaves 0.1 % of the calls to go wrong: the budget. It burns at rate 1 when it lasts
just as long as the objective's 30 days. An alert needs a long window, so that it is worth waking somebody
up, and a short one, so that it ends soon after its cause. Pure: time is an argument, by a clock that
never steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from borough.contracts.objective import Objective

__all__ = ["BURNS", "Burn", "KeptSpent", "Severity", "Spent"]

Severity = Literal["page", "ticket"]
"""Whether somebody must look now, or in working hours."""


class Burn(msgspec.Struct, frozen=True):
    """An alert on a budget: burned `factor` times too fast over both windows."""

    name: str
    long_s: float
    short_s: float
    factor: float
    severity: Severity

    def condition(self, objective: Objective) -> str:
        """As a sentence has it."""
        windows = f"{_words(self.long_s)} and {_words(self.short_s)}"
        return f"{objective.text}: budget burned > {self.factor:g} times too fast over {windows}"


BURNS: Final = (
    Burn("fast", 3600.0, 300.0, 14.4, "page"),
    Burn("slow", 21_600.0, 1800.0, 6.0, "page"),
    Burn("creeping", 259_200.0, 21_600.0, 1.0, "ticket"),
)
"""Table 5-8 of the workbook: 2 % of the budget in an hour, 5 % in six, 10 % in three days."""


def _words(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0)):
        if seconds >= length and not seconds % length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds / 60.0:g} min"


_Pieces = Sequence[tuple[float, float, float]]
"""When each began, how many calls ended, how many of them badly."""


class KeptSpent(msgspec.Struct, frozen=True):
    """What has been spent of one budget, to outlive a restart."""

    fine: _Pieces = ()
    coarse: _Pieces = ()


class _Ring:
    """Sums of what happened, by pieces of time, for so long."""

    def __init__(self, piece_s: float, kept_s: float, pieces: _Pieces) -> None:
        self._piece_s = piece_s
        self._kept_s = kept_s
        self._pieces = deque([began, count, bad] for began, count, bad in pieces)

    def moved(self, by_s: float) -> _Pieces:
        return [(began + by_s, count, bad) for began, count, bad in self._pieces]

    def add(self, now: float, count: float, bad: float) -> None:
        began = now - now % self._piece_s
        if (
            self._pieces and self._pieces[-1][0] >= began
        ):  # one that was kept may have begun in between
            self._pieces[-1][1] += count
            self._pieces[-1][2] += bad
        else:
            self._pieces.append([began, count, bad])
        while self._pieces[0][0] < now - self._kept_s - self._piece_s:
            self._pieces.popleft()

    def of(self, now: float, window_s: float) -> tuple[float, float]:
        count = bad = 0.0
        for began, inside, wrong in reversed(self._pieces):
            if began + self._piece_s <= now - window_s:
                break
            count += inside
            bad += wrong
        return count, bad


class Spent:
    """What has been spent of one budget lately: about 1,100 numbers, however much happens."""

    def __init__(self, kept: KeptSpent | None = None) -> None:
        kept = kept or KeptSpent()
        self._fine = _Ring(15.0, 3600.0, kept.fine)
        self._coarse = _Ring(300.0, 259_200.0, kept.coarse)

    def kept(self, by_s: float) -> KeptSpent:
        """What is to outlive a restart, by a clock that is so far ahead."""
        return KeptSpent(self._fine.moved(by_s), self._coarse.moved(by_s))

    def add(self, now: float, count: float, bad: float) -> None:
        """So many calls have ended, so many of them badly."""
        self._fine.add(now, count, bad)
        self._coarse.add(now, count, bad)

    def within(self, now: float, window_s: float) -> tuple[float, float]:
        """How many calls ended within that time, and how many badly."""
        return (self._fine if window_s <= 3600.0 else self._coarse).of(now, window_s)

    def rates(self, now: float, objective: Objective, burn: Burn) -> Sequence[float]:
        """How fast the budget burned over both windows of an alert; none where nothing happened."""
        found = [self.within(now, window_s) for window_s in (burn.long_s, burn.short_s)]
        return [objective.rate(bad / count) for count, bad in found if count > 0]
