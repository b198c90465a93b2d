"""Handling one event once: decoding, the call that the handler sees, its inbox row, its form.

Form one runs again at once when another transaction was first. Both forms find out from the inbox
that an event is done, and from the parked events that it must stand behind others of its key. What
they do about an event that fails is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from borough.clock import Clock
from borough.ports import Message, StoreTransaction
from borough.reliability.inbox import InboxTerms, stable_key
from borough.reliability.lease import Lease
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import CloudEvent, EventReader, read_document, trace_in
from borough.runtime.event_handler import EventHandler, EventUnheard
from borough.runtime.handler_sight import Delivery, HandlerSight
from borough.runtime.inbox_ids import was_done_formerly
from borough.runtime.leases import check_lease
from borough.runtime.parking import ParkedEvent, Parking
from borough.runtime.reruns import rerun
from borough.services.context import CURRENT, NO_DEADLINE, Call, WorkPool
from borough.telemetry.trace import TraceContext
from borough.transports.callee import this_task

__all__ = ["Handling", "Outcome", "lift_deadline"]

# The row is only written while the lease is in force and nothing of the key is parked: one
# statement drops duplicates, keeps order and fences.
_ENTER = """
insert into borough_inbox (handler, generation, event_id, done_at, by_source)
select $1, $2, $3, $4, 1
where exists (select 1 from borough_leases where role = $5 and owner = $6 and epoch = $7)
and not exists (select 1 from borough_parked
    where handler = $1 and generation = $2 and topic = $8 and key = $9)
