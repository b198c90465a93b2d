"""The few interfaces that every edge implements: Store, Broker, Transport, Discovery, SpanSink.

Each has a conformance suite that all its adapters pass. An adapter has two to six methods; what
adapters share stands above the port. `incarnation` of a handle lets a simulated crash make it raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from borough.contracts.operation import Operation
from borough.contracts.retention import Retention
from borough.contracts.struct import Event
from borough.errors import StoreError
from borough.services.context import Call
from borough.services.data import Dialect, Reader, Transaction

__all__ = [
    "LONGEST_EVENT",
    "Broker",
    "Companion",
    "Delivery",
    "Discovery",
    "Fetched",
    "Message",
    "Migration",
    "OutboxRow",
    "PlacedBroker",
    "PlacedSubscription",
    "Rejected",
    "Replica",
    "ScheduledRow",
    "Send",
    "Signal",
    "SpanSink",
    "Store",
    "StoreTransaction",
    "Subscription",
    "TopicFacts",
    "Transport",
    "Trimmed",
]

T = TypeVar("T")


class Migration(msgspec.Struct, frozen=True):
    """One numbered SQL script: `name` is the file name (`0001_orders.sql`), `sql` its text.

    Or a revision of Alembic (`0001_REVISION.py`): then `sql` is its Python, and `environment` the folder that runs it.
    `path` is the file, where it is one.
    """

    name: str
    sql: str
    environment: str = ""
    path: str = ""

    def told(self, space: str) -> str:
        """How it is named to whoever must mend it."""
        return self.path or f"{self.name} of {space!r}"


OutboxRow = tuple[str, str, str, str | None, bytes]
"""An event that a transaction publishes: id, topic, type, key, CloudEvents document."""

ScheduledRow = tuple[float, str, str, str, str | None, bytes]
"""An event for later: when it is due (seconds since 1970), then as in an `OutboxRow`."""


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """What a statement has brought: columns by name and type (an OID), rows as the driver has them."""

    columns: Sequence[tuple[str, int]]
    rows: list[tuple[Any, ...]]
    changed: int
    """How many rows were changed, or read."""


class StoreTransaction(Transaction, Protocol):
    """A transaction with what it gathers for its COMMIT. A rolled back savepoint takes its part along.

    While it is open it is the `IN_TRANSACTION` of its context.
    """

    is_open: bool
    outbox: list[OutboxRow]
    """Inserted by the store, in this order, last of all and in the same commit."""
    scheduled: list[ScheduledRow] | None
    """Likewise; None until there is one."""
    mark: object
    """What `answer` has settled."""
    sequence: int
    """Once committed: the outbox number of the last event."""

    async def fetch(self, sql: str, args: Sequence[Any], /) -> Fetched:
        """Run one statement of a library that shapes rows by itself; fails as `execute` does.

        Raises `TransactionMisuse` where the store takes no such guests.
        """
        ...

    def doom(self, error: BaseException, /, *, whole: bool = False) -> None:
        """Keep nothing of the innermost savepoint, or of all that is `whole`; leaving it raises `error`."""
        ...

    def commit_asynchronously(self, lose: Callable[[StoreError], None], /) -> None:
        """Leaving need not wait until it is durable. For transactions without a companion.

        Whoever writes to the database afterwards sees it, and is durable only if it is. `lose` is called on the
        loop when it turns out after leaving that it is not kept; a crash may also take it without a word.
        """
        ...


class Companion(Protocol):
    """What the runtime adds to the transactions of a service's own code."""

    def publish(self, tx: StoreTransaction, event: Event) -> str:
        """See `Transaction.publish`; puts the event into `tx.outbox`."""
        ...

    def schedule(
        self, tx: StoreTransaction, event: Event, at: datetime | None, after: timedelta | None
    ) -> str:
        """See `Transaction.publish` with a time; puts the event into `tx.scheduled`."""
        ...

    async def cancel(self, tx: StoreTransaction, event_id: str) -> bool:
        """See `Transaction.cancel`."""
        ...

    async def answer(self, tx: StoreTransaction, value: T) -> T:
        """See `Transaction.answer`; sets `tx.mark`."""
        ...

    def committed(self, tx: StoreTransaction) -> None:
        """It has committed, with events or an answer."""
        ...


