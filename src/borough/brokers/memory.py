"""A broker in the memory of one process: for tests and for systems whose events may end with them.

It keeps every promise of the port but one: a new object knows nothing of an earlier one. A position
is the number of events that a topic has had up to there, those that were trimmed among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from borough.clock import Clock
from borough.contracts.retention import Retention
from borough.errors import BrokerError
from borough.ports import LONGEST_EVENT, Delivery, Message, TopicFacts, Trimmed

__all__ = ["MemoryBroker"]


class _Topic:
    """The events of one topic with their times; `removed` stood before them."""

    __slots__ = ("events", "ids", "readers", "removed")

    def __init__(self) -> None:
        self.events: list[tuple[int, float, Message]] = []
        self.ids: set[str] = set()
        self.removed = 0
        self.readers: set[_MemorySubscription] = set()

    @property
    def end(self) -> int:
        return self.events[-1][0] if self.events else self.removed


class MemoryBroker:
    """Events of the services of one process."""

    keeps_positions = False
    keeps_order = True
    keeps_history = True
    tells_types_apart = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._open = False

    async def open(self) -> None:
        """Take events from now on."""
        self._open = True

    async def claim(self, services: Iterable[str]) -> None:
        """Nothing: nobody else is here."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Put the events into their topics, each id once. Raises `BrokerError`."""
        if not self._open:
            raise BrokerError("the broker is not open")
        for message in messages:
            if len(message.body) > LONGEST_EVENT:
                raise BrokerError(
                    f"event {message.id} of {message.topic} has {len(message.body)} bytes, "
                    f"an event at most {LONGEST_EVENT}"
                )
        now_s = self._clock.epoch_s()
        for message in messages:
            topic = self._topic(message.topic)
            if message.id not in topic.ids:
                topic.ids.add(message.id)
                topic.events.append((topic.end + 1, now_s, message))
                for reader in topic.readers:
                    reader.wake()

    async def join(self, group: str, topic: str, *, anew: bool = False) -> None:
        """Nothing: where a handler begins lives with it."""

    async def waiting(self, group: str, topic: str) -> int:
        """0: nothing is kept for a handler."""
        return 0

    async def end(self, topic: str) -> int:
        """How many events the topic has had."""
        return self._topic(topic).end

    async def earliest(self, topic: str) -> int:
        """How many of them have been trimmed at its beginning."""
        found = self._topic(topic)
        return found.events[0][0] - 1 if found.events else found.removed

    async def origin(self, topic: str) -> str:
        """One object is one log."""
        return "memory"

    async def bury(self, group: str, message: Message, attempts: int, cause: str) -> None:
        """Nothing: the handler's database has it."""

    async def facts(self, topic: str) -> TopicFacts:
        """What the topic holds now."""
        found = self._topic(topic)
        size = sum(len(message.body) for _, _, message in found.events)
        oldest_s = found.events[0][1] if found.events else None
        first = await self.earliest(topic)
        return TopicFacts(first, found.end, len(found.events), size, 1, oldest_s)

    async def trim(self, topic: str, retention: Retention, now_s: float) -> Trimmed:
        """Remove what need not be retained, event by event."""
        found = self._topic(topic)
        if retention.kind == "forever" or not found.events:
            return Trimmed()
        if retention.kind == "age":
            kept = [event for event in found.events if event[1] >= now_s - retention.seconds]
        else:
            latest = {event[2].key: event[0] for event in found.events}
            kept = [
                event
                for event in found.events
                if event[2].key is None or latest[event[2].key] == event[0]
            ]
        numbers = {event[0] for event in kept}
        gone = [event for event in found.events if event[0] not in numbers]
        found.removed = found.end
        found.events = kept
        found.ids.difference_update(message.id for _, _, message in gone)
        return Trimmed(len(gone), sum(len(message.body) for _, _, message in gone))

    async def subscribe(self, group: str, topic: str, position: int) -> _MemorySubscription:
        """Read `topic` after `position`; who reads is of no use here, its position lives with it."""
        found = self._topic(topic)
        subscription = _MemorySubscription(found, topic, min(position, found.end))
        found.readers.add(subscription)
        return subscription

    async def close(self) -> None:
        """End what is being read. Idempotent."""
        self._open = False
        for topic in self._topics.values():
            for reader in tuple(topic.readers):
                await reader.close()

    def _topic(self, name: str) -> _Topic:
        return self._topics.setdefault(name, _Topic())


class _MemorySubscription:
    """One handler's reading of one topic."""

    def __init__(self, topic: _Topic, name: str, position: int) -> None:
        self._topic = topic
        self._name = name
        self._waiter: asyncio.Event = asyncio.Event()
        self._closed = False
        self.position = position
        self.missed = 0

    async def take(self, limit: int) -> Sequence[Delivery]:
        while True:
            if self._closed:
                raise BrokerError(f"the subscription to {self._name} is closed")
            self._waiter.clear()
            found = [event for event in self._topic.events if event[0] > self.position][:limit]
            if found:
                last = found[-1][0]
                self.missed += last - self.position - len(found)
                self.position = last
                return [Delivery(message, number) for number, _, message in found]
            await self._waiter.wait()

    async def done(self, position: int) -> None:
        """Nothing: the position lives in the reader's own database."""

    async def close(self) -> None:
        self._closed = True
        self._topic.readers.discard(self)
        self.wake()

    def wake(self) -> None:
        """There is something to look at."""
        self._waiter.set()
