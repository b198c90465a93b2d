"""Until when all that a handler has done lies at or before its position.

What is read while an event stands still is done behind the position, and is found in the inbox when it is read
again. So the inbox may be aged by no time at which something was done that the position has not come to.
"""

from __future__ import annotations

__all__ = ["SettledTime"]


class SettledTime:
    """That time. Nothing was done behind `end` when it was `now`."""

    __slots__ = ("_at", "_end")

    def __init__(self, end: int, now: float) -> None:
        self._end = end
        self._at = now

    def at(self, position: int, read: int, now: float) -> float | None:
        """All up to `position` is done and all up to `read` was read; None while the time is as it was."""
        if position < self._end:
            return None
        settled_at = now if position >= read else self._at
        self._end, self._at = read, now
        return settled_at