class Store(Reader, Protocol):
    """One service's database. Every wait is bounded by the deadline of the call at hand."""

    @property
    def dialect(self) -> Dialect:
        """The SQL that it speaks."""
        ...

    async def open(self) -> None:
        """Open or create; recover. Raises `ConfigurationError` (folder, rights) or `StoreUnavailable`."""
        ...

    async def migrate(self, space: str, migrations: Sequence[Migration]) -> Sequence[str]:
        """Apply what `space` (`borough` or `service`) misses, in order; returns the names applied.

        Raises `MigrationRefused` when an applied one is changed or missing, or a new one fails.
        """
        ...

    def transaction(
        self, companion: Companion | None = None, *, serializable: bool = True
    ) -> AbstractAsyncContextManager[StoreTransaction]:
        """A serializable transaction; when the block has been left it is durable.

        Without a companion it can neither publish nor answer (`TransactionMisuse`). One that is not
        `serializable` may be less: each statement sees what was committed before it, the rows that it
        changes are its own until the end, and it conflicts with nobody. It is for the runtime's own rows.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Reader]:
        """Several reads of one state."""
        ...

    async def close(self) -> None:
        """Finish what runs, checkpoint, release. Idempotent."""
        ...


LONGEST_EVENT = 1024 * 1024
"""How many bytes an event may have as a document: what every broker carries and a reader holds."""


class Message(msgspec.Struct, frozen=True):
    """An event on its way. `body` is a CloudEvents 1.0 JSON document.

    `sequence` orders a topic and `previous` is that of the event before it, so that a gap is seen;
    0 where the publisher counts nothing, or nothing came before. Where a handler's inbox knows it by more than its
    id, `id` is that, and `formerly` what the inboxes of earlier versions knew it by.
    """

    id: str
    topic: str
    type: str
    key: str | None
    sequence: int
    body: bytes
    previous: int = 0
    formerly: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """A message as a subscription gives it; `position` grows along the topic."""

    message: Message
    position: int


class Subscription(Protocol):
    """One handler's reading of one topic."""

    @property
    def position(self) -> int:
        """All up to here has been read; it may begin behind, or before, the position asked for."""
        ...

    @property
    def missed(self) -> int:
        """How many events retention has removed before this reading came to them.

        It may grow while reading. At least 1 where events are missing and nobody knows how many.
        """
        ...

    async def take(self, limit: int) -> Sequence[Delivery]:
        """At least one delivery, at most `limit`; waits for it."""
        ...

    async def done(self, position: int) -> None:
        """All up to and with `position` is handled and committed."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class PlacedSubscription(Subscription, Protocol):
    """A reading whose positions stand for a place in each of several partitions."""

    def places(self, position: int) -> str:
        """What the handler's database keeps beside `position`, up to which all is done; it only grows."""
        ...


class TopicFacts(msgspec.Struct, frozen=True):
    """What a topic holds now: the positions `earliest` and `end`, and what lies between them.

    `oldest_s` is when its oldest event was published (seconds since 1970), None for an empty topic;
    `bytes` is None where the broker does not tell.
    """

    earliest: int
    end: int
    records: int
    bytes: int | None
    segments: int
    oldest_s: float | None


class Trimmed(msgspec.Struct, frozen=True):
    """What a trim has removed."""

    records: int = 0
    bytes: int = 0


