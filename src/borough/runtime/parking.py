"""Parked and dead events of one handler, in its service's own database.

Parking an event writes its inbox row too: the handler has taken it over, and a redelivery is
dropped. Its effects then commit with the removal of the parked row, once. The first of a key has
a time when it is due, who waits behind it has none; whoever removes the first gives the next its
time. A replay may put an event before one that is at work: that one then waits, too. Where a dead
event is to hold its followers, its row stays among the parked without a time. Each statement that
counts checks the lease.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Sequence
from pathlib import PurePath

import msgspec

from borough.clock import Clock
from borough.errors import BoroughError
from borough.ports import Message, StoreTransaction
from borough.reliability.lease import Lease
from borough.reliability.retries import Retries
from borough.runtime.database import ServiceDatabase
from borough.runtime.event_handler import EventHandler
from borough.runtime.inbox_ids import was_done_formerly
from borough.runtime.leases import check_lease
from borough.telemetry.masking import masked

__all__ = [
    "Grave",
    "ParkedEvent",
    "Parking",
    "ParkingFull",
    "grave_of",
    "kind_and_words",
    "release_next",
    "said_by",
]

_HELD = "exists (select 1 from borough_leases where role = $1 and owner = $2 and epoch = $3)"
_TAKE_OVER = f"""
insert into borough_inbox (handler, generation, event_id, done_at, by_source)
select $4, $5, $6, $7, 1 where {_HELD}
on conflict (handler, generation, event_id) do nothing
"""
_PARK = """
insert into borough_parked
(handler, generation, topic, event_id, type, key, sequence, body, attempts, parked_at, due, cause)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_NUMBER = """
select number from borough_parked where handler = $1 and generation = $2 and event_id = $3
"""
_BEHIND = """
select count(*) from borough_parked
where handler = $1 and generation = $2 and topic = $3 and key = $4
"""
_PARKED = """
select count(*) from borough_parked
where handler = $1 and generation = $2 and topic = $3 and due is not null
"""
_DUE = """
select number, event_id, type, key, sequence, body, attempts
from borough_parked
where handler = $1 and generation = $2 and topic = $3 and due is not null
and (due <= $4 or due > $5)
order by due limit $6
"""
_NEXT_DUE = """
select min(due) from borough_parked
where handler = $1 and generation = $2 and topic = $3 and due is not null
"""
_HOLDS = """
select 1 from borough_parked where handler = $1 and topic = $2 and sequence = $3 limit 1
"""
_OLDEST = "select min(parked_at) from borough_parked where handler = $1 and topic = $2"
_BEFORE = """
exists (select 1 from borough_parked as other
    where other.handler = borough_parked.handler and other.generation = borough_parked.generation
    and other.topic = borough_parked.topic and other.key = borough_parked.key
    and other.number < borough_parked.number)
"""
_STAND_BACK = f"""
update borough_parked set due = null where number = $4 and {_BEFORE} and {_HELD}
"""
_BEGIN = f"""
update borough_parked set attempts = attempts + 1, due = $5 where number = $4 and {_HELD}
"""
_REMOVE = f"delete from borough_parked where number = $4 and {_HELD}"
_AGAIN = f"""
update borough_parked set attempts = $5, cause = $7,
 due = case when {_BEFORE} then null else cast($6 as double precision) end
where number = $4 and {_HELD}
"""
_HOLD = f"update borough_parked set due = null where number = $4 and {_HELD}"
_RELEASE = """
update borough_parked set due = $5 where due is null and number = (
    select min(number) from borough_parked
    where handler = $1 and generation = $2 and topic = $3 and key = $4
) and number not in (select number from borough_dead)
"""
_BURY = """
insert into borough_dead
(number, handler, generation, topic, event_id, type, key, sequence, body, attempts, parked_at,
 died_at, error, cause, frame, fingerprint)
select number, handler, generation, topic, event_id, type, key, sequence, body, attempts, parked_at,
 $2, $3, $4, $5, $6 from borough_parked where number = $1
"""
_ATTEMPT = f"""
insert into borough_attempts (handler, generation, event_id, attempts, begun_at)
select $4, $5, $6, 1, $7 where {_HELD}
on conflict (handler, generation, event_id)
do update set attempts = borough_attempts.attempts + 1, begun_at = excluded.begun_at
"""
_ATTEMPTS = """
select attempts from borough_attempts where handler = $1 and generation = $2 and event_id = $3
"""
_LONGEST_CAUSE = 2000


class ParkingFull(BoroughError):
    """No more events can be put aside; reading waits until some are done."""


class ParkedEvent(msgspec.Struct, frozen=True):
    """The first event of its key among the parked; `attempts` have begun."""

    number: int
    event_id: str
    type: str
    key: str | None
    sequence: int
    body: bytes
    attempts: int

    def message(self, topic: str) -> Message:
        """The event as it was delivered."""
        return Message(self.event_id, topic, self.type, self.key, self.sequence, self.body)


