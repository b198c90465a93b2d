"""A consumer: one handler's way through one topic, in order per key and at once across keys.

It is a leased role: of all processes of a service one consumes, and only its effects count. Lanes
decide what may start; an event that fails is tried again, its key waits, others go on. How far
everything is done is noted in batches; what is read again after a crash is found in the inbox.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context, copy_context

from borough.clock import Clock
from borough.errors import BrokerError, StoreError
from borough.ports import Broker, Delivery, Subscription
from borough.reliability.backoff import Backoff
from borough.reliability.inbox import InboxTerms
from borough.reliability.lanes import Lanes, Start
from borough.reliability.lease import Lease, LeaseLost
from borough.runtime.database import ServiceDatabase
from borough.runtime.handling import EventHandler, Handling
from borough.runtime.leases import Leases
from borough.runtime.positions import Positions
from borough.runtime.pulse import Pulse
from borough.services.context import WorkPool

__all__ = ["Consumer"]

_log = logging.getLogger("borough.events")

_TAKEN_AT_ONCE = 500
_NOTED_EACH = 500
_NOTED_EACH_S = 0.2
_BACKOFF = Backoff(0.1, 10.0)


class Consumer:
    """A handler consuming a topic.

    Counters: events `handled`, attempts that `failed`, `retries` begun.
    """

    def __init__(
        self,
        handler: EventHandler,
        topic: str,
        database: ServiceDatabase,
        broker: Broker,
        leases: Leases,
        clock: Clock,
        activity: Pulse,
        pool: WorkPool | None = None,
        terms: InboxTerms | None = None,
    ) -> None:
        self.handler = handler
        self.topic = topic
        self.handled = 0
        self.failed = 0
        self.retries = 0
        self.failures: dict[str, tuple[int, BaseException]] = {}
        """Events that have failed and will be tried again: attempts so far, and the last error."""
        self.terms = terms or InboxTerms()
        self.broker = broker
        self.clock = clock
        self.activity = activity
        self.handling = Handling(handler, database, clock, self.terms, pool)
        self.positions = Positions(handler.name, topic, database, broker)
        self.stopping = asyncio.Event()
        self._leases = leases
        self._course: _Course | None = None

    async def register(self) -> None:
        """Note where a new handler begins. Do it before anything is published that it must hear."""
        if not self.broker.keeps_positions:
            await self.positions.read()

    async def run(self) -> None:
        """Consume while this process has the role, until `stop`."""
        role = f"consume {self.handler.name} {self.topic}"
        await self._leases.hold(role, self._consume, self.stopping)

    def stop(self) -> None:
        """Start no further event.

        `run` returns when running ones have ended or their grace is over.
        """
        self.stopping.set()

    @property
    def duplicates(self) -> int:
        """How many deliveries were found to be done already."""
        return self.handling.duplicates

    async def quiet(self) -> bool:
        """Whether everything in the topic is handled and noted in the inbox."""
        course = self._course
        if course is not None:
            return course.idle and course.position >= await self.broker.end(self.topic)
        if self.broker.keeps_positions:
            return True
        return await self.positions.read() >= await self.broker.end(self.topic)

    async def _consume(self, lease: Lease) -> None:
        position = 0 if self.broker.keeps_positions else await self.positions.read()
        subscription = await self.broker.subscribe(self.handler.name, self.topic, position)
        course = self._course = _Course(self, subscription, lease, position)
        try:
            await course.run()
        finally:
            self._course = None
            await subscription.close()


class _Course:
    """What a consumer does under one lease and on one subscription."""

    def __init__(
        self, consumer: Consumer, subscription: Subscription, lease: Lease, position: int
    ) -> None:
        self._consumer = consumer
        self._subscription = subscription
        self._lease = lease
        self._terms = consumer.terms
        self._clock = consumer.clock
        self._handling = consumer.handling
        self._stopping = consumer.stopping
        self._activity = consumer.activity
        self._lanes: Lanes[Delivery] = Lanes(position, self._terms.window)
        self._noted = position
        self._since_note = 0
        self._progress = Pulse()
        self._full = Pulse()
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.Task[None] | None = None
        self._context: Context = copy_context()
        self._group = asyncio.TaskGroup()

    @property
    def idle(self) -> bool:
        """Whether all that was read is done."""
        return self._lanes.empty

    @property
    def position(self) -> int:
        """All up to here is done."""
        return max(self._lanes.done, self._subscription.position) if self.idle else self._lanes.done

    async def run(self) -> None:
        async with self._group as group:
            reading = group.create_task(self._read())
            noting = group.create_task(self._note_in_batches())
            await self._stopping.wait()
            reading.cancel()
            await self._finish()
            noting.cancel()
            if self._alarm is not None:
                self._alarm.cancel()
        await self._note()

    async def _read(self) -> None:
        lanes = self._lanes
        failures = 0
        while True:
            seen = self._progress.count
            if lanes.room <= 0:
                await self._progress.wait(seen)
                continue
            try:
                taken = await self._subscription.take(min(lanes.room, _TAKEN_AT_ONCE))
            except BrokerError as error:
                failures += 1
                wait_s = _BACKOFF.delay_s(failures, self._clock.random.random())
                _log.warning("%s cannot read %s: %s", self._name, self._consumer.topic, error)
                await self._clock.sleep(wait_s)
                continue
            failures = 0
            for delivery in taken:
                message = delivery.message
                if self._handling.hears(message.type):
                    lanes.offer(delivery.position, message.key, delivery)
                else:
                    lanes.skip(delivery.position)
            self._advanced(0)
            self._start_more()

    @property
    def _name(self) -> str:
        return self._consumer.handler.name

    def _start_more(self) -> None:
        if self._stopping.is_set():
            return
        lanes = self._lanes
        now = self._clock.monotonic()
        while lanes.running < self._terms.at_once and (entry := lanes.start(now)) is not None:
            task = self._group.create_task(self._handle(entry), context=self._context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        due = lanes.due
        # Without a free slot nothing can start when it is due; who frees one looks again.
        if due is not None and self._alarm is None and lanes.running < self._terms.at_once:
            self._alarm = self._group.create_task(self._wake_at(due), context=self._context.copy())

    async def _wake_at(self, due: float) -> None:
        await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
        self._alarm = None
        self._start_more()

    async def _handle(self, entry: Start[Delivery]) -> None:
        if entry.attempt > 1:
            self._consumer.retries += 1
        try:
            await self._handling.handle(entry.item.message, self._lease)
        except LeaseLost:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._failed(entry, error)
        except Exception as error:
            self._failed(entry, error)
        else:
            self._consumer.failures.pop(entry.item.message.id, None)
            self._lanes.succeed(entry.position)
            self._consumer.handled += 1
            self._advanced(1)
        self._start_more()

    def _failed(self, entry: Start[Delivery], error: BaseException) -> None:
        """Let the event and what follows it under its key wait, and try again."""
        self._consumer.failed += 1
        self._consumer.failures[entry.item.message.id] = (entry.attempt, error)
        wait_s = _BACKOFF.delay_s(entry.attempt, self._clock.random.random())
        _log.warning(
            "%s failed on event %s (attempt %d), again in %.1f s: %r",
            self._name,
            entry.item.message.id,
            entry.attempt,
            wait_s,
            error,
            exc_info=error if entry.attempt == 1 else None,
        )
        self._lanes.fail(entry.position, self._clock.monotonic() + wait_s)
        self._activity.beat()
        due = self._lanes.due
        if self._alarm is not None and due is not None:
            # The alarm may stand later than this event is due.
            self._alarm.cancel()
            self._alarm = None

    def _advanced(self, count: int) -> None:
        self._since_note += count
        self._progress.beat()
        self._activity.beat()
        if self._since_note >= _NOTED_EACH:
            self._full.beat()

    async def _finish(self) -> None:
        """Wait for what runs, then cancel what is left after the grace."""
        running = set(self._tasks)
        if running:
            await asyncio.wait(running, timeout=self._terms.grace_s)
        for task in self._tasks:
            task.cancel()

    async def _note_in_batches(self) -> None:
        while True:
            seen, full = self._progress.count, self._full.count
            if self.position <= self._noted:
                await self._progress.wait(seen)
            await self._full.wait(full, _NOTED_EACH_S)
            try:
                await self._note()
            except StoreError as error:
                _log.warning("%s: its position was not noted: %s", self._name, error)

    async def _note(self) -> None:
        position = self.position
        self._since_note = 0
        if position <= self._noted:
            return
        if not self._consumer.broker.keeps_positions:
            await self._consumer.positions.write(self._lease, position)
        await self._subscription.done(position)
        self._noted = position
