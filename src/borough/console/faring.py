"""How who answers fares, in a word: what the boxes and lines of the map are coloured by. Pure.

A few failures among many calls are no trouble that somebody has to look at now, and do not look like it: how many are
too many is what the alerts' rules and a service's objective say.
"""

from __future__ import annotations

from typing import Literal

from borough.console.windows import Lately

__all__ = ["Faring", "faring"]

Faring = Literal["quiet", "well", "ailing", "failing"]
"""Nothing happens; nothing fails; as much fails as may; more fails."""


def faring(*found: tuple[Lately, float]) -> Faring:
    """Of calls, of events, or of both, each with the share that may fail: as the worse of them."""
    shares = [
        ((each.faults_per_s or 0.0) / each.per_s, bound) for each, bound in found if each.per_s
    ]
    if not shares:
        return "quiet"
    if any(share > bound for share, bound in shares):
        return "failing"
    return "ailing" if any(share > 0 for share, _ in shares) else "well"
