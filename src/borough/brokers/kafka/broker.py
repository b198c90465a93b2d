"""The port over Kafka: publishing, and readings whose positions are numbers in the consumers' databases.

librdkafka works in threads of its own; nothing here waits on the loop's. Who reads is decided by the lease in the
consumer's database, not by a consumer group: partitions are assigned, and the group only keeps offsets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import msgspec
from confluent_kafka import KafkaException

from borough.brokers.claims import Claims
from borough.brokers.kafka.group import Group, made_consumer
from borough.brokers.kafka.owners import Owners
from borough.brokers.kafka.places import Offsets, places_text, read_places, start_of
from borough.brokers.kafka.publishing import Publishing
from borough.brokers.kafka.reading import KafkaSubscription
from borough.brokers.kafka.records import dead_headers
from borough.brokers.kafka.terms import KafkaTerms
from borough.brokers.kafka.topics import Topics
from borough.clock import Clock
from borough.contracts.retention import Retention
from borough.ending import ended
from borough.errors import BrokerError, ConfigurationError
from borough.ports import LONGEST_EVENT, Message, TopicFacts, Trimmed

__all__ = ["KafkaBroker"]

_DEAD_FOR: Final = Retention("age", 14 * 86_400)
_THREADS: Final = 512
"""One for each reading that waits, made when it is needed."""


class KafkaBroker:
    """Events of a system in a Kafka cluster."""

    keeps_positions = False
    keeps_order = True
    keeps_history = True
    tells_types_apart = False

    def __init__(self, terms: KafkaTerms, clock: Clock) -> None:
        self._terms = terms
        self._clock = clock
        self._publishing = Publishing(terms)
        self._topics: Topics | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._readings: set[KafkaSubscription] = set()
        self._claims = Claims(self._claim)
        self._owners: Owners | None = None

    async def open(self) -> None:
        """Take events from now on. The cluster may still be away: events wait in their outboxes.

        Raises `ConfigurationError` for settings that the client does not take.
        """
        if self._topics is not None:
            return
        try:
            topics = Topics(self._terms, self._clock, self._publishing.reason)
            self._publishing.open()  # half a second until it may publish; better now than later
        except KafkaException as error:
            raise ConfigurationError(
                f"Kafka's client refuses its settings ({error.args[0].str()}); "
                "correct events.kafka.settings in borough.toml"
            ) from None
        self._topics = topics
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="borough-kafka")

    async def claim(self, services: Iterable[str]) -> None:
        """Say in a topic that they are this system's, unless another has. Raises `ConfigurationError`."""
        await self._claims.begin(services)

    async def _claim(self, service: str) -> None:
        topics, threads = self._opened()
        if self._owners is None:
            self._owners = Owners(self._terms, topics, self._publishing, threads, self._clock)
        await self._owners.claim(service)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Acknowledged by all replicas in sync when it returns. Raises `BrokerError`."""
        topics, _ = self._opened()
        await self._claims.settle()
        for message in messages:
            if len(message.body) > LONGEST_EVENT:
                raise BrokerError(
                    f"event {message.id} of {message.topic} has {len(message.body)} bytes, "
                    f"an event at most {LONGEST_EVENT}"
                )
        named = {message.topic for message in messages}
        for topic in named:
            await self._made(topics, topic)
        try:
            await self._publishing.send(messages)
        except BrokerError:
            for topic in named:
                topics.forget(topic)  # it may be gone: then it is made anew
            raise

    async def join(self, group: str, topic: str, *, anew: bool = False) -> None:
        """Note where the topic ends as the offsets of the group, unless it has some."""
        topics, threads = self._opened()
        await self._claims.settle()
        partitions = await self._made(topics, topic)
        consumer = made_consumer(self._terms, group)
        try:
            offsets = Group(consumer, self._terms.topic(topic), threads, self._clock)
            if anew or not await offsets.committed(partitions):
                _, high = await topics.bounds(topic, partitions)
                await offsets.commit(high)
        finally:
            # To cancel one that has not begun would leave it open.
            await ended(asyncio.get_running_loop().run_in_executor(threads, consumer.close))

    async def waiting(self, group: str, topic: str) -> int:
        """0: positions live with the reader."""
        return 0

    async def end(self, topic: str) -> int:
        """How many events the topic has had, over all partitions."""
        topics, _ = self._opened()
        _, high = await topics.bounds(topic, await topics.partitions(topic))
        return sum(high.values())

    async def ending(self, topic: str) -> tuple[int, str]:
        """`end`, and the offsets there, for the handler's database."""
        topics, _ = self._opened()
        _, high = await topics.bounds(topic, await topics.partitions(topic))
        end = sum(high.values())
        return end, places_text(end, high)

    async def earliest(self, topic: str) -> int:
        """How many of them retention has removed."""
        topics, _ = self._opened()
        low, _ = await topics.bounds(topic, await topics.partitions(topic))
        return sum(low.values())

    async def origin(self, topic: str) -> str:
        """The id that the cluster gave to the topic when it was made, where there is one."""
        return " ".join(filter(None, ("kafka", await self._opened()[0].identity(topic))))

    async def bury(self, group: str, message: Message, attempts: int, cause: str) -> None:
        """Put a copy into the topic `TOPIC.dead`, that keeps it for a fortnight."""
        topics, _ = self._opened()
        grave = f"{message.topic}.dead"
        if not await topics.partitions(grave):
            await self._made(topics, grave)
            await topics.retain(grave, _DEAD_FOR)
        copy = msgspec.structs.replace(message, topic=grave)
        await self._publishing.send([copy], dead_headers(group, attempts, cause))

    async def facts(self, topic: str) -> TopicFacts:
        """What the topic holds now; Kafka tells no sizes. Each partition is a segment."""
        topics, _ = self._opened()
        partitions = await topics.partitions(topic)
        low, high = await topics.bounds(topic, partitions)
        earliest, end = sum(low.values()), sum(high.values())
        oldest_s = await topics.oldest_s(topic, partitions)
        return TopicFacts(earliest, end, end - earliest, None, len(partitions), oldest_s)

    async def trim(self, topic: str, retention: Retention, now_s: float) -> Trimmed:
        """Tell the cluster what the topic retains; it removes the rest by itself."""
        await self._opened()[0].retain(topic, retention)
        return Trimmed()

    async def subscribe(self, group: str, topic: str, position: int) -> KafkaSubscription:
        """Read `topic` after `position`; the group knows the offsets behind it, unless they have expired."""
        return await self._subscribed(group, topic, position, None)

    async def subscribe_at(
        self, group: str, topic: str, position: int, places: str
    ) -> KafkaSubscription:
        """Read `topic` from the offsets that were noted with `position`."""
        return await self._subscribed(group, topic, position, read_places(position, places))

    async def _subscribed(
        self, group: str, topic: str, position: int, noted: Offsets | None
    ) -> KafkaSubscription:
        topics, threads = self._opened()
        await self._claims.settle()
        name = self._terms.topic(topic)
        await self._made(topics, topic)
        identity = await topics.identity(topic)
        partitions = await topics.partitions(topic)
        another = partial(made_consumer, self._terms, group)
        consumer = another()
        try:
            committed = await Group(consumer, name, threads, self._clock).committed(partitions)
            low, high = await topics.bounds(topic, partitions)
            found = start_of(position, low, high, committed, noted)
            start = msgspec.structs.replace(found, identity=identity)
            reading = KafkaSubscription(
                consumer, another, name, topics, threads, self._clock, group, topic, start
            )
        except BaseException:
            threads.submit(consumer.close)
            raise
        self._readings.add(reading)
        reading.when_closed(self._readings.discard)
        return reading

    async def close(self) -> None:
        """End what is being read. Idempotent."""
        for reading in tuple(self._readings):
            await reading.close()
        await self._publishing.close()
        threads, self._threads, self._topics = self._threads, None, None
        self._owners = None
        if threads is not None:
            threads.shutdown(wait=False)

    async def _made(self, topics: Topics, topic: str) -> tuple[int, ...]:
        """The partitions of a topic. Raises `BrokerError` where there is none, and none may be made."""
        found = await topics.ensure(topic)
        if not found:
            raise BrokerError(
                f"Kafka has no topic {self._terms.topic(topic)}, and events.kafka.creates is off; "
                "make it, with max.message.bytes of 1114112 or more"
            )
        return found

    def _opened(self) -> tuple[Topics, ThreadPoolExecutor]:
        if self._topics is None or self._threads is None:
            raise BrokerError("the broker is not open")
        return self._topics, self._threads