class Broker(Protocol):
    """How events travel between services."""

    keeps_positions: bool
    """Whether the broker remembers what a group has done, or the consumer's database does."""
    keeps_order: bool
    """Whether a topic is read in the order of `sequence`. Where it is not, positions are receipts
    in any order, and `Subscription.done` is told each by itself."""
    keeps_history: bool
    """Whether a topic can be read from its earliest retained event. Where it cannot, the publisher's
    database retains events, and serves who asks for them."""

    tells_types_apart: bool
    """Whether `latest per key` keeps the newest event of each type and key, or of each key alone."""

    async def open(self) -> None: ...

    async def claim(self, services: Iterable[str]) -> None:
        """Have what the broker names after these services for this system alone.

        Where the broker is away it is done before anything is published or read. Raises `ConfigurationError` where
        another system has them. Nothing to do where no other system can come.
        """
        ...

    async def publish(self, messages: Sequence[Message]) -> None:
        """Durable when it returns. Publishing the same ids again is harmless. Raises `BrokerError`."""
        ...

    async def join(self, group: str, topic: str, *, anew: bool = False) -> None:
        """From now on the handler `group` is owed what is published. Raises `BrokerError`.

        Nothing to do where a position says all. `anew` forgets what the broker knows of an earlier
        handler of that name.
        """
        ...

    async def waiting(self, group: str, topic: str) -> int:
        """How many events the broker holds for the handler, besides those that its reader has been given.

        0 where positions live with the reader. Raises `BrokerError`.
        """
        ...

    async def end(self, topic: str) -> int:
        """The position after which a new handler starts; 0 for a topic that never had an event."""
        ...

    async def earliest(self, topic: str) -> int:
        """The position after which a reader of all that is retained starts."""
        ...

    async def origin(self, topic: str) -> str:
        """Of which log positions in the topic are: the kind of broker, and where logs of this kind can be taken for
        each other a space and what tells them apart. Raises `BrokerError`."""
        ...

    async def bury(self, group: str, message: Message, attempts: int, cause: str) -> None:
        """The handler has given the event up, and its database has it. Raises `BrokerError`.

        Where people look for dead letters at the broker it keeps a copy; the database is the truth.
        """
        ...

    async def facts(self, topic: str) -> TopicFacts:
        """What the topic holds now."""
        ...

    async def trim(self, topic: str, retention: Retention, now_s: float) -> Trimmed:
        """Remove what need not be retained any more; nothing where the broker does it by itself.

        To be repeated now and then by one process: whole pieces of a topic go, so that it holds up
        to an eighth more than it must. Raises `BrokerError`; whatever happens, no event goes that
        the retention keeps.
        """
        ...

    async def subscribe(self, group: str, topic: str, position: int) -> Subscription:
        """Read `topic` for the handler `group` after `position` (ignored by brokers that keep positions).

        A position before the earliest retained event becomes that: `Subscription.missed` tells.
        """
        ...

    async def close(self) -> None: ...


@runtime_checkable
class PlacedBroker(Broker, Protocol):
    """A broker whose positions alone do not say where a reading goes on: the places are noted beside them."""

    async def ending(self, topic: str) -> tuple[int, str]:
        """`end`, and the places there. Raises `BrokerError`."""
        ...

    async def subscribe_at(
        self, group: str, topic: str, position: int, places: str
    ) -> PlacedSubscription:
        """As `subscribe`, from the places that were noted with the position; `""` where there are none."""
        ...


Send = Callable[[Sequence[Any], Call], Any]
"""Sends one operation's arguments for a call: an awaitable of the answer, or an async iterator for a stream."""


class Transport(Protocol):
    """How a call travels. Bound once per operation, so that nothing is looked up on the way."""

    def bind(self, operation: Operation) -> Send:
        """The way to this operation. The answer raises the operation's problems or a `CallError`;
        closing a stream's iterator closes the callee's generator."""
        ...

    async def close(self) -> None: ...


Signal = Literal["traces", "metrics", "logs"]


class Rejected(msgspec.Struct, frozen=True):
    """So many items of a batch that was taken were not; none, where there is only something to be said of it."""

    count: int
    why: str


class SpanSink(Protocol):
    """Where what is seen of a process goes, as OTLP bytes in batches."""

    async def write(self, signal: Signal, data: bytes) -> Rejected | None:
        """Take a batch, or all but a part of it. Raises `Unavailable` where the same batch may be taken later (with
        `retry_after_s` where that is known), another `BoroughError` where it never will."""
        ...

    async def close(self) -> None:
        """Release what is held. Idempotent."""
        ...


class Replica(msgspec.Struct, frozen=True):
    """One process that answers for a service; `id` is its own, even where an address comes again."""

    id: str
    host: str
    port: int


class Discovery(Protocol):
    """Who answers for a service. Asked at every call, so it only looks up."""

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """Those that take calls now; `()` where none is known.

        It is the same tuple object until something changes.
        """
        ...
