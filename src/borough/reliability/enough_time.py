"""Whether a call had enough time for its end to say anything of who should have answered it.

Anybody may ask for an answer within a millisecond. That none comes so soon is the choice of who asked: it is no
fault that somebody is told of, leaves no replica out, and lets no caller hold back. What follows from such a call has
as little time and is judged alike, in whatever process it runs, so that nothing need travel with it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EARLY_S", "TOO_LITTLE_TIME", "enough_s", "is_hurried"]

TOO_LITTLE_TIME: Final = "too-little-time"
"""The `error.type` of a call that failed for want of time that it never had."""
_ENOUGH_S = 1.0
EARLY_S: Final = 0.002
"""A timer may ring that much too soon."""


def enough_s(default_s: float, own_s: float | None = None) -> float:
    """How much time is enough, in seconds, where calls have `default_s` unless they ask for less.

    `own_s` is the time that the operation itself takes at most: who keeps to so little is judged by it.
    """
    return min(_ENOUGH_S, (default_s if own_s is None else min(default_s, own_s)) / 2)


def is_hurried(given_s: float, took_s: float, least_s: float, *, is_refused: bool) -> bool:
    """Whether a call that was given so long, and failed after `took_s`, has failed for want of time.

    Refusals and problems for want of time come before it is over, but in its second half; anything else that is
    raised while time is left has another reason.
    """
    return given_s < least_s and took_s >= (given_s / 2 if is_refused else given_s - EARLY_S)
