"""One handler's reading of a topic: all its partitions, in one order, its offsets noted in the handler's database.

A worker thread asks librdkafka for what has come; one question is open at a time, and its answer outlives
whoever was cancelled while he waited for it. A consumer may be used by one thread at a time, so all else that
it is told waits in a line for that thread. What is done is committed to the group, too, without waiting, for
the tools of Kafka; now and then of all partitions, as the cluster forgets one that is quiet.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from borough.brokers.kafka.merge import Merge, Record
from borough.brokers.kafka.places import Start, places_text
from borough.brokers.kafka.records import NotAnEvent, message_of
from borough.brokers.kafka.topics import Topics
from borough.clock import Clock
from borough.ending import until_done
from borough.errors import BrokerError, TopicReplaced
from borough.ports import Delivery, Message

__all__ = ["KafkaSubscription"]

_log = logging.getLogger("borough.events")

_ASKED_AT_ONCE: Final = 500
_LOOK_S: Final = 0.1
_LOOK_FOR_PARTITIONS_S: Final = 30.0
_LOOK_BEHIND_S: Final = 10.0
_COMMIT_ALL_EACH_S: Final = 3600.0
_TELL_EACH_S: Final = 60.0
_CLOSE_S: Final = 5.0
_PATIENCE_S: Final = 10.0
_CROWDED: Final = 5000
_ROOM_AGAIN: Final = 1000
_OUT_OF_RANGE: Final = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


class KafkaSubscription:
    """See `borough.ports.Subscription`; `name` is what the topic is called in the cluster."""

    def __init__(
        self,
        consumer: Consumer,
        another: Callable[[], Consumer],
        name: str,
        topics: Topics,
        threads: ThreadPoolExecutor,
        clock: Clock,
        group: str,
        topic: str,
        start: Start,
    ) -> None:
        self._consumer = consumer
        self._another = another
        self._name = name
        self._topics = topics
        self._threads = threads
        self._clock = clock
        self._group = group
        self._topic = topic
        self._next = dict(start.offsets)
        self._fetched = dict(start.offsets)
        self._identity = start.identity
        self._merge: Merge[Message | None] = Merge(start.offsets)
        self._skip_to = start.skip_to
        self._receipts: deque[tuple[int, int, int]] = deque()
        """By position: the partition and the offset that are done with it."""
        self._done = dict(start.offsets)
        self._committed: dict[int, int] = {}
        self._commit_all_at = clock.monotonic() + _COMMIT_ALL_EACH_S
        self._overtaken: dict[int, float] = {}
        """Partitions that do not hold what comes next, since when."""
        self._paused: set[int] = set()
        self._orders: deque[Callable[[], object]] = deque()
        """What the consumer is to be told by the worker thread."""
        self._closing = threading.Event()
        self._ran_dry = threading.Event()
        """The client had nothing to give since the topic was last looked at."""
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ending: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[list[Any]] | None = None
        self._when_closed: list[Callable[[KafkaSubscription], object]] = []
        self._look_at = clock.monotonic() + _LOOK_FOR_PARTITIONS_S
        self._look_behind_at = clock.monotonic() + _LOOK_BEHIND_S
        self._odd = 0
        """How many records that are no events were passed over and not told of; the last one, and when to tell."""
        self._odd_one: tuple[int, int, Exception] = (0, 0, NotAnEvent())
        self._tell_odd_at = -math.inf
        self._behind: dict[int, int] = {}
        """Partitions that had more than was given when they were last looked at, and how far they had been read."""
        self.position = start.position
        self.missed = start.missed
        if start.is_lost:
            _log.error(
                "%s: where position %d of %s is, the cluster does not know any more; it is read from "
                "the earliest retained event, and what lies before is passed over",
                group,
                start.skip_to,
                topic,
            )
        self._consumer.assign(self._assigned(start.offsets))

    async def take(self, limit: int) -> Sequence[Delivery]:
        """The next ones, in the order of the publisher's numbers; waits for one."""
        while True:
            if self._closing.is_set():
                raise BrokerError(f"the subscription to {self._topic} is closed")
            await self._look_for_partitions()
            found = self._ready(limit)
            if self._odd:
                self._tell_of_odd_ones()
            if found:
                return found
            await self._look_behind()
            if self._overtaken:
                await self._begin_overtaken()
            await self._wait()

    def places(self, position: int) -> str:
        """The offsets of what is done, for the handler's database."""
        while self._receipts and self._receipts[0][0] <= position:
            _, partition, after = self._receipts.popleft()
            self._done[partition] = after
        return places_text(position, self._done)

    async def done(self, position: int) -> None:
        """Commit what is done in each partition; the database has it already."""
        self.places(position)
        self._commit()

    def when_closed(self, call: Callable[[KafkaSubscription], object]) -> None:
        """Call this at the end."""
        self._when_closed.append(call)

    async def close(self) -> None:
        """Give what was committed last a moment to arrive, and let go. Idempotent.

        Whoever is cancelled waits for that, too.
        """
        if self._ending is None:
            self._closing.set()
            self._closed.set_result(None)
            for call in self._when_closed:
                call(self)
            self._ending = asyncio.create_task(self._let_go())
        await until_done(self._ending)

    async def _let_go(self) -> None:
        if self._reading is not None:
            await asyncio.wait([self._reading])
        loop = asyncio.get_running_loop()
        ending = loop.run_in_executor(self._threads, self._end)
        await asyncio.wait([ending], timeout=_CLOSE_S)

    # --- from records to deliveries --------------------------------------------------------------

    def _ready(self, limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        merge = self._merge
        now_s = self._clock.epoch_s()
        while len(found) < limit and (record := merge.next(now_s)) is not None:
            self._advance(record.partition, record.after, 1)
            message = record.item
            if message is not None and self.position > self._skip_to:
                found.append(Delivery(message, self.position))
        if self._paused:
            self._make_room()
        return found

    def _advance(self, partition: int, after: int, least: int) -> None:
        """All of a partition up to here has been read; a record counts, also where offsets begin anew."""
        more = max(after - self._next[partition], least)
        if more > 0:
            self._next[partition] = after
            self.position += more
            self._receipts.append((self.position, partition, after))

    def _sort(self, records: Sequence[Any]) -> None:
        """Put all that has come into its place. Raises `BrokerError`."""
        merge = self._merge
        problem: KafkaError | None = None
        for record in records:
            error = record.error()
            partition, offset = record.partition(), record.offset()
            if error is None:
                self._fetched[partition] = offset + 1
                merge.offer(self._read(record, partition, offset))
                continue
            code = error.code()
            if code == KafkaError._PARTITION_EOF:
                self._fetched[partition] = offset
                if merge.end(partition):
                    self._advance(partition, offset, 0)
            elif code in _OUT_OF_RANGE:
                self._overtaken.setdefault(partition, self._clock.monotonic())
            else:
                problem = error
        self._pause_crowded()
        if problem is not None:
            raise BrokerError(f"Kafka: {self._topic}: {problem.str()}")

    def _read(self, record: Any, partition: int, offset: int) -> Record[Message | None]:
        published_s = record.timestamp()[1] / 1000
        try:
            message = message_of(self._topic, record.key(), record.value(), record.headers() or ())
        except (NotAnEvent, UnicodeDecodeError) as error:  # the client decodes the names of headers
            self._odd += 1
            self._odd_one = partition, offset, error
            self._tell_of_odd_ones()
            return Record(partition, offset + 1, 0, 0, published_s, None)
        return Record(
            partition, offset + 1, message.sequence, message.previous, published_s, message
        )

    def _tell_of_odd_ones(self) -> None:
        """Of the first record that is no event at once; of more how many there were, once a minute."""
        now = self._clock.monotonic()
        if now < self._tell_odd_at:
            return
        partition, offset, error = self._odd_one
        if self._odd == 1:
            said = "passes over offset %d in partition %d of %s, which is no event: %s"
            _log.error(f"%s {said}", self._group, offset, partition, self._name, error)
        else:
            said = "has passed over %d more records of %s that are no events, the last at offset %d in partition %d: %s"
            _log.error(f"%s {said}", self._group, self._odd, self._name, offset, partition, error)
        self._odd = 0
        self._tell_odd_at = now + _TELL_EACH_S

    # --- the worker thread -----------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until something has come, a gap has become old enough, or the reading is closed."""
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(self._threads, self._poll)
        due = self._merge.due()
        wait_s = max(0.0, self._look_behind_at - self._clock.monotonic())
        if due is not None:
            wait_s = min(wait_s, max(0.0, due - self._clock.epoch_s()))
        if self._overtaken:
            wait_s = min(wait_s, _LOOK_S)
        waiting: list[asyncio.Future[Any]] = [self._reading, self._closed]
        await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if self._reading.done():
            reading, self._reading = self._reading, None
            try:
                records = reading.result()
            except (KafkaException, RuntimeError) as error:
                raise BrokerError(f"Kafka: {self._topic} cannot be read: {error}") from error
            self._sort(records)

    async def _begin_overtaken(self) -> None:
        """Go on in partitions that do not hold what comes next: retention was faster, or records are lost.

        Raises `BrokerError` where that cannot be found out yet; they are tried again.
        """
        now = self._clock.monotonic()
        for partition, since in tuple(self._overtaken.items()):
            low, high = await self._topics.bounds(self._topic, [partition])
            at = self._fetched[partition]
            if low[partition] <= at <= high[partition]:
                place = at  # a broker that was killed needs a moment to know all that it has
            elif at < low[partition]:
                place = low[partition]
                self.missed += place - at
            elif now - since < _PATIENCE_S:
                continue
            else:
                place = low[partition]
                _log.error(
                    "%s: partition %d of %s has lost records that were acknowledged; it is read from "
                    "its earliest one",
                    self._group,
                    partition,
                    self._name,
                )
            del self._overtaken[partition]
            self._fetched[partition] = place
            self._orders.append(self._assign_anew)

    def _assign_anew(self) -> None:
        """In the worker thread: what was read ahead and not given yet is read again."""
        self._paused.clear()
        self._consumer.assign(self._assigned(self._fetched))

    async def _look_for_partitions(self) -> None:
        """Read partitions too that were added meanwhile, from their beginning.

        Raises `TopicReplaced` where another topic has the name by now.
        """
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_FOR_PARTITIONS_S
        identity = await self._topics.identity(self._topic)
        if self._identity and identity not in ("", self._identity):
            self._look_at = now  # nothing of it is to be given
            raise TopicReplaced(f"Kafka: {self._name} was deleted, and made anew")
        added = [
            each for each in await self._topics.partitions(self._topic) if each not in self._next
        ]
        for each in added:
            self._merge.add_partition(each)
            self._next[each] = self._fetched[each] = self._done[each] = 0
        if added:
            places = self._assigned(dict.fromkeys(added, 0))
            self._orders.append(lambda: self._consumer.incremental_assign(places))

    async def _look_behind(self) -> None:
        """See that what the topic holds also comes: after restarts of a broker, a client may ask it no more.

        Where a partition has had more at two looks and gave none of it between them, although the client had
        nothing else to give, another client takes its place.
        """
        now = self._clock.monotonic()
        if now < self._look_behind_at:
            return
        self._look_behind_at = now + _LOOK_BEHIND_S
        try:
            _, high = await self._topics.bounds(self._topic, tuple(self._next))
        except BrokerError:  # it is away: nobody is behind
            self._behind.clear()
            return
        was_dry = self._ran_dry.is_set()
        self._ran_dry.clear()
        silent = self._paused.union(self._overtaken)
        before, self._behind = (
            self._behind,
            {
                each: self._fetched[each]
                for each, end in high.items()
                if self._fetched[each] < end and each not in silent
            },
        )
        silent_since_last = {each for each, at in self._behind.items() if before.get(each) == at}
        if was_dry and silent_since_last:
            _log.warning(
                "%s: Kafka gives nothing of partition %s of %s, which has more; another client asks now",
                self._group,
                ", ".join(map(str, sorted(silent_since_last))),
                self._name,
            )
            self._behind.clear()
            self._orders.append(self._begin_another_client)

    def _begin_another_client(self) -> None:
        """In the worker thread, between two questions: all that came has been put in its place."""
        before, self._consumer = self._consumer, self._another()
        self._assign_anew()
        self._threads.submit(before.close)

    def _assigned(self, offsets: dict[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._name, each, at) for each, at in offsets.items()]

    def _pause_crowded(self) -> None:
        """A partition that is far ahead of the others, behind a gap, need not be read further now."""
        crowded = [
            each
            for each in self._next
            if each not in self._paused and self._merge.waiting(each) > _CROWDED
        ]
        if crowded and len(self._next) > 1:
            self._paused.update(crowded)
            places = [TopicPartition(self._name, each) for each in crowded]
            self._orders.append(lambda: self._consumer.pause(places))

    def _make_room(self) -> None:
        free = [each for each in self._paused if self._merge.waiting(each) < _ROOM_AGAIN]
        if free:
            self._paused.difference_update(free)
            places = [TopicPartition(self._name, each) for each in free]
            self._orders.append(lambda: self._consumer.resume(places))

    def _commit(self) -> None:
        now = self._clock.monotonic()
        if now >= self._commit_all_at:
            self._commit_all_at = now + _COMMIT_ALL_EACH_S
            self._committed = {}
        changed = {each: at for each, at in self._done.items() if self._committed.get(each) != at}
        if not changed:
            return
        self._committed = dict(self._done)
        places = self._assigned(changed)
        self._orders.append(lambda: self._consumer.commit(offsets=places, asynchronous=True))

    def _poll(self) -> list[Any]:
        """What has come, at least one record or the end of a partition; nothing at the end of the reading."""
        while not self._closing.is_set():
            _tell(self._orders)
            consumer = self._consumer
            first = consumer.poll(_LOOK_S)
            if first is not None:
                return [first, *consumer.consume(_ASKED_AT_ONCE - 1, 0)]
            self._ran_dry.set()
        return []

    def _end(self) -> None:
        """In a thread: `close` waits for the answer to what was committed."""
        try:
            _tell(self._orders)
        except (KafkaException, RuntimeError) as error:
            _log.debug("%s: offsets of %s were not committed: %s", self._group, self._topic, error)
        self._consumer.close()


def _tell(orders: deque[Callable[[], object]]) -> None:
    while orders:
        orders.popleft()()
