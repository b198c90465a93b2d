"""How often a body that another transaction was in the way of runs again, and after which pause.

A few times at once. Then with a growing random pause, for bodies that have met would otherwise meet again.
"""

from __future__ import annotations

from borough.reliability.backoff import Backoff

__all__ = ["pause_s"]

_RERUNS = 20
_AT_ONCE = 3
_PAUSES = Backoff(0.002, 0.1)


def pause_s(reruns: int, chance: float) -> float | None:
    """The pause before the next run after so many reruns; None after the last one.

    `chance` is a random number in [0, 1).
    """
    if reruns >= _RERUNS:
        return None
    return _PAUSES.delay_s(reruns - _AT_ONCE + 1, chance) if reruns >= _AT_ONCE else 0.0
