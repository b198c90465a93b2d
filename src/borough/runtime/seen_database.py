"""A service's database as traces show it: transactions, statements, events made, above any store.

Only what belongs to a sampled call is recorded, and nothing of Borough's own tables. A statement's
text is shown, its parameters never.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar, cast

from borough.contracts.struct import Event
from borough.ports import Fetched, OutboxRow, ScheduledRow, StoreTransaction
from borough.runtime.envelope import EventWriter
from borough.services.context import CURRENT
from borough.telemetry.durations import Durations
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Failure, Kind, Shape, Span, Value
from borough.telemetry.trace import TraceContext
from borough.telemetry.waiting import Waits
from borough.transports.identifiers import identifiers_of_event
from borough.transports.sight import failure_of

__all__ = ["DatabaseSight", "SeenTransaction"]

T = TypeVar("T")
_MOST = 512
_LONGEST_TEXT = 1024
_OWN = "borough_"
_VERB = re.compile(r"\b(select|insert|update|delete)\b", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:from|into|update)\s+\"?(\w+)", re.IGNORECASE)


class DatabaseSight:
    """One service's database, seen. `system` is the conventions' name of its kind (`sqlite`)."""

    def __init__(self, service: str, system: str, recorder: Recorder) -> None:
        self.recorder = recorder
        self._service = service
        self._facts: dict[str, Value] = {"db.system.name": system, "db.namespace": service}
        self._shapes: dict[str, Shape | None] = {}
        self._events: dict[str, tuple[Shape, Callable[[Any], tuple[Value | None, ...]]]] = {}
        self._durations = Durations()
        recorder.measures.add(
            "db.client.operation.duration",
            "Transactions of sampled calls",
            service,
            {**self._facts, "db.operation.name": "transaction"},
            self._durations,
        )
        self.whole = Shape(service, "transaction", Kind.INTERNAL, self._facts)
        self.begins = Waits(recorder, service, "the database")
        """Until the writer, or a connection, was free."""
        self.ends = Waits(recorder, service, "the commit")

    def left(self, began: float) -> None:
        """A transaction has ended."""
        self._durations.add(self.recorder.monotonic() - began)

    def statement(self, sql: str) -> Shape | None:
        """The shape of a statement's spans; None for one of Borough's own."""
        if sql in self._shapes:
            return self._shapes[sql]
        shape = None if _OWN in sql else self._shape(sql)
        if len(self._shapes) < _MOST:
            self._shapes[sql] = shape
        return shape

    def _shape(self, sql: str) -> Shape:
        verb, table = _VERB.search(sql), _TABLE.search(sql)
        name = verb[1].lower() if verb else "statement"
        attributes = {**self._facts, "db.query.text": " ".join(sql.split())[:_LONGEST_TEXT]}
        if verb:
            attributes["db.operation.name"] = name
        if table:
            attributes["db.collection.name"] = table[1]
            name = f"{name} {table[1]}"
        return Shape(self._service, name, Kind.CLIENT, attributes)

    def reading(self, read: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        """A way to read outside of a transaction, seen where a sampled call is at hand."""

        def seen(kind: Any, sql: str, /, *args: Any) -> Awaitable[T]:
            call = CURRENT.get()
            trace = None if call is None else call.trace
            if trace is None or not trace.is_sampled:
                return read(kind, sql, *args)
            shape = self.statement(sql)
            if shape is None:
                return read(kind, sql, *args)
            return self.seen(shape, trace, read(kind, sql, *args))

        return seen

    async def seen(self, shape: Shape, parent: TraceContext, work: Awaitable[T]) -> T:
        """Wait for a statement, and record it."""
        recorder = self.recorder
        began, failure = recorder.monotonic(), None
        try:
            return await work
        except BaseException as error:
            failure = failure_of(error)
            raise
        finally:
            recorder.note(shape, parent, began, failure=failure)

    def created(
        self, writer: EventWriter, event: Event, event_id: str, parent: TraceContext
    ) -> TraceContext:
        """An event has been made in a sampled call; its handling goes on from the context returned."""
        found = self._events.get(writer.wire_name)
        if found is None:
            found = self._events[writer.wire_name] = self._event(writer, event)
        shape, read = found
        recorder = self.recorder
        own, now = parent.child(recorder.new_id()), recorder.monotonic()
        values = (event_id, *read(event))
        recorder.add(Span(shape, own, parent.parent, now, now, values=values))
        return own

    def _event(
        self, writer: EventWriter, event: Event
    ) -> tuple[Shape, Callable[[Any], tuple[Value | None, ...]]]:
        read = identifiers_of_event(type(event))
        attributes: dict[str, Value] = {
            "messaging.system": "borough",
            "messaging.operation.name": "create",
            "messaging.operation.type": "create",
            "messaging.destination.name": writer.topic,
            "borough.event.type": writer.wire_name,
        }
        names = ("messaging.message.id", *(() if read is None else read.names))
        shape = Shape(self._service, f"create {writer.wire_name}", Kind.PRODUCER, attributes, names)
        return shape, read or _nothing


def _nothing(_: Any) -> tuple[Value | None, ...]:
    return ()


class SeenTransaction:
    """A transaction of a sampled call: what it does goes to the store's own, and is recorded."""

    __slots__ = ("_began", "_manager", "_own", "_parent", "_sight", "_tx")

    def __init__(
        self,
        manager: AbstractAsyncContextManager[StoreTransaction],
        sight: DatabaseSight,
        parent: TraceContext,
    ) -> None:
        self._manager = manager
        self._sight = sight
        self._parent = parent
        self._own = parent.child(sight.recorder.new_id())
        self._began = 0.0
        self._tx = cast(StoreTransaction, None)

    async def __aenter__(self) -> SeenTransaction:
        self._began = self._sight.recorder.monotonic()
        try:
            self._tx = await self._manager.__aenter__()
        except BaseException as error:
            self._end(failure_of(error))
            raise
        finally:
            sight = self._sight
            sight.begins.note(self._own, self._began, sight.recorder.monotonic())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failure: Failure | None = None
        if error is not None:  # the fault is where it came from; this only undoes what was done
            failure = Failure(failure_of(error).kind, "", is_fault=False)
        sight, left = self._sight, self._sight.recorder.monotonic()
        try:
            await self._manager.__aexit__(kind, error, trace)
        except BaseException as failed:
            if failed is not error:
                failure = failure_of(failed)
            raise
        finally:
            sight.ends.note(self._own, left, sight.recorder.monotonic())
            self._end(failure)

    def _end(self, failure: Failure | None) -> None:
        sight = self._sight
        sight.left(self._began)
        sight.recorder.note(
            sight.whole, self._parent, self._began, failure=failure, trace=self._own
        )

    def _seen(self, sql: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        shape = self._sight.statement(sql)
        return work if shape is None else self._sight.seen(shape, self._own, work)

    def execute(self, sql: str, /, *args: Any) -> Coroutine[Any, Any, int]:
        """See `Transaction`."""
        return self._seen(sql, self._tx.execute(sql, *args))

    def many(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Coroutine[Any, Any, int]:
        """See `Transaction`."""
        return self._seen(sql, self._tx.many(sql, rows))

    def one(self, kind: type[T], sql: str, /, *args: Any) -> Coroutine[Any, Any, T]:
        """See `Reader`."""
        return self._seen(sql, self._tx.one(kind, sql, *args))

    def maybe(self, kind: type[T], sql: str, /, *args: Any) -> Coroutine[Any, Any, T | None]:
        """See `Reader`."""
        return self._seen(sql, self._tx.maybe(kind, sql, *args))

    def all(self, kind: type[T], sql: str, /, *args: Any) -> Coroutine[Any, Any, list[T]]:
        """See `Reader`."""
        return self._seen(sql, self._tx.all(kind, sql, *args))

    def fetch(self, sql: str, args: Sequence[Any], /) -> Coroutine[Any, Any, Fetched]:
        """See `StoreTransaction`."""
        return self._seen(sql, self._tx.fetch(sql, args))

    def doom(self, error: BaseException, /, *, whole: bool = False) -> None:
        """See `StoreTransaction`."""
        self._tx.doom(error, whole=whole)

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """See `Transaction`."""
        return self._tx.savepoint()

    def publish(
        self, event: Event, /, *, at: datetime | None = None, after: timedelta | None = None
    ) -> str:
        """See `Transaction`."""
        return self._tx.publish(event, at=at, after=after)

    async def cancel(self, event_id: str, /) -> bool:
        """See `Transaction`."""
        return await self._tx.cancel(event_id)

    async def answer(self, value: T, /) -> T:
        """See `Transaction`."""
        return await self._tx.answer(value)

    @property
    def position(self) -> str:
        """See `Transaction`."""
        return self._tx.position

    @property
    def is_open(self) -> bool:
        """See `StoreTransaction`."""
        return self._tx.is_open

    @property
    def outbox(self) -> list[OutboxRow]:
        """See `StoreTransaction`."""
        return self._tx.outbox

    @property
    def scheduled(self) -> list[ScheduledRow] | None:
        """See `StoreTransaction`."""
        return self._tx.scheduled

    @property
    def mark(self) -> object:
        """See `StoreTransaction`."""
        return self._tx.mark

    @property
    def sequence(self) -> int:
        """See `StoreTransaction`."""
        return self._tx.sequence
