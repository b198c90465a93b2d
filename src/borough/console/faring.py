"""How who answers fares, in a word: what the boxes and lines of the map are coloured by. Pure.

A call and an event that failed weigh the same. A few failures among many calls are no trouble that somebody has to
look at now, and do not look like it: the bound is that of the rule `failing-calls`.
"""

from __future__ import annotations

from typing import Final, Literal

from borough.console.windows import Lately
from borough.reliability.alert_rules import DEFAULT_RULES

__all__ = ["Faring", "faring"]

Faring = Literal["quiet", "well", "ailing", "failing"]
"""Nothing happens; nothing fails; a few fail; more than a few fail."""

_BOUND: Final = next(rule.above for rule in DEFAULT_RULES if rule.name == "failing-calls") / 100


def faring(*lately: Lately) -> Faring:
    """Of calls, of events, or of both: as the worse of them."""
    shares = [(each.faults_per_s or 0.0) / each.per_s for each in lately if each.per_s]
    if not shares:
        return "quiet"
    worst = max(shares)
    return "failing" if worst > _BOUND else "ailing" if worst > 0 else "well"
