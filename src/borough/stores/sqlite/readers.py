"""Reads outside a transaction, of the last commit.

A read starts on the event loop, on a connection for that; above 2 ms it is interrupted and begun
again on a lane: a thread with a connection of its own, where that text then starts. A snapshot has
a lane to itself, with one read transaction open on it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import apsw

from borough.clock import Clock
from borough.errors import (
    StoreUnavailable,
    TransactionMisuse,
)
from borough.stores.out_of_time import out_of_time
from borough.stores.row_reader import RowReader
from borough.stores.sqlite.connection import Connection
from borough.stores.sqlite.faults import statement_fault
from borough.stores.sqlite.options import SqliteOptions
from borough.stores.sqlite.sql import Statement
from borough.stores.sqlite.worker import Bound, Worker
from borough.stores.texts import Texts

__all__ = ["Readers", "Snapshot"]

T = TypeVar("T")
Connect = Callable[[], Connection]
_RETRY_S = 0.002


class Lane:
    """A reading connection with its thread. The connection is made in it, at the first use."""

    __slots__ = ("_connect", "connection", "worker")

    def __init__(self, connect: Connect, worker: Worker) -> None:
        self._connect = connect
        self.worker = worker
        self.connection: Connection | None = None

    async def ready(self) -> Connection:
        """The connection."""
        if self.connection is None:
            await self.worker.run(self._make)
        assert self.connection is not None
        return self.connection

    def _make(self) -> None:
        """In the thread: whoever waits may have been cancelled, and the next one finds it."""
        self.connection = self._connect()

    async def run(self, until: float, work: Callable[[Connection], T]) -> T:
        """Run in the thread until a time; a cancellation interrupts it."""
        connection = await self.ready()

        def bounded() -> T:
            connection.until = until
            return connection.off_loop(work)

        bound = Bound(connection.interrupt, until - connection.clock.monotonic())
        return await self.worker.run(bounded, bound)

    async def close(self) -> None:
        """Close the connection, in its thread, and end the thread."""
        if self.connection is not None:
            await self.worker.run(self.connection.close)
            self.connection = None
        self.worker.stop()


class Readers:
    """The connection on the loop, and the lanes."""

    def __init__(
        self,
        connection: Connection,
        connect: Connect,
        clock: Clock,
        options: SqliteOptions,
        name: str,
        is_calls: Callable[[], bool],
    ) -> None:
        """`is_calls` says whether the deadline of what runs at the moment is a call's."""
        self.connection = connection
        self.is_calls = is_calls
        self._clock = clock
        self._options = options
        loop = asyncio.get_running_loop()
        self._lanes = [
            Lane(connect, Worker(loop, f"{name}-read-{number}", gives_way=True))
            for number in range(options.reader_threads)
        ]
        self._free = list(reversed(self._lanes))
        self._waiting: deque[asyncio.Future[Lane]] = deque()
        self._closed = False

    async def read(
        self, kind: Any, statement: Statement, args: Sequence[Any], limit: int, deadline: float
    ) -> list[Any]:
        """At most `limit` rows, and one to be counted."""
        if not statement.reads:
            raise TransactionMisuse(f"outside transaction() one only reads: {statement.sql}")

        def work(connection: Connection) -> list[Any]:
            return connection.rows(kind, statement, args, limit)

        while True:
            try:
                return await self._read(statement, work, deadline)
            except apsw.BusyError as error:  # another process recovers or closes the file
                if self._clock.monotonic() >= deadline:
                    raise StoreUnavailable(
                        f"another process holds the database: {error}"
                    ) from error
                await self._clock.sleep(_RETRY_S * (0.5 + self._clock.random.random()))
            except apsw.InterruptError as error:
                raise out_of_time(statement.sql, is_calls=self.is_calls()) from error
            except Exception as error:
                fault = statement_fault(error, statement.sql)
                if fault is error:
                    raise
                raise fault from error

    async def _read(
        self, statement: Statement, work: Callable[[Connection], list[Any]], deadline: float
    ) -> list[Any]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if not statement.slow:
            slow_s = self._options.slow_s
            quick = run_quickly(self.connection, statement, work, self._clock, slow_s, deadline)
            if quick is not None:
                return quick
        lane = await self.take(deadline)
        try:
            result = await lane.run(deadline, work)
            statement.worked((await lane.ready()).worked_s, self._options.slow_s)
            return result
        finally:
            self.give(lane)

    async def take(self, deadline: float) -> Lane:
        """A free lane. Raises `StoreUnavailable` when none is free in time."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._free:
            return self._free.pop()
        if len(self._waiting) >= self._options.waiting_reads:
            raise StoreUnavailable(f"{len(self._waiting)} slow reads wait for a reader already")
        given: asyncio.Future[Lane] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                return await given
        except BaseException as error:
            if given.done() and not given.cancelled() and given.exception() is None:
                self.give(given.result())  # it came together with the cancellation
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(
                    f"all {len(self._lanes)} readers are busy with slow reads and snapshots"
                ) from None
            raise
        finally:
            if given in self._waiting:
                self._waiting.remove(given)

    def give(self, lane: Lane) -> None:
        """Give a lane back, to who waits for one."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(lane)
                return
        self._free.append(lane)

    async def close(self) -> None:
        """Refuse new reads, interrupt those that run, close every connection."""
        self._closed = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(StoreUnavailable("the store is closed"))
        for lane in self._lanes:
            if lane.connection is not None:
                lane.connection.interrupt()
            await lane.close()
        self.connection.close()


