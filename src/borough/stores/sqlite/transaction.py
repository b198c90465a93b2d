"""A body of statements on the writer's connection, from its turn to its group's COMMIT.

`async with store.transaction() as tx`: entering takes the turn, leaving joins the group and waits
for the COMMIT, whatever cancels the task meanwhile. A failed statement dooms the body, or only its
innermost `savepoint()`. A statement that is slow runs in the worker on the same connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import apsw

from borough.errors import (
    ConstraintViolated,
    ProcessStalled,
    StoreError,
    StoreUnavailable,
    TransactionMisuse,
    WrongRowCount,
)
from borough.ports import Companion, Fetched
from borough.services.context import IN_TRANSACTION
from borough.stores.body import StoreBody
from borough.stores.out_of_time import out_of_time
from borough.stores.sqlite.connection import Connection, NeverBegan, savepoint_name
from borough.stores.sqlite.faults import statement_fault
from borough.stores.sqlite.sql import Statement
from borough.stores.sqlite.watch import Hop
from borough.stores.sqlite.worker import Bound
from borough.stores.sqlite.writer import Writer
from borough.stores.texts import Texts

__all__ = ["SqliteTransaction"]

T = TypeVar("T")
_CHUNK = 64
_UNRESOLVED_KEYS = apsw.SQLITE_DBSTATUS_DEFERRED_FKS


class SqliteTransaction(StoreBody):
    """One body. Made by `SqliteStore.transaction()`, used once."""

    __slots__ = (
        "_deadline",
        "_ended",
        "_failure",
        "_future",
        "_texts",
        "_until",
        "_writer",
        "begun",
        "busy",
        "hops_s",
        "late_before_s",
    )

    def __init__(
        self,
        writer: Writer,
        texts: Texts[Statement],
        deadline: float,
        companion: Companion | None = None,
    ) -> None:
        StoreBody.__init__(self, writer, companion)
        self._writer = writer
        self._texts = texts
        self._deadline = deadline
        self._ended = False
        self._failure: StoreError | None = None
        self._future: asyncio.Future[None] | None = None
        self.begun = self.late_before_s = self.hops_s = 0.0
        self.busy = False

    # --- entering and leaving ---------------------------------------------------------------------

    async def __aenter__(self) -> SqliteTransaction:
        outer = IN_TRANSACTION.get()
        if outer is not None or self._entered:
            self._refuse_nesting(outer)
        writer, deadline = self._writer, self._deadline
        now = writer.monotonic()
        if now >= deadline:
            raise StoreUnavailable("the call's deadline has passed; the transaction has not begun")
        if not writer.try_enter(self, now):
            await writer.enter(self, deadline)
        until = self.begun + writer.options.body_s
        self._until = until if until < deadline else deadline
        self._open(outer)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if self.busy:
            if isinstance(error, GeneratorExit):
                return  # may not wait: the statement's end undoes the body
            await self._let_statement_end(error)
        writer = self._writer
        if error is not None:
            writer.leave_undone(self)
            return
        status = writer.connection.inner.status  # a counter of the engine, no search
        if self._doomed is not None or self._depth or status(_UNRESOLVED_KEYS)[0]:
            if self._doomed is None and not self._depth:
                self._doomed = ConstraintViolated(
                    "FOREIGN KEY constraint failed: a deferred key points to no row at the end"
                )
            writer.leave_undone(self)
            self._raise_why()
        try:
            writer.leave_done(self)
        except apsw.Error as failed:
            raise statement_fault(failed, "release") from failed
        if self._lose is not None:  # who writes next is in the same group or in a later one
            return
        cancelled: asyncio.CancelledError | None = None
        while not self._ended:
            self._future = future = writer.loop.create_future()
            try:
                await future
            except asyncio.CancelledError as request:  # the outcome first
                cancelled = request
        failure = self._failure
        if failure is None:
            self._tell_committed()
        if cancelled is not None:
            raise cancelled
        if failure is not None:  # one failure for all members; each raises its own
            raise type(failure)(str(failure)) from failure.__cause__

    async def _let_statement_end(self, error: BaseException | None) -> None:
        """Another task's statement still runs; the body cannot leave before it."""
        try:
            await self._writer.worker.run(_nothing)
        except asyncio.CancelledError:
            self._writer.leave_undone(self)
            raise
        if error is None:
            self.doom(TransactionMisuse("the body ended while one of its statements was running"))

    def settle(self, failure: StoreError | None) -> None:
        """The group has ended."""
        self._failure = failure
        self._ended = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)
        if failure is not None and self._lose is not None:
            self._lose(failure)

    def expire(self) -> None:
        """The writer has gone on to others."""
        self.doom(self._held_too_long("Wait for other things before or after the transaction"))
        self._doomed_depth = -1

    def _held_too_long(self, rest: str, *, stalled: bool = False) -> StoreError:
        body_s = self._writer.options.body_s
        if stalled or self._writer.watch.is_excused(self):
            return ProcessStalled(
                f"the process stood still while a transaction was open for more than {body_s:g} s, "
                f"which was undone; it has too little CPU, a slow disk, was paused, or the body "
                f"blocked it"
            )
        return TransactionMisuse(
            f"the body held the writer for more than {body_s:g} s and was undone. {rest}"
        )

    # --- statements -------------------------------------------------------------------------------

    async def execute(self, sql: str, /, *args: Any) -> int:
        """Run one statement; returns the number of rows changed."""
        if not self.is_open or self._doomed is not None:
            self._check()
        try:
            statement = self._texts[sql]
            if not statement.slow and not (statement.reads or self.busy):
                writer, until = self._writer, self._until
                connection = writer.connection
                begun = writer.monotonic()
                connection.until = until if begun < until else self._go_beyond(begun)
                changed = connection.change(statement, args)
                if writer.monotonic() - begun > writer.options.slow_s:
                    statement.seemed_slow()
                return changed
            return await self._run(statement, lambda c: c.change(statement, args))
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error, sql)

    async def many(self, sql: str, rows: Sequence[Sequence[Any]], /) -> int:
        """Run one statement for each row of parameters; returns the number of rows changed.

        In pieces, between which the loop turns: many small statements in a thread would wait for
        the interpreter's lock at each of them.
        """
        self._check()
        try:
            statement = self._texts[sql]
            changed = 0
            turned = self._writer.monotonic()
            for start in range(0, len(rows), _CHUNK):
                if self._writer.monotonic() - turned > self._writer.options.slow_s:
                    await self._let_loop_turn()
                    turned = self._writer.monotonic()
                self._check()  # the body may have ended between two pieces, where this is a task beside it
                part = rows[start : start + _CHUNK]
                changed += await self._run(statement, partial(_change_all, statement, part))
            return changed
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error, sql)

    async def _let_loop_turn(self) -> None:
        self.busy = True  # for other tasks with this transaction
        hop = Hop(self._writer.watch, self)
        try:
            await asyncio.sleep(0)
        finally:
            self.busy = False
            hop.end()

    @property
    def _row_limit(self) -> int:
        return self._writer.options.row_limit

    async def fetch(self, sql: str, _args: Sequence[Any], /) -> Fetched:
        """Refused: SQLAlchemy's types are stored otherwise here, and one column would have two forms."""
        raise TransactionMisuse(
            f"SQLAlchemy is a guest on PostgreSQL only; choose that store for the service, or use tx. It was: {sql}"
        )

    async def _read(self, kind: Any, sql: str, args: Sequence[Any], limit: int) -> list[Any]:
        self._check()
        try:
            statement = self._texts[sql]
            return await self._run(statement, lambda c: c.rows(kind, statement, args, limit))
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error, sql)

    async def _run(self, statement: Statement, work: Callable[[Connection], T]) -> T:
        """On the loop while quick; a slow read is interrupted and begun again in the worker."""
        if self.busy:
            raise TransactionMisuse(
                "another statement of this transaction is running; await it first"
            )
        connection = self._writer.connection
        begun = self._writer.monotonic()
        if begun >= self._until:
            self._go_beyond(begun)
        slow_s = self._writer.options.slow_s
        if not statement.slow:
            limit = begun + slow_s if statement.reads else math.inf
            connection.until = min(limit, self._until)
            try:
                result = work(connection)
            except apsw.InterruptError:
                if not statement.reads or self._writer.monotonic() >= self._until:
                    raise
                statement.seemed_slow()
            else:
                if self._writer.monotonic() - begun > slow_s:
                    statement.seemed_slow()
                return result
        result = await self._in_worker(statement, work)
        statement.worked(self._writer.connection.worked_s, slow_s)
        return result

    async def _in_worker(self, statement: Statement, work: Callable[[Connection], T]) -> T:
        """The connection is the worker's until the statement has ended, cancelled or not."""
        connection = self._writer.connection
        hop = Hop(self._writer.watch, self)
        connection.until = self._until
        left = self._until - self._writer.monotonic()
        # Cancelled, a write goes on to its end: an interruption would end the whole group.
        bound = Bound(connection.interrupt, left, on_cancel=statement.reads)
        self.busy = True
        try:
            result = await self._writer.worker.run(
                lambda: hop.compute(lambda: connection.off_loop(work)), bound
            )
        except GeneratorExit:  # nobody waits any more; undo the body behind the statement
            self._writer.worker.submit(_nothing, self._forsaken)
            raise
        except BaseException:
            self.busy = False
            raise
        finally:
            hop.end()
        self.busy = False
        self._until = min(self._writer.watch.until(self), self._deadline)
        return result

    def _go_beyond(self, now: float) -> float:
        """Its time is over, unless it has not had it. Raises `apsw.InterruptError`."""
        self._until = until = min(self._writer.watch.until(self), self._deadline)
        if now >= until:
            raise apsw.InterruptError
        return until

    def _forsaken(self, _nothing: None, _error: BaseException | None) -> None:
        self.busy = False
        self._writer.leave_undone(self)

    # --- failing ----------------------------------------------------------------------------------

    def _fail(self, error: BaseException, sql: str) -> NoReturn:
        if isinstance(error, (asyncio.CancelledError, WrongRowCount)):
            if isinstance(error, asyncio.CancelledError):
                self.doom(TransactionMisuse("a statement was cancelled"))
            raise error
        if isinstance(error, apsw.InterruptError):
            began = not isinstance(error, NeverBegan)
            found: BaseException = self._why_interrupted(sql, began=began)
        else:
            found = statement_fault(error, sql)
        self.doom(found)
        from_engine = self.is_open and isinstance(error, apsw.Error)
        if from_engine and not self._writer.check_group(error):
            self._doomed_depth = -1
        if found is error:
            raise error
        raise found from error

    def _why_interrupted(self, sql: str, *, began: bool) -> BaseException:
        # Timers may be early by a moment, so which of the two ends came first is not asked of the clock.
        if self._until >= self._deadline:
            return out_of_time(sql, is_calls=self._writer.is_calls())
        return self._held_too_long(f"It was at: {sql}", stalled=not began)

    # --- savepoints -------------------------------------------------------------------------------

    async def enter_savepoint(self) -> int:
        """Begin a part; returns its depth."""
        self._check()
        if self.busy:
            raise TransactionMisuse("a statement of this transaction is running; await it first")
        self._depth += 1
        connection = self._writer.connection
        connection.until = math.inf
        connection.mark(f"savepoint {savepoint_name(self._depth)}")
        return self._depth

    async def leave_savepoint(self, depth: int, error: BaseException | None) -> None:
        """End a part: keep it, or undo it and clear what doomed it."""
        if self.busy and isinstance(error, GeneratorExit):
            # It may not wait: nothing of the body is kept.
            self.doom(TransactionMisuse("a savepoint() was closed while a statement was running"))
            return
        if not self.is_open or depth != self._depth or self.busy:
            self.doom(TransactionMisuse("savepoints end in the order in which they nest"))
            self._check()
        self._depth -= 1
        doomed = self._doomed
        if doomed is not None and self._doomed_depth < depth:
            return  # the whole body is gone; leaving it says so
        connection = self._writer.connection
        connection.until = math.inf
        name = savepoint_name(depth)
        if error is not None or doomed is not None:
            connection.mark(f"rollback to {name}")
        connection.mark(f"release {name}")
        self._doomed = None
        if error is None and doomed is not None:
            raise TransactionMisuse(
                f"a statement failed inside the savepoint and the body went on; let the error "
                f"leave the savepoint. It was: {doomed}"
            ) from doomed


def _change_all(statement: Statement, rows: Sequence[Sequence[Any]], connection: Connection) -> int:
    return sum(connection.change(statement, row) for row in rows)


def _nothing() -> None:
    """Wait for what the worker does."""
