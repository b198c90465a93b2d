"""What a consumer does under one lease and on one subscription.

Lanes decide what may start. An event that fails is tried again in its place, then parked, with what
follows it under its key; a parked event has its own times. How far everything is done is noted in
batches; what is read again after a crash is found in the inbox, and the attempts on what may have
been at work when the process died are counted before they run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING

import msgspec

from borough.errors import (
    BrokerError,
    CommitFailed,
    CommitUnknown,
    ProcessStalled,
    StoreError,
    StoreUnavailable,
    TopicReplaced,
    TransactionConflict,
)
from borough.ports import Message, PlacedSubscription, Subscription
from borough.reliability.backoff import Backoff
from borough.reliability.lanes import Lanes, Start
from borough.reliability.lease import Lease, LeaseLost
from borough.reliability.numbers_done import NumbersDone
from borough.reliability.retries import Verdict
from borough.reliability.settled_time import SettledTime
from borough.runtime.envelope import EventUnreadable
from borough.runtime.event_handler import EventRefused, EventSpared
from borough.runtime.handling import Outcome, lift_deadline
from borough.runtime.inbox_ids import InboxIds
from borough.runtime.parking import Grave, ParkedEvent, ParkingFull, grave_of, said_by
from borough.runtime.pulse import Pulse
from borough.transports.callee import is_cancelled

if TYPE_CHECKING:
    from borough.runtime.consumer import Consumer

__all__ = ["Course"]

_log = logging.getLogger("borough.events")

_TAKEN_AT_ONCE = 500
_NOTED_EACH = 500
_NOTED_EACH_S = 0.2
_NOTED_IDLE_S = 600.0
_LOOK_FOR_PARKED_S = 2.0  # replayed by another process
_PARKED_AT_ONCE = 16
_REFUSED_AT_MOST = 3
"""How often the database may refuse to put an event aside before it is given up without its key."""
_BACKOFF = Backoff(0.1, 5.0)
_INNOCENT = (StoreUnavailable, CommitFailed, CommitUnknown, TransactionConflict, EventSpared)
"""What says nothing about the event: the service's own database, or its receiver, could not be had, or
others were first."""
_HOPELESS = (EventUnreadable, EventRefused)
"""What will not go away by trying again."""


class Course:
    """One lease's worth of consuming."""

    def __init__(
        self, consumer: Consumer, subscription: Subscription, lease: Lease, position: int, end: int
    ) -> None:
        """`end` is where the topic ends now: no holder before has done anything behind it."""
        self._consumer = consumer
        self._subscription = subscription
        self._lease = lease
        self._terms = consumer.terms
        self._clock = consumer.clock
        self._handling = consumer.handling
        self._parking = consumer.parking
        self._suspects = self._terms.suspects if lease.after_crash else 0
        self._stopping = consumer.stopping
        self._activity = consumer.activity
        self._lanes: Lanes[Message] = Lanes(position, self._terms.window)
        self._noted = position
        self._since_note = 0
        self._numbers = NumbersDone()
        self._settled = SettledTime(end, self._clock.epoch_s())
        self._missed = 0
        self._progress = Pulse()
        self._full = Pulse()
        self._parked = Pulse()
        self._trying: dict[int, str | None] = {}
        self._keys: set[str] = set()
        """Those of events at work in their lanes; a replayed one of the same key waits for them."""
        # After a crash one at a time, so that only the one which brings it about is blamed again.
        self._tries_at_once = 1 if lease.after_crash else _PARKED_AT_ONCE
        self._crowded = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.Task[None] | None = None
        self._context: Context = copy_context()
        self._group = asyncio.TaskGroup()

    @property
    def idle(self) -> bool:
        """Whether all that was read is done."""
        return self._lanes.empty

    @property
    def unfinished(self) -> int:
        """How much of what was read is not done."""
        return self._lanes.unfinished

    @property
    def position(self) -> int:
        """All up to here is done."""
        return max(self._lanes.done, self._subscription.position) if self.idle else self._lanes.done

    async def run(self) -> None:
        async with self._group as group:
            reading = group.create_task(self._read())
            noting = group.create_task(self._note_in_batches())
            trying = group.create_task(self._try_parked())
            await self._stopping.wait()
            reading.cancel()
            trying.cancel()
            await self._finish()
            noting.cancel()
            if self._alarm is not None:
                self._alarm.cancel()
        await self._note()

    async def _read(self) -> None:
        lanes, ids = self._lanes, InboxIds(self._terms.source)
        failures = 0
        while True:
            seen = self._progress.count
            if lanes.room <= 0:
                await self._progress.wait(seen)
                continue
            try:
                taken = await self._subscription.take(min(lanes.room, _TAKEN_AT_ONCE))
            except TopicReplaced:
                raise
            except BrokerError as error:
                failures += 1
                wait_s = _BACKOFF.delay_s(failures, self._clock.random.random())
                _log.warning("%s cannot read %s: %s", self._name, self._consumer.topic, error)
                await self._clock.sleep(wait_s)
                continue
            failures = 0
            if self._subscription.missed > self._missed:
                self._tell_missed()
            for delivery in taken:
                message = delivery.message
                self._numbers.read(delivery.position, message.sequence)
                if self._handling.hears(message.type):
                    message = ids.known(message)
                    lanes.offer(delivery.position, message.key, message)
                else:
                    lanes.skip(delivery.position)
            self._advanced(0)
            self._start_more()

    def _tell_missed(self) -> None:
        """Retention was faster than this handler."""
        missed = self._subscription.missed
        self._consumer.missed += missed - self._missed
        self._missed = missed
        _log.error(
            "%s came too late: retention has removed events of %s that it had not handled (%d)",
            self._name,
            self._consumer.topic,
            missed,
        )

    @property
    def _name(self) -> str:
        return self._consumer.handler.name

    def _start_more(self) -> None:
        if self._stopping.is_set():
            return
        lanes = self._lanes
        now = self._clock.monotonic()
        while lanes.running < self._terms.at_once and (entry := lanes.start(now)) is not None:
            if entry.key is not None:
                self._keys.add(entry.key)
            self._begin(self._handle(entry))
        due = lanes.due
        # Without a free slot nothing can start when it is due; who frees one looks again.
        if due is not None and self._alarm is None and lanes.running < self._terms.at_once:
            self._alarm = self._group.create_task(self._wake_at(due), context=self._context.copy())

    async def _wake_at(self, due: float) -> None:
        await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
        self._alarm = None
        self._start_more()

    async def _handle(self, entry: Start[Message]) -> None:
        if entry.attempt > 1:
            self._consumer.retries += 1
        message = entry.item
        attempts = entry.attempt - entry.spared
        try:
            if self._suspects > 0:
                attempts = await self._count_suspect(message, attempts)
                if attempts > self._terms.retries.quick:
                    raise Died(attempts - 1)
            outcome = await self._handling.handle(message, self._lease, attempts)
            if outcome is Outcome.BEHIND:
                await self._parking.follow(message, self._lease)
                self._consumer.parked += 1
                self._parked.beat()
        except LeaseLost:
            raise
        except ParkingFull as full:
            self._wait_for_room(entry, full)
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            _let_cancellation_pass(error)
            await self._failed(entry, attempts, error)
        else:
            if outcome is Outcome.DUPLICATE:
                self._consumer.duplicates += 1
            if outcome is not Outcome.BEHIND:
                self._consumer.handled += 1
                self._consumer.failures.pop(message.id, None)
            self._lanes.succeed(entry.position)
            self._advanced(1)
        if entry.key is not None:
            self._keys.discard(entry.key)
        self._start_more()

    async def _count_suspect(self, message: Message, attempts: int) -> int:
        """Count this attempt before it runs; returns how many there were, with it."""
        if await self._handling.is_done(message):
            return attempts
        self._suspects -= 1
        return max(attempts, await self._parking.count_attempt(message.id, self._lease))

    async def _failed(self, entry: Start[Message], attempts: int, error: BaseException) -> None:
        """Let the event and what follows it wait, put it aside, or give it up."""
        lift_deadline()
        message = entry.item
        retries = self._terms.retries
        self._consumer.fail(message.id, attempts, error)
        verdict = retries.judge(attempts, hopeless=isinstance(error, _HOPELESS))
        if _is_innocent(error):
            verdict = Verdict.AGAIN
            entry.spared += 1
        chance = self._clock.random.random()
        wait_s = retries.wait_s(attempts, chance)
        if entry.refused >= _REFUSED_AT_MOST and verdict is not Verdict.AGAIN:
            verdict, message = Verdict.BURY, msgspec.structs.replace(message, key=None)
        try:
            if verdict is Verdict.PARK:
                await self._parking.park(message, attempts, said_by(error), wait_s, self._lease)
                self._consumer.parked += 1
                self._parked.beat()
            elif verdict is Verdict.BURY:
                grave = grave_of(error, self._consumer.handler.folder)
                await self._parking.bury(message, attempts, grave, self._lease)
                await self._tell_broker(message, attempts, grave)
                self._consumer.bury(message.id, attempts, error)
        except (StoreError, ParkingFull) as refused:
            entry.spared += 1  # the attempt is judged again when there is room
            entry.refused += isinstance(refused, StoreError) and not _is_innocent(refused)
            _log.warning("%s could not put event %s aside: %s", self._name, message.id, refused)
            verdict = Verdict.AGAIN
        self._tell(message.id, attempts, verdict, wait_s, error)
        if verdict is Verdict.AGAIN:
            wait_s = _wait_s(error, _BACKOFF.delay_s(entry.attempt, chance))
            self._lanes.fail(entry.position, self._clock.monotonic() + wait_s)
            self._look_when_due()
        else:
            self._lanes.succeed(entry.position)
            self._advanced(1)
        self._activity.beat()

    async def _tell_broker(self, message: Message, attempts: int, grave: Grave) -> None:
        """Let the broker have a copy of a dead letter; that the database has it is what counts."""
        try:
            await self._consumer.broker.bury(self._name, message, attempts, grave.error)
        except BrokerError as error:
            _log.warning("%s: the broker has no copy of dead %s: %s", self._name, message.id, error)

    def _wait_for_room(self, entry: Start[Message], full: ParkingFull) -> None:
        """The event has not run; it and all that is read wait until parked ones are done."""
        if not self._crowded:
            self._crowded = True
            _log.error("%s reads no further for now: %s", self._name, full)
        entry.spared += 1
        wait_s = _BACKOFF.delay_s(entry.attempt, self._clock.random.random())
        self._lanes.fail(entry.position, self._clock.monotonic() + wait_s)
        self._look_when_due()

    def _look_when_due(self) -> None:
        """The alarm may stand later than what waits now; the next start sets it anew."""
        if self._alarm is not None and self._lanes.due is not None:
            self._alarm.cancel()
            self._alarm = None

    def _tell(
        self, event_id: str, attempts: int, verdict: Verdict, wait_s: float, error: BaseException
    ) -> None:
        what = f"{self._name} failed on event {event_id} (attempt {attempts})"
        if verdict is Verdict.BURY:
            is_waited_for = self._consumer.handler.on_dead == "block"
            waiting = ", and those behind it under its key wait" if is_waited_for else ""
            _log.error(
                "%s, the last one: it is a dead letter now, not tried again by itself%s. `borough events dead "
                "%s --events` shows it; `borough events replay %s` has what is dead there handled again: %s",
                *(what, waiting, self._name, self._name, said_by(error)),
            )
            return
        put = "parked, " if verdict is Verdict.PARK else ""
        trace = error if attempts == 1 and not _is_innocent(error) else None
        # Who spares an event says himself, once, what is the matter.
        level = logging.DEBUG if isinstance(error, EventSpared) else logging.WARNING
        _log.log(
            level, "%s, %sagain in %.1f s: %s", what, put, wait_s, said_by(error), exc_info=trace
        )

    # --- what is parked ---------------------------------------------------------------------------

    async def _try_parked(self) -> None:
        """Try parked events when they are due, whoever parked or replayed them."""
        while True:
            seen = self._parked.count
            try:
                room = self._tries_at_once - len(self._trying)
                if room:
                    await self._begin_parked(room)
                due_s = await self._parking.next_due()
            except StoreError as error:
                _log.warning("%s cannot look for parked events: %s", self._name, error)
                due_s = None
            wait_s = _LOOK_FOR_PARKED_S
            if due_s is not None and len(self._trying) < self._tries_at_once:
                wait_s = min(due_s, wait_s) if due_s > 0 else _NOTED_EACH_S
            alarm = self._group.create_task(self._beat_after(wait_s))
            try:
                await self._parked.wait(seen)
            finally:
                alarm.cancel()

    async def _begin_parked(self, room: int) -> None:
        """Begin what is due, where nothing else of its key is at work."""
        for parked in await self._parking.due(room + len(self._keys) + len(self._trying)):
            key, trying = parked.key, self._trying
            if parked.number in trying or not room:
                continue
            if key is None or not (key in self._keys or key in trying.values()):
                room -= 1
                trying[parked.number] = key
                self._begin(self._try(parked))

    async def _beat_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._parked.beat()

    async def _try(self, parked: ParkedEvent) -> None:
        try:
            if self._stopping.is_set():
                return
            if parked.attempts >= self._terms.retries.attempts:
                await self._failed_again(parked, parked.attempts, Died(parked.attempts))
            elif await self._parking.begin(parked, self._lease):
                await self._try_once(parked, parked.attempts + 1)
        except StoreError as error:  # its next time stands
            _log.warning("%s: parked event %s: %s", self._name, parked.event_id, error)
        finally:
            del self._trying[parked.number]
            self._tries_at_once = min(self._tries_at_once + 1, _PARKED_AT_ONCE)
            self._parked.beat()
            self._activity.beat()

    async def _try_once(self, parked: ParkedEvent, attempts: int) -> None:
        consumer = self._consumer
        consumer.retries += attempts > 1
        try:
            await self._handling.handle_parked(parked, self._parking, self._lease)
        except LeaseLost:
            raise
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            _let_cancellation_pass(error)
            await self._failed_again(parked, attempts, error)
        else:
            consumer.handled += 1
            consumer.failures.pop(parked.event_id, None)
            self._crowded = False

    async def _failed_again(self, parked: ParkedEvent, attempts: int, error: BaseException) -> None:
        lift_deadline()
        consumer, retries = self._consumer, self._terms.retries
        consumer.fail(parked.event_id, attempts, error)
        verdict = retries.judge(attempts, hopeless=isinstance(error, _HOPELESS))
        if _is_innocent(error):
            attempts -= 1
        elif verdict is Verdict.BURY:
            grave = grave_of(error, consumer.handler.folder)
            await self._parking.give_up(parked, grave, self._lease)
            await self._tell_broker(parked.message(consumer.topic), attempts, grave)
            consumer.bury(parked.event_id, attempts, error)
            self._tell(parked.event_id, attempts, verdict, 0.0, error)
            return
        wait_s = _wait_s(error, retries.wait_s(attempts, self._clock.random.random()))
        await self._parking.again(parked, attempts, said_by(error), wait_s, self._lease)
        self._tell(parked.event_id, attempts, Verdict.PARK, wait_s, error)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _advanced(self, count: int) -> None:
        self._since_note += count
        self._progress.beat()
        self._activity.beat()
        if self._since_note >= _NOTED_EACH:
            self._full.beat()

    def hurry(self) -> None:
        """Somebody waits for the position to be noted."""
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
            if self.position <= self._noted and not await self._progress.wait(seen, _NOTED_IDLE_S):
                await self._note_idle()
                continue
            if not self._consumer.hurried:
                await self._full.wait(full, _NOTED_EACH_S)
            try:
                await self._note()
            except StoreError as error:
                _log.warning("%s: its position was not noted: %s", self._name, error)

    async def _note_idle(self) -> None:
        """Nothing has come for long: note that nothing is open, or housekeeping keeps the inbox."""
        if not self.idle:
            return
        try:
            await self._write(self._noted)
        except StoreError as error:
            _log.warning("%s: its position was not noted: %s", self._name, error)

    async def _note(self) -> None:
        position = self.position
        self._since_note = 0
        if position <= self._noted:
            return
        await self._write(position)
        await self._subscription.done(position)
        self._noted = position
        self._consumer.noted.beat()

    async def _write(self, position: int) -> None:
        subscription, number = self._subscription, self._numbers.done(position)
        places = ""
        if isinstance(subscription, PlacedSubscription):
            places = subscription.places(position)
        settled_at = self._settled.at(position, subscription.position, self._clock.epoch_s())
        await self._consumer.positions.write(self._lease, position, number, places, settled_at)


class Died(Exception):
    """The handler did not get to say what went wrong."""

    def __init__(self, times: int) -> None:
        super().__init__(f"the process ended while this event was handled, {times} times")


def _is_innocent(error: BaseException) -> bool:
    """Whether the failure says nothing about the event. A standstill may be its own doing."""
    return isinstance(error, _INNOCENT) and not isinstance(error, ProcessStalled)


def _wait_s(error: BaseException, usual_s: float) -> float:
    """How long to wait after a failure: some know when it is worth another try."""
    return error.wait_s if isinstance(error, EventSpared) else usual_s


def _let_cancellation_pass(error: BaseException) -> None:
    """Raise a cancellation that is meant for this task; a handler's own is its failure."""
    if isinstance(error, asyncio.CancelledError) and is_cancelled():
        raise error
