"""Which number belongs to the position up to which all is done, of what is read and not yet done.

While one event stands still, what is read goes on; so the fewest needed are remembered. Of two neighbours that
become one, the later position stays: until it is reached, the number said is lower than it might be, which
makes a reader look at some events again, and never pass over one.
"""

from __future__ import annotations

from collections import deque

__all__ = ["NumbersDone"]

_MOST = 4096


class NumbersDone:
    """The numbers of events by their positions, at most `most` of them."""

    __slots__ = ("_highest", "_most", "_waiting")

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._waiting: deque[tuple[int, int]] = deque()
        self._highest = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def read(self, position: int, number: int) -> None:
        """An event of that number stands at a position after all before."""
        waiting = self._waiting
        if len(waiting) >= self._most:
            halved: deque[tuple[int, int]] = deque()
            while len(waiting) > 1:
                (_, first), (place, second) = waiting.popleft(), waiting.popleft()
                halved.append((place, max(first, second)))
            halved += waiting
            waiting = self._waiting = halved
        waiting.append((position, number))

    def done(self, position: int) -> int:
        """The highest number that is known to be done when all up to `position` is."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= position:
            self._highest = max(self._highest, waiting.popleft()[1])
        return self._highest
