"""A consumer: one handler's way through one topic, in order per key and at once across keys.

It is a leased role: of all processes of a service one consumes, and only its effects count. What is
done under one lease is a `Course`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from typing import NamedTuple

import msgspec

from borough.clock import Clock
from borough.ending import ended
from borough.errors import BrokerError
from borough.ports import Broker, PlacedBroker, PlacedSubscription, Store, Subscription
from borough.reliability.inbox import InboxTerms
from borough.reliability.lease import Lease
from borough.runtime.course import Course
from borough.runtime.database import ServiceDatabase
from borough.runtime.event_handler import EventHandler
from borough.runtime.generations import generation_of, take_over
from borough.runtime.handling import Handling
from borough.runtime.history import Past
from borough.runtime.in_order import InOrder
from borough.runtime.leases import Leases
from borough.runtime.parking import Parking, kind_and_words
from borough.runtime.past_first import PastFirst
from borough.runtime.positions import Noted, Positions
from borough.runtime.pulse import Pulse
from borough.services.context import WorkPool

__all__ = ["Consumer", "Progress"]

_log = logging.getLogger("borough.events")

_PATIENCE_LEASES = 3
"""Who does not take a role that is free for so long is not there."""
_TOLD_AT_MOST = 20


class Progress(NamedTuple):
    """Events that are done, and those of the topic in all; counted from any beginning."""

    place: int
    end: int

    @property
    def lag(self) -> int:
        """How many are not done yet."""
        return max(0, self.end - self.place)


class Consumer:
    """A handler consuming a topic.

    Counters: events `handled`, attempts that `failed`, `retries` begun, `duplicates` dropped, events
    `parked` and `buried`, and those `missed` that retention had removed.
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
        past: Past | None = None,
    ) -> None:
        """Each parameter is one thing of the process that it shares or a test replaces.

        `past` is what the topic's publisher retains, for a broker without history."""
        self.handler = handler
        self.topic = topic
        self.handled = 0
        self.failed = 0
        self.retries = 0
        self.duplicates = 0
        self.parked = 0
        self.buried = 0
        self.missed = 0
        self.failures: dict[str, tuple[int, BaseException]] = {}
        """The last events that have failed and will be tried again: attempts so far, and the last error."""
        self.given_up: deque[str] = deque(maxlen=_TOLD_AT_MOST)
        """A sentence for each of the last dead letters, for who asks whether all was handled."""
        self.terms = terms or InboxTerms()
        self.broker = broker
        self.clock = clock
        self.activity = activity
        self._past = past
        self.positions = Positions(
            handler.name,
            topic,
            database,
            broker,
            is_projection=handler.projection is not None,
            past=past,
        )
        self.stopping = asyncio.Event()
        self.hurried = 0
        """How many wait for the next position to be noted; it is then noted at once."""
        self.noted = Pulse()
        self._database = database
        self._pool = pool
        self._leases = leases
        self._work_for(handler)
        self._course: Course | None = None
        self._in_order: InOrder | None = None
        self._told_of: int | None = None
        self._alone_since = self._alone_at = -math.inf

    def _work_for(self, handler: EventHandler) -> None:
        database, terms = self._database, self.terms
        self.handling = Handling(handler, self.topic, database, self.clock, terms, self._pool)
        self.parking = Parking(handler, self.topic, database, self.clock, terms.retries)

    @property
    def store(self) -> Store:
        """The database of its service."""
        return self._database.store

    async def register(self) -> None:
        """Note where a new handler begins. Do it before anything is published that it must hear."""
        await self.positions.register()

    async def run(self) -> None:
        """Consume while this process has the role, until `stop`."""
        role = f"consume {self.handler.name} {self.topic}"
        await self._leases.hold(role, self._consume, self.stopping)

    def hurry(self) -> None:
        """Note positions at once while `hurried` is above zero."""
        self.hurried += 1
        if self._course is not None:
            self._course.hurry()

    def stop(self) -> None:
        """Start no further event.

        `run` returns when running ones have ended or their grace is over.
        """
        self.stopping.set()

    def fail(self, event_id: str, attempts: int, error: BaseException) -> None:
        """Count an attempt that has failed."""
        self.failed += 1
        failures = self.failures
        failures.pop(event_id, None)
        if len(failures) >= _TOLD_AT_MOST:  # each holds all that its handler had at hand
            del failures[next(iter(failures))]
        failures[event_id] = attempts, error

    def bury(self, event_id: str, attempts: int, error: BaseException) -> None:
        """Count a dead letter."""
        self.buried += 1
        self.failures.pop(event_id, None)
        self.given_up.append(
            f"{self.handler.name} has given up event {event_id} (attempt {attempts}): {kind_and_words(error)}"
        )

    async def quiet(self) -> bool:
        """Whether everything in the topic is handled or given up."""
        if await self.parking.next_due() is not None:
            return False
        course = self._course
        if course is not None and not await self._is_current():
            return False
        if not self.broker.keeps_order:
            return await self._nothing_waits() and self._is_idle() and await self._is_caught_up()
        if course is not None:
            return course.idle and course.position >= await self.broker.end(self.topic)
        if self.broker.keeps_positions:
            return True
        noted = await self.positions.read()
        return noted.position >= await self.broker.end(self.topic)

    def _is_idle(self) -> bool:
        course, in_order = self._course, self._in_order
        if course is None:
            return True
        return course.idle and in_order is not None and not in_order.held and in_order.is_level

    async def _is_caught_up(self) -> bool:
        """Whether what was published before it began is done, and what no queue may hold any more."""
        if self._past is None:
            return True
        noted = await self.positions.read()
        if self._course is not None:
            return noted.sequence >= noted.target
        return not noted.is_known or noted.sequence >= await self.positions.ending()

    async def _nothing_waits(self) -> bool:
        try:
            return await self.broker.waiting(self.handler.name, self.topic) == 0
        except BrokerError:
            return False

    async def _leave_or_take_over(self, in_force: int, own: int, lease: Lease) -> None:
        """Another generation is in force: it is left to its processes, as in a rollout, while there are any."""
        handler = self.handler
        if self._told_of != in_force:
            self._told_of = in_force
            _log.warning(
                "%s is of generation %d here, and %d is in force: it is left to processes of that one, "
                "and made anew here once there are none",
                handler.name,
                own,
                in_force,
            )
        if self._is_alone():
            events = [event.wire_name for event in handler.events]
            await take_over(self.store, handler.name, handler.tables, events, own, lease)
            _log.warning(
                "%s is made anew for generation %d: nobody consumes for %d any more",
                handler.name,
                own,
                in_force,
            )

    def _is_alone(self) -> bool:
        """Whether nobody of the generation in force takes the role: for long it was free whenever it was asked for."""
        now, lasting_s = self.clock.monotonic(), self._leases.lasting_s
        # Somebody had it meanwhile, or this process stood still.
        if now - self._alone_at > lasting_s:
            self._alone_since = now
        self._alone_at = now
        return now - self._alone_since >= _PATIENCE_LEASES * lasting_s

    async def place(self, noted: Noted) -> int:
        """The position up to which all is done: here it may be beyond what is noted."""
        course = self._course
        if course is None or not await self._is_current():
            return noted.position
        return max(noted.position, course.position)

    async def progress(self) -> Progress:
        """How far it is, and how far there is to go. Raises `StoreError`, `BrokerError`."""
        broker, topic = self.broker, self.topic
        if broker.keeps_positions:
            done = self.handled + self.duplicates
            waiting = await broker.waiting(self.handler.name, topic)
            return Progress(done, done + waiting + self._at_hand)
        place = await self.place(await self.positions.read())
        return Progress(max(place, await broker.earliest(topic)), await broker.end(topic))

    @property
    def _at_hand(self) -> int:
        """How many events were given to this process, and are not done: such a broker does not count them."""
        course, in_order = self._course, self._in_order
        found = 0 if course is None else course.unfinished
        return found if course is None or in_order is None else found + in_order.at_hand

    async def _is_current(self) -> bool:
        """Whether a projection works for the generation in force; else it is fenced, and does not know yet."""
        if self.handler.projection is None:
            return True
        found = await generation_of(self._database.store, self.handler.name)
        return found is not None and found.generation == self.handler.generation

    async def _adopt_generation(self, lease: Lease) -> bool:
        """Work for the generation in force; False where that is not of this code."""
        handler = self.handler
        found = await generation_of(self._database.store, handler.name)
        if found is None:
            return handler.projection is None
        if handler.projection not in (None, found.declared):
            await self._leave_or_take_over(found.declared, handler.projection, lease)
            return False
        self._told_of = None
        if found.generation != handler.generation:
            self.handler = msgspec.structs.replace(handler, generation=found.generation)
            self._work_for(self.handler)
        return True

    async def _consume(self, lease: Lease) -> None:
        if not await self._adopt_generation(lease):
            return
        noted = await self.positions.take(lease)
        broker, name = self.broker, self.handler.name
        position = 0 if broker.keeps_positions else noted.position
        subscription: Subscription
        if isinstance(broker, PlacedBroker):
            subscription = await broker.subscribe_at(name, self.topic, position, noted.places)
        else:
            subscription = await broker.subscribe(name, self.topic, position)
        if not broker.keeps_order:
            self._in_order = subscription = self._ordered(subscription, noted)
        try:
            end = 0
            if broker.keeps_order:
                end = await self._end_of(subscription, position)
                if isinstance(subscription, PlacedSubscription) and not noted.places:
                    await self._note_places(lease, position, subscription)
            # It may begin before what was noted, or behind.
            begin = subscription.position if broker.keeps_order else 0
            course = self._course = Course(self, subscription, lease, begin, end)
            await course.run()
        finally:
            self._course = None
            # What is left open would keep from others what the broker has given to it.
            await ended(asyncio.ensure_future(subscription.close()))

    async def _end_of(self, subscription: Subscription, position: int) -> int:
        """Where the topic ends. It is told when that is before what was read."""
        end = await self.broker.end(self.topic)
        if subscription.position < position and end < position:
            _log.error(
                "%s: %s ends before what was read of it; was it restored from a backup?",
                self.handler.name,
                self.topic,
            )
        return end

    async def _note_places(
        self, lease: Lease, position: int, subscription: PlacedSubscription
    ) -> None:
        """Note them before an event has come: the broker may forget them."""
        if subscription.position == position:
            await self.positions.write(lease, position, 0, subscription.places(position))

    def _ordered(self, subscription: Subscription, noted: Noted) -> InOrder:
        name, past = self.handler.name, self._past
        last = noted.sequence if noted.is_known else None
        if past is None or self.handler.projection is None:
            return InOrder(subscription, name, last, self.clock, past)
        if noted.target and noted.sequence >= noted.target:
            return InOrder(subscription, name, last, self.clock, past)
        first = PastFirst(subscription, past, noted.sequence)
        return InOrder(first, name, noted.sequence, self.clock, past)
