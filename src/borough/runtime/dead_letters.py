"""What an operator does with dead events: look at them by group, replay or drop them.

All of it is done in the consuming service's database, whether the service is running or not: a
replayed event is parked again, first of its key and due now, and the consumer finds it there. Where
a dead event has let its followers go on, a replay is out of order; where it holds them, the order
is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from functools import partial

import msgspec

from borough.clock import Clock
from borough.ports import Store, StoreTransaction
from borough.runtime.parking import release_next
from borough.runtime.reruns import rerun

__all__ = ["DeadEvent", "DeadGroup", "DeadLetters", "Selection"]

_AT_ONCE = 100
_WHERE = """
where (handler = $1 or $1 is null) and (fingerprint = $2 or $2 is null)
and (event_id = $3 or $3 is null) and number > $4
"""
_GROUPS = f"""
select handler, fingerprint, error, frame, count(*) as events, min(died_at) as first_at,
 max(died_at) as last_at, (
    select cause from borough_dead as latest
    where latest.handler = borough_dead.handler and latest.fingerprint = borough_dead.fingerprint
    and (latest.event_id = $3 or $3 is null)
    order by latest.died_at desc, latest.number desc limit 1
 ) as cause
from borough_dead {_WHERE} group by handler, fingerprint, error, frame order by last_at desc
"""
_EVENTS = f"""
select number, handler, generation, topic, event_id, type, key, attempts, parked_at, died_at,
 error, cause, frame, fingerprint, body,
 exists (select 1 from borough_parked p where p.number = borough_dead.number) as holds
from borough_dead {_WHERE} order by number limit $5
"""
_LET_WAIT = """
update borough_parked set due = null
where handler = $1 and generation = $2 and topic = $3 and key = $4 and number > $5
"""
_BEFORE = """
select 1 from borough_parked
where handler = $1 and generation = $2 and topic = $3 and key = $4 and number < $5 limit 1
"""
# Where the inbox had forgotten it, an event may have died before or be parked again: it is handled once.
_PARK = """
insert into borough_parked
(number, handler, generation, topic, event_id, type, key, sequence, body, attempts, parked_at,
 due, cause)
select number, handler, generation, topic, event_id, type, key, sequence, body, 0, parked_at,
 $2, null from borough_dead where number = $1
and not exists (
    select 1 from borough_parked p where p.handler = borough_dead.handler
    and p.generation = borough_dead.generation and p.event_id = borough_dead.event_id and p.number <> $1)
on conflict (number) do update set due = excluded.due, attempts = 0, cause = null
"""
_UNPARK = "delete from borough_parked where number = $1"
_FORGET = "delete from borough_dead where number = $1"


class DeadGroup(msgspec.Struct, frozen=True):
    """Dead events of one handler that failed alike; `cause` is the latest. Times are seconds since 1970."""

    handler: str
    fingerprint: str
    error: str
    frame: str
    events: int
    first_at: float
    last_at: float
    cause: str


class DeadEvent(msgspec.Struct, frozen=True):
    """One dead event; `holds` says whether those behind it under its key wait for it."""

    number: int
    handler: str
    generation: int
    topic: str
    event_id: str
    type: str
    key: str | None
    attempts: int
    parked_at: float
    died_at: float
    error: str
    cause: str
    frame: str
    fingerprint: str
    body: bytes
    holds: bool


class Selection(msgspec.Struct, frozen=True):
    """Which dead events are meant; what is None does not matter."""

    handler: str | None = None
    fingerprint: str | None = None
    event_id: str | None = None


_Act = Callable[[StoreTransaction, DeadEvent], Awaitable[bool]]


class DeadLetters:
    """The dead events of one service."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def groups(self, chosen: Selection) -> Sequence[DeadGroup]:
        """By handler, error and place, the latest first."""
        return await self._store.all(DeadGroup, _GROUPS, *_values(chosen), 0)

    async def events(self, chosen: Selection, limit: int) -> Sequence[DeadEvent]:
        """One by one, the oldest first, at most `limit`."""
        return await self._store.all(DeadEvent, _EVENTS, *_values(chosen), 0, limit)

    async def replay(self, chosen: Selection, handlers: Container[str]) -> Sequence[DeadEvent]:
        """Have them handled again, with all their attempts; returns them. In bounded transactions.

        Those of other than these handlers stay dead: nobody would take them.
        """

        async def act(tx: StoreTransaction, event: DeadEvent) -> bool:
            if event.handler not in handlers:
                return False
            await self._replay(tx, event)
            return True

        return await self._each(chosen, act)

    async def drop(self, chosen: Selection) -> Sequence[DeadEvent]:
        """Give them up for good; those that waited behind them go on. Returns them."""
        return await self._each(chosen, self._drop)

    async def _each(self, chosen: Selection, act: _Act) -> Sequence[DeadEvent]:
        done: list[DeadEvent] = []
        last = 0
        while True:
            found, acted = await rerun(partial(self._some, chosen, last, act))
            if not found:
                return done
            done += acted
            last = found[-1].number

    async def _some(
        self, chosen: Selection, last: int, act: _Act
    ) -> tuple[Sequence[DeadEvent], list[DeadEvent]]:
        """In one transaction: what is there, and what of it was acted upon."""
        async with self._store.transaction() as tx:
            found = await tx.all(DeadEvent, _EVENTS, *_values(chosen), last, _AT_ONCE)
            return found, [event for event in found if await act(tx, event)]

    async def _replay(self, tx: StoreTransaction, event: DeadEvent) -> None:
        if event.key is not None:
            await tx.execute(
                _LET_WAIT,
                event.handler,
                event.generation,
                event.topic,
                event.key,
                event.number,
            )
        before = await tx.maybe(
            int,
            _BEFORE,
            event.handler,
            event.generation,
            event.topic,
            event.key,
            event.number,
        )
        await tx.execute(_PARK, event.number, self._clock.epoch_s() if before is None else None)
        await tx.execute(_FORGET, event.number)
        # One that was parked again has let itself wait, too.
        await self._release(tx, event)

    async def _release(self, tx: StoreTransaction, event: DeadEvent) -> None:
        await release_next(
            tx, event.handler, event.generation, event.topic, event.key, self._clock.epoch_s()
        )

    async def _drop(self, tx: StoreTransaction, event: DeadEvent) -> bool:
        await tx.execute(_FORGET, event.number)
        if event.holds:
            await tx.execute(_UNPARK, event.number)
            await self._release(tx, event)
        return True


def _values(chosen: Selection) -> tuple[str | None, str | None, str | None]:
    return chosen.handler, chosen.fingerprint, chosen.event_id
