"""A service's database with what the runtime adds to a transaction: publishing and answering.

Statements go straight to the store. Events are written and checked when they are published, and
gathered; the store inserts them into the outbox just before COMMIT, so that they commit with the
rows or not at all. A savepoint that rolls back takes its events with it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from weakref import WeakSet

import msgspec

from borough.clock import Clock
from borough.contracts.struct import Event
from borough.errors import KeyInUse, TransactionMisuse
from borough.ports import LONGEST_EVENT, Store, StoreTransaction
from borough.runtime.answers import Mark, store_answer
from borough.runtime.envelope import EventWriter
from borough.runtime.pulse import Pulse
from borough.runtime.reruns import rerun
from borough.runtime.scheduled import CANCEL_SCHEDULED, due_time
from borough.runtime.seen_database import DatabaseSight, SeenTransaction
from borough.services.context import CURRENT
from borough.services.data import Dialect

__all__ = ["ServiceDatabase"]

T = TypeVar("T")

_STARTED: WeakSet[ServiceDatabase] = WeakSet()


def _begin_anew() -> None:
    """A forked process must not mint the ids of its parent."""
    for database in _STARTED:
        database.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)


class ServiceDatabase:
    """`borough.services.data.Database` over a store.

    `published` beats after events have committed, `scheduled` when some of them are for later.
    """

    __slots__ = (
        "__weakref__",
        "_minted",
        "_start_id",
        "all",
        "clock",
        "dialect",
        "events",
        "maybe",
        "one",
        "published",
        "scheduled",
        "sight",
        "snapshot",
        "store",
    )

    def __init__(
        self,
        store: Store,
        events: Mapping[type[Event], EventWriter],
        clock: Clock,
        published: Pulse,
        sight: DatabaseSight | None = None,
    ) -> None:
        self.store = store
        self.dialect: Dialect = store.dialect
        self.sight = sight
        self.events = events
        self.clock = clock
        self.published = published
        self.scheduled = Pulse()
        # An event's id is this start's own id and a count: unique without new randomness each time.
        self._start_id = f"{clock.new_id().hex}-"
        self._minted = 0
        _STARTED.add(self)
        self.one: Callable[..., Any] = store.one
        self.maybe: Callable[..., Any] = store.maybe
        self.all: Callable[..., Any] = store.all
        if sight is not None:
            self.one, self.maybe = sight.reading(store.one), sight.reading(store.maybe)
            self.all = sight.reading(store.all)
        self.snapshot: Callable[[], AbstractAsyncContextManager[Any]] = store.snapshot

    def begin_anew(self) -> None:
        """Mint ids of its own: this process is a fork of the one that started."""
        self._start_id = f"{self.clock.new_id().hex}-"

    def transaction(self) -> AbstractAsyncContextManager[StoreTransaction]:
        """Begin a serializable transaction; see `borough.services.data.Database`."""
        sight = self.sight
        if sight is not None:
            call = CURRENT.get()
            trace = None if call is None else call.trace
            if trace is not None and trace.is_sampled:
                seen: Any = SeenTransaction(self.store.transaction(self), sight, trace)
                return cast("AbstractAsyncContextManager[StoreTransaction]", seen)
        return self.store.transaction(self)

    async def transact(self, body: Callable[[StoreTransaction], Awaitable[T]], /) -> T:
        """Run a body in a transaction until nobody is in its way; see `borough.services.data.Database`."""

        async def once() -> T:
            async with self.transaction() as tx:
                return await body(tx)

        return await rerun(once, self.clock)

    def publish(self, tx: StoreTransaction, event: Event, due: datetime | None = None) -> str:
        """Publish an event of this service when `tx` commits, or when it is due; returns its id.

        Raises `TransactionMisuse` for an event that no contract of this service publishes, whose
        values break its type, or that is longer than `LONGEST_EVENT`.
        """
        writer = self.events.get(type(event))
        if writer is None or not tx.is_open:
            raise TransactionMisuse(_refusal(tx, event))
        self._minted += 1
        event_id = f"{self._start_id}{self._minted}"
        call = CURRENT.get()
        trace = None if call is None else call.trace
        if self.sight is not None and trace is not None and trace.is_sampled:
            trace = self.sight.created(writer, event, event_id, trace)
        try:
            key, body = writer.write(event, event_id, due or self.clock.now(), trace)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise TransactionMisuse(f"{writer.wire_name} cannot be published: {error}") from error
        if len(body) > LONGEST_EVENT:
            raise TransactionMisuse(
                f"{writer.wire_name} cannot be published: it has {len(body)} bytes, an event at "
                f"most {LONGEST_EVENT}; keep the data and publish where it is found"
            )
        row = event_id, writer.topic, writer.wire_name, key, body
        if due is None:
            tx.outbox.append(row)
        elif tx.scheduled is None:
            tx.scheduled = [(due.timestamp(), *row)]
        else:
            tx.scheduled.append((due.timestamp(), *row))
        return event_id

    def schedule(
        self, tx: StoreTransaction, event: Event, at: datetime | None, after: timedelta | None
    ) -> str:
        """Publish an event when it is due, at once where that is now. Raises `TransactionMisuse`."""
        return self.publish(tx, event, due_time(at, after, self.clock.now()))

    async def cancel(self, tx: StoreTransaction, event_id: str) -> bool:
        """Take an event back that waits, or was published for later in this transaction."""
        if await tx.execute(CANCEL_SCHEDULED, event_id):
            return True
        gathered = tx.scheduled or []
        kept = [row for row in gathered if row[1] != event_id]
        if len(kept) == len(gathered):
            return False
        tx.scheduled = kept
        return True

    async def answer(self, tx: StoreTransaction, value: T) -> T:
        """Store the keyed operation's answer with the effects, and return it.

        Raises `KeyInUse` when another run took the key over, `TransactionMisuse` for a second
        answer.
        """
        call = CURRENT.get()
        mark = None if call is None else call.mark
        if not isinstance(mark, Mark):
            return value
        if not tx.is_open:
            raise TransactionMisuse("answer() was used outside of the block of its transaction")
        if tx.mark is not None or mark.settled:
            raise TransactionMisuse("this call has been answered already")
        try:
            await store_answer(tx, mark, value, self.clock.epoch_s())
        except KeyInUse as error:
            tx.doom(error, whole=True)  # whoever hides it keeps nothing all the same
            raise
        tx.mark = mark
        return value

    def committed(self, tx: StoreTransaction) -> None:
        """Its events are in the outbox, its answer is stored."""
        if tx.scheduled:
            self.scheduled.beat()
            self.published.beat()
        elif tx.outbox:
            self.published.beat()
        if isinstance(tx.mark, Mark):
            tx.mark.settled = True


def _refusal(tx: StoreTransaction, event: Event) -> str:
    name = type(event).__name__
    if not tx.is_open:
        return f"{name} was published outside of the block of its transaction"
    return (
        f"{name} is no event of this service; "
        f"name it in publishes=[...] of the contract that it belongs to"
    )