class Snapshot(RowReader):
    """Several reads of one state; made by `SqliteStore.snapshot()`, used once."""

    __slots__ = (
        "_busy",
        "_clock",
        "_deadline",
        "_lane",
        "_options",
        "_over",
        "_readers",
        "_texts",
        "_timer",
        "_until",
    )

    def __init__(
        self,
        readers: Readers,
        texts: Texts[Statement],
        clock: Clock,
        options: SqliteOptions,
        deadline: float,
    ) -> None:
        self._readers = readers
        self._texts = texts
        self._clock = clock
        self._options = options
        self._deadline = deadline
        self._until = 0.0
        self._lane: Lane | None = None
        self._busy = 0
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Snapshot:
        if self._until:
            raise TransactionMisuse("this snapshot was entered before; ask for a new one")
        lane = await self._readers.take(self._deadline)
        self._until = self._deadline
        try:
            await self._begin(lane)
        except BaseException:
            await self._let_go(lane)
            raise
        # An old state is held from now on, however long its beginning waited for the machine.
        self._until = min(self._deadline, self._clock.monotonic() + self._options.snapshot_s)
        self._lane = lane
        self._timer = asyncio.get_running_loop().call_later(
            self._options.snapshot_s, self._expire, lane
        )
        return self

    async def _begin(self, lane: Lane) -> None:
        while True:
            try:
                return await lane.run(self._until, _begin)
            except apsw.BusyError as error:
                if self._clock.monotonic() >= self._until:
                    raise StoreUnavailable(
                        f"another process holds the database: {error}"
                    ) from error
                await self._clock.sleep(_RETRY_S * (0.5 + self._clock.random.random()))
            except apsw.InterruptError as error:
                raise out_of_time("begin", is_calls=self._readers.is_calls()) from error
            except apsw.Error as error:
                raise statement_fault(error, "begin") from error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lane, self._lane = self._lane, None
        if self._timer is not None:
            self._timer.cancel()
        if lane is not None:
            await self._let_go(lane)

    async def _let_go(self, lane: Lane) -> None:
        if lane.connection is None:
            self._readers.give(lane)
            return
        if self._busy:  # the coroutine was closed during a read; its end comes first
            lane.connection.interrupt()
        lane.worker.submit(lane.connection.end, lambda _result, _error: self._readers.give(lane))

    def _expire(self, lane: Lane) -> None:
        """An old state keeps the WAL from shrinking: end the read transaction."""
        self._over = True
        if not self._busy and self._lane is not None and lane.connection is not None:
            lane.connection.end()

    @property
    def _row_limit(self) -> int:
        return self._options.row_limit

    async def _read(self, kind: Any, sql: str, args: Sequence[Any], limit: int) -> list[Any]:
        statement = self._texts[sql]
        if not statement.reads:
            raise TransactionMisuse(f"a snapshot only reads: {sql}")
        lane = self._lane
        if lane is None or lane.connection is None:
            raise TransactionMisuse("the snapshot is over; its reads stand inside `async with`")
        if self._over:
            raise self._held_too_long()

        def work(connection: Connection) -> list[Any]:
            return connection.rows(kind, statement, args, limit)

        try:
            return await self._run(lane, lane.connection, statement, work)
        except apsw.InterruptError as error:
            if self._until < self._deadline:  # its own time was over, and not its caller's
                raise self._held_too_long() from error
            raise out_of_time(sql, is_calls=self._readers.is_calls()) from error
        except Exception as error:
            fault = statement_fault(error, sql)
            if fault is error:
                raise
            raise fault from error

    def _held_too_long(self) -> TransactionMisuse:
        return TransactionMisuse(
            f"the snapshot was held for more than {self._options.snapshot_s:g} s and was ended"
        )

    async def _run(
        self,
        lane: Lane,
        connection: Connection,
        statement: Statement,
        work: Callable[[Connection], list[Any]],
    ) -> list[Any]:
        slow_s = self._options.slow_s
        if not self._busy and not statement.slow:
            quick = run_quickly(connection, statement, work, self._clock, slow_s, self._until)
            if quick is not None:
                return quick
        self._busy += 1
        try:
            found = await lane.run(self._until, work)
            statement.worked(connection.worked_s, slow_s)
        finally:
            self._busy -= 1
            if self._over and not self._busy and self._lane is not None:
                connection.end()
        return found


def _begin(connection: Connection) -> None:
    connection.control("begin")
    try:
        connection.control("select 1 from sqlite_schema limit 1")  # the state is chosen now
    except BaseException:
        connection.end()
        raise


def run_quickly(
    connection: Connection,
    statement: Statement,
    work: Callable[[Connection], list[Any]],
    clock: Clock,
    slow_s: float,
    until: float,
) -> list[Any] | None:
    """Run a read on the loop; None when it was interrupted as slow, and belongs into a thread."""
    begun = clock.monotonic()
    connection.until = min(begun + slow_s, until)
    try:
        found = work(connection)
    except apsw.InterruptError:
        if clock.monotonic() >= until:
            raise
        statement.seemed_slow()
        return None
    if clock.monotonic() - begun > slow_s:
        statement.seemed_slow()
    return found
