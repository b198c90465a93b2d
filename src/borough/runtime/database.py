"""A service's database with what the runtime adds to a transaction: publishing and answering.

Statements go straight to the store. Events are written and checked when they are published, kept
aside, and inserted into the outbox with one statement just before COMMIT, so that they commit with
the rows or not at all. A savepoint that rolls back takes its events with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from borough.clock import Clock
from borough.contracts.struct import Event
from borough.errors import TransactionMisuse
from borough.ports import LONGEST_EVENT, Store, StoreTransaction
from borough.runtime.answers import Mark, store_answer
from borough.runtime.envelope import EventWriter
from borough.runtime.pulse import Pulse
from borough.services.context import CURRENT, IN_TRANSACTION, OpenTransaction

__all__ = ["ServiceDatabase", "ServiceTransaction"]

T = TypeVar("T")
_OutboxRow = tuple[str, str, str, str | None, bytes]

_INSERT = "insert into borough_outbox (id, topic, type, key, body) values ($1, $2, $3, $4, $5)"


class ServiceDatabase:
    """`borough.services.data.Database` over a store.

    `published` beats after events have committed.
    """

    __slots__ = (
        "_minted",
        "_start_id",
        "all",
        "clock",
        "events",
        "maybe",
        "one",
        "published",
        "snapshot",
        "store",
    )

    def __init__(
        self,
        store: Store,
        events: Mapping[type[Event], EventWriter],
        clock: Clock,
        published: Pulse,
    ) -> None:
        self.store = store
        self.events = events
        self.clock = clock
        self.published = published
        # An event's id is this start's own id and a count: unique without new randomness each time.
        self._start_id = clock.new_id().hex
        self._minted = 0
        self.one: Callable[..., Any] = store.one
        self.maybe: Callable[..., Any] = store.maybe
        self.all: Callable[..., Any] = store.all
        self.snapshot: Callable[[], AbstractAsyncContextManager[Any]] = store.snapshot

    def transaction(self) -> ServiceTransaction:
        """Begin a serializable transaction; see `borough.services.data.Database`."""
        return ServiceTransaction(self)

    def mint(self) -> str:
        """The id of the next event; never given twice, by this process or another."""
        self._minted += 1
        return f"{self._start_id}-{self._minted}"


class ServiceTransaction:
    """`borough.services.data.Transaction`, and the block that opens and commits it."""

    __slots__ = (
        "_block",
        "_database",
        "_mark",
        "_outer",
        "_rows",
        "_savepoint",
        "all",
        "execute",
        "is_open",
        "many",
        "maybe",
        "one",
    )

    one: Callable[..., Any]
    maybe: Callable[..., Any]
    all: Callable[..., Any]
    execute: Callable[..., Any]
    many: Callable[..., Any]
    _savepoint: Callable[[], AbstractAsyncContextManager[None]]

    def __init__(self, database: ServiceDatabase) -> None:
        self._database = database
        self._block: AbstractAsyncContextManager[StoreTransaction] = database.store.transaction()
        self._rows: list[_OutboxRow] = []
        self._mark: Mark | None = None
        self.is_open = False
        self._outer: OpenTransaction | None = None

    async def __aenter__(self) -> ServiceTransaction:
        inner = await self._block.__aenter__()
        self.one = inner.one
        self.maybe = inner.maybe
        self.all = inner.all
        self.execute = inner.execute
        self.many = inner.many
        self._savepoint = inner.savepoint
        self.is_open = True
        self._outer = IN_TRANSACTION.get()
        IN_TRANSACTION.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self.is_open = False
        if IN_TRANSACTION.get() is self:  # a generator may be left in another context
            IN_TRANSACTION.set(self._outer)
        self._outer = None
        rows = self._rows
        if kind is not None or not (rows or self._mark):
            return await self._block.__aexit__(kind, error, trace)
        if rows:
            try:
                if len(rows) == 1:
                    await self.execute(_INSERT, *rows[0])
                else:
                    await self.many(_INSERT, rows)
            except BaseException as failure:
                await self._block.__aexit__(type(failure), failure, failure.__traceback__)
                raise
        try:
            done = await self._block.__aexit__(None, None, None)
        finally:
            if rows:  # a cancelled body may have committed all the same
                self._database.published.beat()
        if self._mark is not None:
            self._mark.settled = True
        return done

    def publish(self, event: Event, /) -> str:
        """Publish an event of this service when the transaction commits; returns its id.

        Raises `TransactionMisuse` for an event that no contract of this service publishes, whose
        values break its type, or that is longer than `LONGEST_EVENT`.
        """
        database = self._database
        writer = database.events.get(type(event))
        if writer is None or not self.is_open:
            raise TransactionMisuse(self._refusal(event))
        event_id = database.mint()
        call = CURRENT.get()
        trace = None if call is None else call.trace
        try:
            key, body = writer.write(
                event, event_id, database.clock.now(), None if trace is None else trace.traceparent
            )
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise TransactionMisuse(f"{writer.wire_name} cannot be published: {error}") from error
        if len(body) > LONGEST_EVENT:
            raise TransactionMisuse(
                f"{writer.wire_name} cannot be published: it has {len(body)} bytes, an event at "
                f"most {LONGEST_EVENT}; keep the data and publish where it is found"
            )
        self._rows.append((event_id, writer.topic, writer.wire_name, key, body))
        return event_id

    def _refusal(self, event: Event) -> str:
        name = type(event).__name__
        if not self.is_open:
            return f"{name} was published outside of the block of its transaction"
        return (
            f"{name} is no event of this service; "
            f"name it in publishes=[...] of the contract that it belongs to"
        )

    async def answer(self, value: T, /) -> T:
        """Store the keyed operation's answer with the effects, and return it.

        Raises `KeyInUse` when another run took the key over, `TransactionMisuse` for a second
        answer.
        """
        call = CURRENT.get()
        mark = None if call is None else call.mark
        if not isinstance(mark, Mark):
            return value
        if not self.is_open:
            raise TransactionMisuse("answer() was used outside of the block of its transaction")
        if self._mark is not None or mark.settled:
            raise TransactionMisuse("this call has been answered already")
        await store_answer(self, mark, value, self._database.clock.epoch_s())
        self._mark = mark
        return value

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part that may fail alone, with what it published and answered. Nests."""
        return _Savepoint(self, self._savepoint())

    def gathered(self) -> tuple[int, Mark | None]:
        """How much has been published, and the mark that has been answered."""
        return len(self._rows), self._mark

    def restore(self, kept: tuple[int, Mark | None]) -> None:
        """Drop what was gathered since; a savepoint has rolled back."""
        del self._rows[kept[0] :]
        self._mark = kept[1]


class _Savepoint:
    """The store's savepoint, and what the transaction had gathered when it began."""

    __slots__ = ("_block", "_kept", "_transaction")

    def __init__(
        self, transaction: ServiceTransaction, block: AbstractAsyncContextManager[None]
    ) -> None:
        self._transaction = transaction
        self._block = block
        self._kept = transaction.gathered()

    async def __aenter__(self) -> None:
        self._kept = self._transaction.gathered()
        await self._block.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if kind is not None:
            self._transaction.restore(self._kept)
        try:
            return await self._block.__aexit__(kind, error, trace)
        except BaseException:
            self._transaction.restore(self._kept)
            raise
