"""Order where the broker gives none: an event of a topic waits until the one before it has passed.

Each event names the number of the event before it in its topic, so a gap is seen, and what follows
it is held. A gap that is not filled in time is passed over, for what is missing may never come; an
event that comes later is handed on at once, out of order. Pure decisions; time is an argument.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["Resequencer"]

T = TypeVar("T")


class Resequencer(Generic[T]):
    """Holds items of one topic back until their turn.

    `last` is the number of the newest event that has passed, None where that is not known: then
    the first ones are held for `patience_s`, and the lowest begins. At most `window` are held.
    `skipped` counts gaps that were passed over.
    """

    __slots__ = ("_arrived", "_held", "_window", "last", "patience_s", "skipped")

    def __init__(self, last: int | None, window: int = 1000, patience_s: float = 5.0) -> None:
        self.last = last
        self.patience_s = patience_s
        self.skipped = 0
        self._window = window
        self._held: dict[int, tuple[int, list[T]]] = {}
        """By the number before: the number, and the item with its duplicates."""
        self._arrived: deque[tuple[float, int]] = deque()

    @property
    def held(self) -> int:
        """How many events wait."""
        return len(self._held)

    @property
    def missing(self) -> tuple[int, int] | None:
        """Between which numbers the events lack that what is held waits for; None where that is not known."""
        if not self._held or self.last is None:
            return None
        return self.last, self._held[min(self._held)][0]

    @property
    def due(self) -> float | None:
        """When patience with the oldest gap ends; None where nothing is held."""
        while self._arrived and self._arrived[0][1] not in self._held:
            self._arrived.popleft()
        return self._arrived[0][0] + self.patience_s if self._arrived else None

    def offer(self, number: int, before: int, item: T, now: float) -> list[T]:
        """Take an item in; returns what may pass now, in order.

        `number` 0 is an event of a publisher that counts nothing: it passes at once.
        """
        last = self.last
        passed: list[T] = []
        if number <= 0 or (last is not None and number <= last):
            return [item]
        if before == 0 or (last is not None and before <= last):
            self.last = number
            passed.append(item)
            self._follow(passed)
            return passed
        waiting = self._held.get(before)
        if waiting is not None:
            waiting[1].append(item)
            return []
        self._held[before] = number, [item]
        self._arrived.append((now, before))
        while len(self._held) > self._window:
            self._pass_over_gap(passed)
        return passed

    def expire(self, now: float) -> list[T]:
        """What may pass because patience with the first gap has ended; the next one may be over, too."""
        passed: list[T] = []
        if (due := self.due) is not None and due <= now:
            self._pass_over_gap(passed)
        return passed

    def _pass_over_gap(self, passed: list[T]) -> None:
        if self.last is not None:
            self.skipped += 1
        lowest = min(self._held)
        self._pass(lowest, passed)
        self._follow(passed)

    def _follow(self, passed: list[T]) -> None:
        while self._held and self.last in self._held:
            self._pass(self.last, passed)

    def _pass(self, before: int, passed: list[T]) -> None:
        number, items = self._held.pop(before)
        passed += items
        self.last = number