on conflict (handler, generation, event_id) do nothing
"""
_DONE = """
select 1 from borough_inbox where handler = $1 and generation = $2 and event_id = $3
"""
_BEHIND = """
select 1 from borough_parked
where handler = $1 and generation = $2 and topic = $3 and key = $4 limit 1
"""


_Read = Callable[[bytes], tuple[CloudEvent, Any]]


class Outcome(Enum):
    """How the handling of an event ended, other than by an error."""

    DONE = "done"
    DUPLICATE = "duplicate"
    """It was done before."""
    BEHIND = "behind"
    """Events of its key are parked; it must wait behind them. Nothing has run."""


class Handling:
    """One handler, ready to handle messages of a topic."""

    def __init__(
        self,
        handler: EventHandler,
        topic: str,
        database: ServiceDatabase,
        clock: Clock,
        terms: InboxTerms,
        pool: WorkPool | None,
    ) -> None:
        self._handler = handler
        self._topic = topic
        self._database = database
        self._clock = clock
        self._terms = terms
        self._pool = pool
        self._readers: Mapping[str, _Read] = {
            event.wire_name: read_document if handler.takes_document else EventReader(event).read
            for event in handler.events
        }
        recorder = None if database.sight is None else database.sight.recorder
        attempts = terms.retries.attempts
        self._sight = HandlerSight(handler, topic, recorder, clock.token, attempts)

    def hears(self, kind: str) -> bool:
        """Whether events of this wire name are the handler's concern."""
        return kind in self._readers

    async def handle(self, message: Message, lease: Lease, attempt: int = 1) -> Outcome:
        """Handle one event to its end; it is the attempt of that number.

        Raises what the handler raises, `EventUnreadable`, `LeaseLost`, `StoreError`, or
        `TimeoutError` past its deadline.
        """
        with self._sight.delivery(message, attempt) as delivery:
            event = self._begin(message, delivery)
            limit = asyncio.timeout(self._terms.deadline_s)
            try:
                async with limit:
                    if self._handler.takes_transaction:
                        outcome = await self._with_transaction(
                            event, lambda tx: self._enter(tx, message, lease, message.key)
                        )
                    else:
                        outcome = await self._without_transaction(message, event, lease)
                delivery.outcome = outcome.value
                return outcome
            except TimeoutError as error:
                if not limit.expired():  # the handler's own
                    raise
                raise _late(self._terms.deadline_s, error) from None

    async def handle_parked(self, parked: ParkedEvent, parking: Parking, lease: Lease) -> Outcome:
        """Handle an event that was put aside; its effects commit with its removal."""
        message = parked.message(self._topic)
        if not self.hears(message.type):
            raise EventUnheard(
                f"{self._handler.name} has parked it and hears no {message.type} any more; "
                "name that in its mark again, or drop the event"
            )

        async def remove(tx: StoreTransaction) -> Outcome:
            return Outcome.DONE if await parking.finish(tx, parked, lease) else Outcome.DUPLICATE

        with self._sight.delivery(message, parked.attempts + 1) as delivery:
            event = self._begin(message, delivery)
            limit = asyncio.timeout(self._terms.deadline_s)
            try:
                async with limit:
                    if self._handler.takes_transaction:
                        outcome = await self._with_transaction(event, remove)
                    else:
                        await self._handler.function(event)
                        outcome = await self._in_one(remove)
                delivery.outcome = outcome.value
                return outcome
            except TimeoutError as error:
                if not limit.expired():  # the handler's own
                    raise
                raise _late(self._terms.deadline_s, error) from None

    async def is_done(self, message: Message) -> bool:
        """Whether the inbox has it."""
        handler = self._handler
        found: int | None = await self._database.maybe(
            int, _DONE, handler.name, handler.generation, message.id
        )
        return found is not None or await was_done_formerly(self._database, handler, message)

    def _begin(self, message: Message, delivery: Delivery) -> Any:
        """What the handler is given, with its call at hand."""
        envelope, event = self._readers[message.type](message.body)
        call = self._call(message, delivery.context(trace_in(envelope)))
        CURRENT.set(call)
        delivery.began(call, event)
        return event

    def _call(self, message: Message, trace: TraceContext) -> Call:
        clock, handler = self._clock, self._handler
        call = Call(
            handler.name,
            handler.service,
            handler.service,
            None,
            clock.monotonic() + self._terms.deadline_s,
            trace,
            stable_key(message.id, handler.name),
            message.id,
            self._pool,
            made={},
        )
        force_setattr(call, "armed", call.deadline)
        force_setattr(call, "armed_in", this_task())
        return call

    async def _with_transaction(
        self, event: Any, enter: Callable[[StoreTransaction], Awaitable[Outcome]]
    ) -> Outcome:
        async def work() -> Outcome:
            async with self._database.transaction() as tx:
                outcome = await enter(tx)
                if outcome is Outcome.DONE:
                    await self._handler.function(event, tx)
            return outcome

        return await rerun(work, self._clock)

    async def _without_transaction(self, message: Message, event: Any, lease: Lease) -> Outcome:
        if await self.is_done(message):
            return Outcome.DUPLICATE
        if message.key is not None and await self._behind(message.key):
            return Outcome.BEHIND
        await self._handler.function(event)
        return await self._in_one(lambda tx: self._enter(tx, message, lease, None))

    async def _in_one(self, note: Callable[[StoreTransaction], Awaitable[Outcome]]) -> Outcome:
        """Note that the handler has done it, which must not run again because another was first."""

        async def work() -> Outcome:
            async with self._database.transaction() as tx:
                return await note(tx)

        return await rerun(work, self._clock)

    async def _enter(
        self, tx: StoreTransaction, message: Message, lease: Lease, key: str | None
    ) -> Outcome:
        """Write the inbox row unless there is one, or events of `key` are parked.

        Raises `LeaseLost`.
        """
        handler = self._handler
        if message.formerly and await was_done_formerly(tx, handler, message):
            return Outcome.DUPLICATE
        entered = await tx.execute(
            _ENTER,
            handler.name,
            handler.generation,
            message.id,
            self._clock.epoch_s(),
            lease.role,
            lease.owner,
            lease.epoch,
            self._topic,
            key,
        )
        if entered:
            return Outcome.DONE
        await check_lease(tx, lease)
        done = await tx.maybe(int, _DONE, handler.name, handler.generation, message.id)
        return Outcome.BEHIND if done is None else Outcome.DUPLICATE

    async def _behind(self, key: str) -> bool:
        handler = self._handler
        found: int | None = await self._database.maybe(
            int, _BEHIND, handler.name, handler.generation, self._topic, key
        )
        return found is not None


def lift_deadline() -> None:
    """From here on the call at hand is over: what is done about its failure has all the time that it needs."""
    call = CURRENT.get()
    if call is not None:
        CURRENT.set(msgspec.structs.replace(call, deadline=NO_DEADLINE))


def _late(seconds: float, error: TimeoutError) -> TimeoutError:
    """A handler was cancelled, where it stood then."""
    late = TimeoutError(f"it had not ended after {seconds:g} s, and was cancelled")
    cancelled = error.__cause__
    return late if cancelled is None else late.with_traceback(cancelled.__traceback__)
