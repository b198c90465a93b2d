"""Order per key with parallelism: which delivery may start now, and how far everything is done.

Every key has a lane; only the head of a lane runs. A failed head waits for its next attempt and
its lane waits with it, while other lanes go on. A delivery without a key has a lane of its own.
Only what is not finished is remembered: at most `window` deliveries, however far the others have
gone.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Lanes", "Start"]

T = TypeVar("T")


class Start(Generic[T]):
    """A delivery in its lane; `attempt` counts its starts from 1, `spared` those that say nothing of it.

    `refused` is how often it could not be put aside, for a reason of its own.
    """

    __slots__ = ("attempt", "before", "item", "key", "position", "refused", "spared")

    def __init__(self, position: int, before: int, key: str | None, item: T) -> None:
        self.position = position
        self.before = before
        self.key = key
        self.item = item
        self.attempt = 0
        self.spared = 0
        self.refused = 0


class Lanes(Generic[T]):
    """The deliveries of one subscription on their way through one handler.

    `offer` in order of position, `start` while there is something to start, then `succeed` or
    `fail` for each. `done` is the position up to which nothing is left to do.
    """

    __slots__ = ("_lanes", "_last", "_ready", "_running", "_unfinished", "_waiting", "window")

    def __init__(self, position: int, window: int = 1000) -> None:
        self.window = window
        self._last = position
        self._unfinished: dict[int, Start[T]] = {}
        self._lanes: dict[str, deque[Start[T]]] = {}
        self._ready: deque[Start[T]] = deque()
        self._waiting: list[tuple[float, int]] = []
        self._running = 0

    @property
    def room(self) -> int:
        """How many more deliveries may be offered."""
        return self.window - self.unfinished

    @property
    def unfinished(self) -> int:
        """How many were offered and are not done."""
        return len(self._unfinished)

    @property
    def running(self) -> int:
        """How many have been started and neither succeeded nor failed."""
        return self._running

    @property
    def empty(self) -> bool:
        """Whether all that was offered is done."""
        return not self._unfinished

    @property
    def done(self) -> int:
        """All up to and with this position is done."""
        for first in self._unfinished.values():
            return first.before
        return self._last

    @property
    def due(self) -> float | None:
        """When the next waiting delivery may start again; None where none waits."""
        return self._waiting[0][0] if self._waiting else None

    def offer(self, position: int, key: str | None, item: T) -> None:
        """Take the next delivery in.

        Raises `ValueError` out of order, `OverflowError` without room.
        """
        if position <= self._last:
            raise ValueError(f"position {position} was offered after {self._last}")
        if len(self._unfinished) >= self.window:
            raise OverflowError(f"{self.window} deliveries are unfinished already")
        entry = Start(position, self._last, key, item)
        self._unfinished[position] = entry
        self._last = position
        if key is None:
            self._ready.append(entry)
            return
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = deque((entry,))
            self._ready.append(entry)
        else:
            lane.append(entry)

    def skip(self, position: int) -> None:
        """Pass over a position that is nobody's concern. Raises `ValueError` out of order."""
        if position < self._last:
            raise ValueError(f"position {position} was skipped after {self._last}")
        self._last = position

    def start(self, now: float) -> Start[T] | None:
        """The next delivery that may run, None where each must wait. It is then running."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(self._unfinished[heappop(self._waiting)[1]])
        if not self._ready:
            return None
        entry = self._ready.popleft()
        entry.attempt += 1
        self._running += 1
        return entry

    def succeed(self, position: int) -> None:
        """The running delivery is handled and committed; the next of its key may start."""
        entry = self._unfinished.pop(position)
        self._running -= 1
        if entry.key is None:
            return
        lane = self._lanes[entry.key]
        lane.popleft()
        if lane:
            self._ready.append(lane[0])
        else:
            del self._lanes[entry.key]

    def fail(self, position: int, again_at: float) -> None:
        """The running delivery failed; it and what follows under its key wait until `again_at`."""
        self._running -= 1
        heappush(self._waiting, (again_at, position))
