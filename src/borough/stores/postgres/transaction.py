"""A serializable transaction on a connection of its own.

Entering begins it, leaving commits. COMMIT is awaited whatever cancels the task meanwhile: where its
answer never comes, another connection asks what became of the transaction, see `fate.py`. The events go
last, in one journey; their numbers are made of the transaction's id, see `numbers.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from borough.clock import Clock
from borough.ending import until_done
from borough.errors import (
    CommitFailed,
    CommitUnknown,
    DeadlineExceeded,
    StoreError,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
    WrongRowCount,
)
from borough.ports import Companion, Fetched
from borough.services.context import IN_TRANSACTION
from borough.stores.body import StoreBody
from borough.stores.out_of_time import out_of_time
from borough.stores.postgres.connection import GRACE_S
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.fate import Unconfirmed, is_kept
from borough.stores.postgres.faults import LOST, commit_fault, is_lost, statement_fault
from borough.stores.postgres.lookout import NEVER
from borough.stores.postgres.numbers import insert_events
from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.pool import Pool
from borough.stores.postgres.sql import Text
from borough.stores.postgres.uncut import Uncut
from borough.stores.rows import within_limit
from borough.stores.schema import INSERT_SCHEDULED
from borough.stores.texts import Texts

__all__ = ["PostgresTransaction"]

T = TypeVar("T")
_PUT_SCHEDULED = f"with put as ({INSERT_SCHEDULED} returning 1) select count(*) from put"
_ASYNCHRONOUS = "set local synchronous_commit = off; commit"
_LEAST_S = 0.001


class PostgresTransaction(StoreBody):
    """One body. Made by `PostgresStore.transaction()`, used once."""

    __slots__ = (
        "_asked",
        "_clock",
        "_connection",
        "_deadline",
        "_is_calls",
        "_limits",
        "_pool",
        "_serializable",
        "_texts",
        "_until",
    )

    def __init__(
        self,
        pool: Pool,
        texts: Texts[Text],
        clock: Clock,
        limits: PostgresLimits,
        deadline: float | None,
        companion: Companion | None,
        serializable: bool,
    ) -> None:
        """`deadline` is that of the call at hand; without one the store's own begins with the transaction."""
        StoreBody.__init__(self, pool, companion)
        self._pool = pool
        self._texts = texts
        self._clock = clock
        self._limits = limits
        self._is_calls = deadline is not None
        self._deadline = self._until = deadline or 0.0
        self._serializable = serializable
        self._asked = False

    # --- entering and leaving ---------------------------------------------------------------------

    async def __aenter__(self) -> PostgresTransaction:
        outer = IN_TRANSACTION.get()
        if outer is not None or self._entered:
            self._refuse_nesting(outer)
        pool, limits = self._pool, self._limits
        now = self._clock.monotonic()
        if not self._is_calls:
            self._deadline = now + limits.wait_s
        deadline = self._deadline
        while True:
            if now >= deadline:
                raise StoreUnavailable(
                    "the call's deadline has passed; the transaction has not begun"
                )
            connection = pool.try_take()
            if connection is None:
                connection = await pool.take(deadline)
                now = self._clock.monotonic()
            left_s = deadline - now
            if left_s > limits.body_s:
                left_s = limits.body_s
            elif left_s < _LEAST_S:
                left_s = _LEAST_S
            pool.lookout.expect(connection, now + left_s)
            try:
                await connection.begin(left_s, self._serializable)
                break
            except (*LOST, asyncpg.PostgresError) as error:
                pool.lose(connection)  # the server was started anew; nothing has run
                if not is_lost(error):
                    raise statement_fault(error, "begin") from error
            except BaseException:
                pool.lose(connection)
                raise
            now = self._clock.monotonic()
        connection.due = NEVER
        self._connection = connection
        self._until = now + left_s
        self._open(outer)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if self._connection.due < NEVER:
            # Another task's statement still runs: its connection is of no more use.
            self._pool.lose(self._connection)
            if error is None:
                raise TransactionMisuse("the body ended while one of its statements was running")
            return
        if error is not None or self._doomed is not None or self._depth:
            await self._roll_back(error)
            if error is None:
                self._raise_why()
            return
        until = self._moment()
        if self.outbox or self.scheduled:  # they go last; without them there is no commit
            connection = self._connection
            self._pool.lookout.expect(connection, until + GRACE_S)
            try:
                if self.scheduled:
                    await connection.change_many(_PUT_SCHEDULED, self.scheduled)
                if self.outbox:
                    self.sequence = await insert_events(connection, self.outbox)
            except BaseException as failed:
                await self._fail_events(failed)
        cancelled = await self._commit(until + self._limits.rollback_s)
        self._tell_committed()
        if cancelled is not None:
            raise cancelled

    async def _roll_back(self, error: BaseException | None) -> None:
        connection = self._connection
        if isinstance(error, GeneratorExit):  # may not wait
            self._pool.lose(connection)
            return
        self._pool.lookout.expect(connection, self._clock.monotonic() + self._limits.rollback_s)
        try:
            await connection.end("rollback")
        except (*LOST, asyncpg.PostgresError):
            self._pool.lose(connection)
        except BaseException:
            self._pool.lose(connection)
            raise
        else:
            self._pool.give_back(connection)

    async def _fail_events(self, error: BaseException) -> NoReturn:
        await self._roll_back(error)
        fault = statement_fault(error, "the events of the transaction")
        if fault is error:
            raise error
        raise fault from error

    async def _commit(self, due: float) -> asyncio.CancelledError | None:
        """COMMIT, whatever cancels this task meanwhile: the outcome first, then the cancellation.

        The connection goes back in any case.
        """
        connection = self._connection
        self._pool.lookout.expect(connection, due)
        commit = Uncut(connection.end("commit" if self._lose is None else _ASYNCHRONOUS))
        try:
            await commit
        except (*LOST, asyncpg.PostgresError) as error:
            self._pool.lose(connection)
            if is_lost(error):
                return await self._to_its_end(self._ask_what_became(error), commit.request)
            raise commit.request or commit_fault(error) from error
        except BaseException:
            self._pool.lose(connection)
            raise
        if connection.is_alone:
            self._pool.lose(connection)
            return await self._to_its_end(self._ask_what_became(None), commit.request)
        self._pool.give_back(connection)
        return commit.request

    async def _to_its_end(
        self, work: Coroutine[Any, Any, None], cancelled: asyncio.CancelledError | None
    ) -> asyncio.CancelledError | None:
        """Await `work` whatever cancels this task meanwhile: the outcome first, then the cancellation.

        Raises what the work raises, unless it was cancelled, now or before.
        """
        task = asyncio.create_task(work)
        try:
            await until_done(task)
        except asyncio.CancelledError as request:
            cancelled = request
        if cancelled is not None and task.exception() is not None:
            raise cancelled
        task.result()
        return cancelled

    async def _ask_what_became(self, lost: BaseException | None) -> None:
        """COMMIT's answer never came, or (`lost` is None) came before the copies had it. Returns where it is kept."""
        # What reads may call a function that writes, or look at a view that does: no text tells.
        if lost is not None and not (self._asked or self.scheduled or self.sequence):
            raise StoreUnavailable(
                "the connection was lost at the end of a transaction in which nothing was done"
            ) from lost
        if lost is None or self.sequence:
            event_id = self.outbox[-1][0] if self.sequence else ""
            commit = Unconfirmed(
                self._connection.incarnation, self.sequence, event_id, lost is None
            )
            kept = await is_kept(commit, self._pool, self._clock, self._limits.commit_known_s)
            if kept:
                return
            if kept is False:
                raise CommitFailed(
                    "nothing of it is kept: the connection was lost before COMMIT"
                ) from lost
        if lost is None:
            raise CommitUnknown("no copy has confirmed COMMIT; whether it is kept is not known")
        raise CommitUnknown(
            "the connection was lost during COMMIT; whether it is kept is not known"
        ) from lost

    # --- statements -------------------------------------------------------------------------------

    async def execute(self, sql: str, /, *args: Any) -> int:
        """Run one statement; returns the number of rows changed."""
        if not self.is_open or self._doomed is not None:
            self._check()
        try:
            self._begin_statement(sql)
            try:
                return await self._connection.change(sql, args)
            finally:
                self._connection.due = NEVER
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error, sql)

    async def many(self, sql: str, rows: Sequence[Sequence[Any]], /) -> int:
        """Run one statement for each row of parameters; returns the number of rows changed."""
        if not rows:
            self._check()
            return 0
        try:
            text = self._begin_statement(sql)
            try:
                if text.counted and len(rows) > 1:
                    return await self._connection.change_many(text.counted, rows)
                return sum([await self._connection.change(sql, args) for args in rows])
            finally:
                self._connection.due = NEVER
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error, sql)

    @property
    def _row_limit(self) -> int:
        return self._limits.row_limit

    async def fetch(self, sql: str, args: Sequence[Any], /) -> Fetched:
        """Run one statement of a guest, which shapes rows by itself."""
        self._check()
        limit = self._limits.row_limit
        try:
            self._begin_statement(sql)
            try:
                found = await self._connection.fetch(sql, args, limit)
            finally:
                self._connection.due = NEVER
            within_limit(found.rows, limit, sql)
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error, sql)
        return found

    async def _read(self, kind: Any, sql: str, args: Sequence[Any], limit: int) -> list[Any]:
        if not self.is_open or self._doomed is not None:
            self._check()
        try:
            self._begin_statement(sql)
            try:
                return await self._connection.rows(kind, sql, args, limit)
            finally:
                self._connection.due = NEVER
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error, sql)

    def _begin_statement(self, sql: str) -> Text:
        """A statement begins, which is to set the connection's `due` back."""
        text = self._texts[sql]
        connection = self._connection
        if connection.due < NEVER:
            raise TransactionMisuse(
                "another statement of this transaction is running; await it first"
            )
        if self._until <= self._clock.monotonic():
            raise self._out_of_time(sql)
        self._asked = True
        self._pool.lookout.expect(connection, self._until + GRACE_S)
        return text

    def _moment(self) -> float:
        """When the body's time is over, or in a moment where it is; the store's own statements have some more."""
        moment = self._clock.monotonic() + _LEAST_S
        return moment if moment > self._until else self._until

    # --- failing ----------------------------------------------------------------------------------

    def _out_of_time(self, sql: str) -> StoreError | DeadlineExceeded:
        if self._until >= self._deadline:
            return out_of_time(sql, is_calls=self._is_calls)
        return TransactionMisuse(
            f"the body was open for more than {self._limits.body_s:g} s and was undone. It was at: {sql}"
        )

    def _fail(self, error: BaseException, sql: str) -> NoReturn:
        if isinstance(error, (asyncio.CancelledError, WrongRowCount)):
            if isinstance(error, asyncio.CancelledError):
                self.doom(TransactionMisuse("a statement was cancelled"))
            raise error
        found = statement_fault(error, sql)
        if isinstance(found, DeadlineExceeded):
            found = self._out_of_time(sql)
        self.doom(found)
        if isinstance(found, TransactionConflict) or is_lost(error):
            self._doomed_depth = -1  # no savepoint saves the body
        if found is error:
            raise error
        raise found from error

    # --- savepoints -------------------------------------------------------------------------------

    async def enter_savepoint(self) -> int:
        """Begin a part; returns its depth."""
        self._check()
        if self._connection.due < NEVER:
            raise TransactionMisuse("a statement of this transaction is running; await it first")
        await self._mark(f"savepoint borough_{self._depth + 1}")
        self._depth += 1
        return self._depth

    async def leave_savepoint(self, depth: int, error: BaseException | None) -> None:
        """End a part: keep it, or undo it and clear what doomed it."""
        if not self.is_open or depth != self._depth or self._connection.due < NEVER:
            self.doom(TransactionMisuse("savepoints end in the order in which they nest"))
            self._check()
        self._depth -= 1
        doomed = self._doomed
        if doomed is not None and self._doomed_depth < depth:
            return  # the whole body is gone; leaving it says so
        name = f"borough_{depth}"
        undo = f"rollback to {name}; " if error is not None or doomed is not None else ""
        await self._mark(f"{undo}release {name}")
        self._doomed = None
        if error is None and doomed is not None:
            raise TransactionMisuse(
                f"a statement failed inside the savepoint and the body went on; let the error "
                f"leave the savepoint. It was: {doomed}"
            ) from doomed

    async def _mark(self, text: str) -> None:
        """Run one of the store's own savepoint statements."""
        due = self._moment() + self._limits.rollback_s
        self._pool.lookout.expect(self._connection, due)
        try:
            await self._connection.control(text)
        except (Exception, asyncio.CancelledError) as error:
            self._doomed_depth = -1
            self._doomed = None
            self._fail(error, text)
        finally:
            self._connection.due = NEVER