class Grave(msgspec.Struct, frozen=True):
    """Why an event is given up: what failed, what it said, and where in the service's code."""

    error: str
    cause: str
    frame: str

    @property
    def fingerprint(self) -> str:
        """The same for failures of one kind at one place."""
        return hashlib.sha256(f"{self.error} {self.frame}".encode()).hexdigest()[:12]


def grave_of(error: BaseException, folder: str) -> Grave:
    """What is put down about a failure; `folder` is where the handler's own code lives."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if PurePath(frame.filename).is_relative_to(folder)]
    found = (own or frames)[-1:]
    frame = f"{PurePath(found[0].filename).name}:{found[0].name}" if found else ""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return Grave(name, _kept(said_by(error, str)), frame)


def said_by(error: BaseException, form: Callable[[object], str] = repr) -> str:
    """What an error says, in this form. One that fails at it, too, says who it is: its event fails by the first."""
    try:
        return form(error)
    except Exception as failed:
        return f"{type(error).__name__}, which cannot be told ({type(failed).__name__})"


def kind_and_words(error: BaseException) -> str:
    """The class of an error, and what it says."""
    return f"{type(error).__name__}: {said_by(error, str)}"


def _kept(cause: str) -> str:
    """What is stored of what an error said: it may have said a secret, or what no database takes for text."""
    kept = masked(cause)[:_LONGEST_CAUSE].replace("\0", "\N{SYMBOL FOR NULL}")
    return kept.encode("utf-8", "backslashreplace").decode()[:_LONGEST_CAUSE]


class Parking:
    """Where one handler puts aside events of one topic."""

    def __init__(
        self,
        handler: EventHandler,
        topic: str,
        database: ServiceDatabase,
        clock: Clock,
        retries: Retries,
    ) -> None:
        self.handler = handler
        self._topic = topic
        self._database = database
        self._clock = clock
        self._retries = retries

    async def park(
        self, message: Message, attempts: int, cause: str, wait_s: float, lease: Lease
    ) -> None:
        """Put an event aside that has failed. Raises `ParkingFull` or `LeaseLost`."""

        async def body(tx: StoreTransaction) -> None:
            await self._refuse_above(tx, _PARKED, self._retries.parked)
            first = message.key is None or not await self._count(tx, _BEHIND, message.key)
            due = self._clock.epoch_s() + wait_s if first else None  # one before it was replayed
            await self._put(tx, message, attempts, cause, due, lease)

        await self._database.transact(body)

    async def follow(self, message: Message, lease: Lease) -> None:
        """Put an event behind the parked ones of its key. Raises `ParkingFull` or `LeaseLost`."""

        async def body(tx: StoreTransaction) -> None:
            count = await self._refuse_above(tx, _BEHIND, self._retries.behind, message.key)
            due = None if count else self._clock.epoch_s()
            await self._put(tx, message, 0, "", due, lease)

        await self._database.transact(body)

    async def bury(self, message: Message, attempts: int, grave: Grave, lease: Lease) -> None:
        """Give an event up that was not parked before."""
        handler = self.handler

        async def body(tx: StoreTransaction) -> None:
            if await self._put(tx, message, attempts, grave.cause, None, lease):
                number = await tx.one(int, _NUMBER, handler.name, handler.generation, message.id)
                await self._inter(tx, number, message.key, grave, lease)

        await self._database.transact(body)

    async def due(self, limit: int) -> Sequence[ParkedEvent]:
        """The first events of their keys that may be tried now."""
        handler, now = self.handler, self._clock.epoch_s()
        found: list[ParkedEvent] = await self._database.all(
            ParkedEvent,
            _DUE,
            handler.name,
            handler.generation,
            self._topic,
            now,
            now + self._retries.longest_s,
            limit,
        )
        return found

    async def next_due(self) -> float | None:
        """In how many seconds the next one is due; None while none waits for its time."""
        handler = self.handler
        found: float | None = await self._database.one(
            float | None, _NEXT_DUE, handler.name, handler.generation, self._topic
        )
        return None if found is None else max(0.0, found - self._clock.epoch_s())

    async def holds(self, sequence: int) -> bool:
        """Whether the event of this number is put aside."""
        found: int | None = await self._database.maybe(
            int, _HOLDS, self.handler.name, self._topic, sequence
        )
        return found is not None

    async def oldest(self) -> float | None:
        """When the first of those that are put aside was; None where there is none."""
        found: float | None = await self._database.one(
            float | None, _OLDEST, self.handler.name, self._topic
        )
        return found

    async def begin(self, parked: ParkedEvent, lease: Lease) -> bool:
        """Count an attempt that begins now; False for an event that is not the first any more.

        Its next time is set at once: should the process die, it is not tried at once again.
        """
        wait_s = self._retries.wait_s(parked.attempts + 1, self._clock.random.random())

        async def body(tx: StoreTransaction) -> bool:
            held = lease.role, lease.owner, lease.epoch
            if await tx.execute(_STAND_BACK, *held, parked.number):
                return False
            due = self._clock.epoch_s() + wait_s
            return await self._counts(tx, lease, _BEGIN, parked.number, due)

        return await self._database.transact(body)

    async def finish(self, tx: StoreTransaction, parked: ParkedEvent, lease: Lease) -> bool:
        """Remove it in the transaction of its effects; False when it was removed before."""
        if not await self._counts(tx, lease, _REMOVE, parked.number):
            return False
        await self._release(tx, parked.key)
        return True

    async def again(
        self, parked: ParkedEvent, attempts: int, cause: str, wait_s: float, lease: Lease
    ) -> None:
        """It has failed once more and waits; `attempts` are held against it."""

        async def body(tx: StoreTransaction) -> None:
            due = self._clock.epoch_s() + wait_s
            await self._counts(tx, lease, _AGAIN, parked.number, attempts, due, _kept(cause))

        await self._database.transact(body)

    async def give_up(self, parked: ParkedEvent, grave: Grave, lease: Lease) -> None:
        """It has failed for the last time."""
        await self._database.transact(
            lambda tx: self._inter(tx, parked.number, parked.key, grave, lease)
        )

    async def count_attempt(self, event_id: str, lease: Lease) -> int:
        """Count an attempt on an event that may have been at work when a process died."""
        handler = self.handler
        key = handler.name, handler.generation, event_id

        async def body(tx: StoreTransaction) -> int:
            held = lease.role, lease.owner, lease.epoch
            if not await tx.execute(_ATTEMPT, *held, *key, self._clock.epoch_s()):
                await check_lease(tx, lease)
            return await tx.one(int, _ATTEMPTS, *key)

        return await self._database.transact(body)

    async def _count(self, tx: StoreTransaction, question: str, *key: str | None) -> int:
        handler = self.handler
        return await tx.one(int, question, handler.name, handler.generation, self._topic, *key)

    async def _refuse_above(
        self, tx: StoreTransaction, question: str, limit: int, *key: str | None
    ) -> int:
        count = await self._count(tx, question, *key)
        if count >= limit:
            raise ParkingFull(f"{self.handler.name} has {count} events of {self._topic} parked")
        return count

    async def _put(
        self,
        tx: StoreTransaction,
        message: Message,
        attempts: int,
        cause: str,
        due: float | None,
        lease: Lease,
    ) -> bool:
        """False for an event that the handler has taken over before."""
        handler, now = self.handler, self._clock.epoch_s()
        name, generation = handler.name, handler.generation
        if await was_done_formerly(tx, handler, message):
            return False
        entered = await tx.execute(
            _TAKE_OVER, lease.role, lease.owner, lease.epoch, name, generation, message.id, now
        )
        if not entered:
            await check_lease(tx, lease)
            return False
        await tx.execute(
            _PARK,
            name,
            generation,
            self._topic,
            message.id,
            message.type,
            message.key,
            message.sequence,
            message.body,
            attempts,
            now,
            due,
            _kept(cause),
        )
        return True

    async def _inter(
        self, tx: StoreTransaction, number: int, key: str | None, grave: Grave, lease: Lease
    ) -> None:
        now = self._clock.epoch_s()
        await tx.execute(
            _BURY, number, now, grave.error, grave.cause, grave.frame, grave.fingerprint
        )
        if self.handler.on_dead == "block" and key is not None:
            await self._counts(tx, lease, _HOLD, number)
        elif await self._counts(tx, lease, _REMOVE, number):
            await self._release(tx, key)

    async def _counts(
        self, tx: StoreTransaction, lease: Lease, change: str, number: int, *values: object
    ) -> bool:
        """Change a parked row while the lease is in force; False where there is none."""
        changed = await tx.execute(change, lease.role, lease.owner, lease.epoch, number, *values)
        if not changed:
            await check_lease(tx, lease)
        return bool(changed)

    async def _release(self, tx: StoreTransaction, key: str | None) -> None:
        handler, now = self.handler, self._clock.epoch_s()
        await release_next(tx, handler.name, handler.generation, self._topic, key, now)


async def release_next(
    tx: StoreTransaction, handler: str, generation: int, topic: str, key: str | None, now: float
) -> None:
    """The first of a key is gone; the next may be tried."""
    if key is not None:
        await tx.execute(_RELEASE, handler, generation, topic, key, now)
