"""Handling one event once: decoding, the call that the handler sees, its inbox row, its form.

Form one runs again at once when another transaction was first. Both forms find out from the inbox
that an event is done; what they do about an event that fails is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from borough.clock import Clock
from borough.contracts.operation import BoundEvent
from borough.contracts.struct import Event
from borough.errors import TransactionConflict
from borough.ports import Message, StoreTransaction
from borough.reliability.inbox import InboxTerms, stable_key
from borough.reliability.lease import Lease
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import CloudEvent, EventReader
from borough.runtime.leases import check_lease
from borough.services.context import CURRENT, Call, WorkPool
from borough.telemetry.trace import TraceContext, read_traceparent

__all__ = ["EventHandler", "Handling"]

# The row is only written while the lease is in force: one statement drops duplicates and fences.
_ENTER = """
insert into borough_inbox (handler, generation, event_id, done_at)
select $1, $2, $3, $4
where exists (select 1 from borough_leases where role = $5 and owner = $6 and epoch = $7)
on conflict (handler, generation, event_id) do nothing
"""
_DONE = """
select 1 from borough_inbox where handler = $1 and generation = $2 and event_id = $3
"""


class EventHandler(msgspec.Struct, frozen=True):
    """An `@on` method of a service object, bound.

    `name` is durable: `service.method` or `service.NAME`.
    """

    name: str
    service: str
    function: Callable[..., Awaitable[object]]
    takes_transaction: bool
    events: tuple[BoundEvent, ...]
    generation: int = 1


class Handling:
    """One handler, ready to handle messages. `duplicates` counts events that were done already."""

    def __init__(
        self,
        handler: EventHandler,
        database: ServiceDatabase,
        clock: Clock,
        terms: InboxTerms,
        pool: WorkPool | None,
    ) -> None:
        self._handler = handler
        self._database = database
        self._clock = clock
        self._terms = terms
        self._pool = pool
        self._readers: Mapping[str, EventReader] = {
            event.wire_name: EventReader(event) for event in handler.events
        }
        self.duplicates = 0

    def hears(self, kind: str) -> bool:
        """Whether events of this wire name are the handler's concern."""
        return kind in self._readers

    async def handle(self, message: Message, lease: Lease) -> None:
        """Handle one event to its end.

        Raises what the handler raises, `EventUnreadable`, `LeaseLost`, `StoreError`, or
        `TimeoutError` past its deadline.
        """
        envelope, event = self._readers[message.type].read(message.body)
        call = self._call(message, envelope)
        CURRENT.set(call)
        async with asyncio.timeout(self._terms.deadline_s):
            if self._handler.takes_transaction:
                await self._with_transaction(message.id, event, lease)
            else:
                await self._without_transaction(message.id, event, lease)

    def _call(self, message: Message, envelope: CloudEvent) -> Call:
        clock, handler = self._clock, self._handler
        parent = envelope.traceparent
        trace = read_traceparent(None if parent is msgspec.UNSET else parent)
        call = Call(
            handler.name,
            handler.service,
            handler.service,
            None,
            clock.monotonic() + self._terms.deadline_s,
            TraceContext.start(clock.token) if trace is None else trace.child(clock.token),
            stable_key(message.id, handler.name),
            message.id,
            self._pool,
        )
        call.armed = call.deadline
        call.armed_in = asyncio.current_task()
        return call

    async def _with_transaction(self, event_id: str, event: Event, lease: Lease) -> None:
        reruns = self._terms.conflict_reruns
        while True:
            try:
                async with self._database.transaction() as tx:
                    if await self._enter(tx, event_id, lease):
                        await self._handler.function(event, tx)
                return
            except TransactionConflict:
                if not reruns:
                    raise
                reruns -= 1

    async def _without_transaction(self, event_id: str, event: Event, lease: Lease) -> None:
        name, generation = self._handler.name, self._handler.generation
        done: Any = await self._database.maybe(int, _DONE, name, generation, event_id)
        if done is not None:
            self.duplicates += 1
            return
        await self._handler.function(event)
        async with self._database.transaction() as tx:
            await self._enter(tx, event_id, lease)

    async def _enter(self, tx: StoreTransaction, event_id: str, lease: Lease) -> bool:
        """Write the inbox row; False for an event that has one. Raises `LeaseLost`."""
        entered = await tx.execute(
            _ENTER,
            self._handler.name,
            self._handler.generation,
            event_id,
            self._clock.epoch_s(),
            lease.role,
            lease.owner,
            lease.epoch,
        )
        if entered:
            return True
        await check_lease(tx, lease)
        self.duplicates += 1
        return False
