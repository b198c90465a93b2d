"""One order out of several partitions: that of the publisher's numbers.

Each event names the number of the one before it in its topic. What follows the last one goes on at once.
Behind a gap, the lowest waits until every partition has been looked at, and until it is old enough for
whatever was on its way when it was published. Compaction and retention leave gaps in what is old, and
there nothing waits.
Pure decisions; time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

__all__ = ["Merge", "Record"]

T = TypeVar("T")


class Record(msgspec.Struct, Generic[T], frozen=True):
    """What a partition gives: an item with its number, that of the one before, and when it was published.

    `after` is the offset behind it. Number 0 is an event of a publisher that counts nothing.
    """

    partition: int
    after: int
    sequence: int
    previous: int
    published_s: float
    item: T


class Merge(Generic[T]):
    """Holds the records of each partition until their turn."""

    __slots__ = ("_ended", "_last", "_queues", "held", "patience_s")

    def __init__(self, partitions: Iterable[int], patience_s: float = 5.0) -> None:
        self._queues: dict[int, deque[Record[T]]] = {each: deque() for each in partitions}
        self._ended: set[int] = set()
        self._last: int | None = None
        self.held = 0
        """How many records wait."""
        self.patience_s = patience_s

    def add_partition(self, partition: int) -> None:
        """There is one more."""
        self._queues.setdefault(partition, deque())

    def offer(self, record: Record[T]) -> None:
        """Take a record in, the next one of its partition."""
        self._ended.discard(record.partition)
        self._queues[record.partition].append(record)
        self.held += 1

    def end(self, partition: int) -> bool:
        """The partition has been read to its end; returns whether nothing of it waits."""
        self._ended.add(partition)
        return not self._queues[partition]

    def waiting(self, partition: int) -> int:
        """How many records of a partition wait."""
        return len(self._queues[partition])

    def next(self, now_s: float) -> Record[T] | None:
        """The record whose turn it is; None where it has not come yet, or is not old enough (`due`)."""
        if not self.held:
            return None
        if len(self._queues) == 1:
            (queue,) = self._queues.values()
            return self._passed(queue)
        lowest = self._lowest()
        if lowest is None:
            return None
        queue, follows = lowest
        if not follows:
            if not self._all_known():
                return None
            if self._last is not None and queue[0].published_s + self.patience_s > now_s:
                return None
        return self._passed(queue)

    def due(self) -> float | None:
        """When patience with a gap ends (seconds since 1970); None where time alone changes nothing."""
        heads = [queue[0] for queue in self._queues.values() if queue]
        if not heads or self._last is None or not self._all_known():
            return None
        return min(heads, key=_number).published_s + self.patience_s

    def _lowest(self) -> tuple[deque[Record[T]], bool] | None:
        """The queue whose head comes first, and whether it follows what has passed."""
        last = self._last
        seen = 0 if last is None else last
        lowest: deque[Record[T]] | None = None
        lowest_number = 0
        for queue in self._queues.values():
            if not queue:
                continue
            head = queue[0]
            number = head.sequence
            if head.previous <= seen or number <= seen:  # 0 comes first, and counts nothing
                return queue, True
            if lowest is None or number < lowest_number:
                lowest, lowest_number = queue, number
        return None if lowest is None else (lowest, False)

    def _all_known(self) -> bool:
        return all(queue or each in self._ended for each, queue in self._queues.items())

    def _passed(self, queue: deque[Record[T]]) -> Record[T]:
        record = queue.popleft()
        self.held -= 1
        if record.sequence > (self._last or 0):
            self._last = record.sequence
        return record


def _number(record: Record[T]) -> int:
    return record.sequence
