"""One connection to the file: its settings, what it refuses, and running a statement on it.

Used by one thread at a time, which one may change. Settings are made by one pragma per call and
read back. The authorizer refuses transaction control and other databases in statements, also where
a text hides them; the guard interrupts what runs beyond a time.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import apsw

from borough.clock import Clock, thread_cpu_s
from borough.errors import ConfigurationError, StoreError
from borough.stores.rows import RowPlans
from borough.stores.sqlite.faults import DISK_FAULTS, real_fault
from borough.stores.sqlite.options import SqliteOptions
from borough.stores.sqlite.sql import Statement
from borough.stores.values import check_floats, compare_decimals, store_value

__all__ = ["BODY", "READING_PRAGMAS", "Connection", "NeverBegan", "savepoint_name"]

BODY = "borough_body"
_STEPS = 1000
_SHAPED = 500
T = TypeVar("T")
READING_PRAGMAS = frozenset(
    (
        "data_version",  # full-text search asks for it
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    )
)
_OK = apsw.SQLITE_OK
_WATCHED = frozenset(
    (
        apsw.SQLITE_SAVEPOINT,
        apsw.SQLITE_TRANSACTION,
        apsw.SQLITE_PRAGMA,
        apsw.SQLITE_ATTACH,
        apsw.SQLITE_DETACH,
    )
)


def savepoint_name(depth: int) -> str:
    """The name of the savepoint at a depth inside a body."""
    return f"borough_{depth}"


class NeverBegan(apsw.InterruptError):
    """The thread came to a statement only when its time was over."""


class Connection:
    """An `apsw` connection with the store's settings, interrupted at `until`.

    `asked` counts what the engine has wanted to be allowed: something, each time that it plans a statement.
    """

    __slots__ = (
        "_cursor",
        "_free",
        "_plans",
        "_pragmas",
        "asked",
        "clock",
        "inner",
        "mark",
        "until",
        "wal_pages",
        "worked_s",
    )

    def __init__(
        self, path: str, clock: Clock, options: SqliteOptions, plans: RowPlans, *, writes: bool
    ) -> None:
        self.clock = clock
        self.until = math.inf
        self.asked = 0
        self.wal_pages = 0
        self.worked_s = 0.0
        self._free = False
        self._pragmas = READING_PRAGMAS
        self._plans = plans
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writes else 0)
        # Any: apsw's types name numpy's, which are not there
        inner: Any = apsw.Connection(path, flags, statementcachesize=options.statements)
        self.inner = inner
        try:
            self._settle(path, writes)
        except BaseException:
            inner.close()
            raise
        self._cursor: Any = inner.cursor()
        # Runs one of the store's own savepoint statements. It has no time of its own: `until` is to be infinite,
        # or that of an earlier statement ends it.
        self.mark: Callable[[str], object] = inner.cursor().execute

    def _settle(self, path: str, writes: bool) -> None:
        inner = self.inner
        inner.set_busy_timeout(0)
        self._pragma("busy_timeout", 0)
        if self._pragma_value("journal_mode = wal") != "wal":
            raise ConfigurationError(
                f"{path}: the file system has no shared memory for SQLite's WAL (a network "
                f"folder?); put the data on a local disk"
            )
        self._pragma("synchronous", 2)
        self._pragma("wal_autocheckpoint", 0)
        self._pragma("foreign_keys", 1)
        self._pragma("trusted_schema", 0)
        if not writes:
            self._pragma("query_only", 1)
        inner.set_wal_hook(self._after_commit)
        inner.create_collation("decimal", compare_decimals)
        inner.convert_binding = store_value
        inner.authorizer = self._authorize
        inner.set_progress_handler(self._is_over, _STEPS)

    def _pragma_value(self, text: str) -> Any:
        try:
            rows = self.inner.execute(f"pragma {text}").fetchall()
        except DISK_FAULTS as error:
            raise real_fault(error, self.inner.system_errno) from error
        return rows[0][0] if rows else None

    def _pragma(self, name: str, value: int) -> None:
        self._pragma_value(f"{name} = {value}")
        found = self._pragma_value(name)
        if found != value:
            raise ConfigurationError(f"SQLite keeps {name} at {found} instead of {value}")

    def _after_commit(self, _connection: object, _database: str, pages: int) -> int:
        self.wal_pages = pages
        return 0

    def _is_over(self) -> bool:
        return self.clock.monotonic() >= self.until

    def _authorize(
        self, action: int, one: str | None, two: str | None, _database: str | None, _by: str | None
    ) -> int:
        self.asked += 1
        if action not in _WATCHED:  # mostly columns that are read, each of which is told
            return _OK
        if action == apsw.SQLITE_SAVEPOINT:
            allowed = two is not None and two.startswith("borough_")
        elif action == apsw.SQLITE_TRANSACTION:
            allowed = self._free
        elif action == apsw.SQLITE_PRAGMA:
            allowed = self._free or one in self._pragmas
        else:
            allowed = self._free
        return _OK if allowed else apsw.SQLITE_DENY

    @contextmanager
    def allowing(self, *pragmas: str) -> Generator[None]:
        """Let these pragmas pass for a while."""
        before = self._pragmas
        self._pragmas = before.union(pragmas)
        try:
            yield
        finally:
            self._pragmas = before

    def control(self, text: str) -> Any:
        """Run the store's own `begin`, `commit`, `rollback` or pragma; returns the first value.

        The mark keeps it apart in the statement cache, where a user's equal text would find it
        authorized.
        """
        self._free = True
        self.until = math.inf
        try:
            rows = self._cursor.execute(f"{text} /* borough */").fetchall()
        except DISK_FAULTS as error:
            raise real_fault(error, self.inner.system_errno) from error
        finally:
            self._free = False
        return rows[0][0] if rows else None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; an engine's error may have ended it."""
        return bool(self.inner.in_transaction)

    def has_moved(self) -> bool:
        """Whether the file is not at its path any more, or another one is."""
        answer = array("i", [0])
        address, _ = answer.buffer_info()
        self.inner.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, address)
        return bool(answer[0])

    def explain(self, text: str, values: Sequence[int | None]) -> tuple[str, ...] | None:
        """The engine's plan for a numbered text; None where it cannot tell, which the execution will explain.

        Of a schema that is new it learns only when a statement runs, so one does.
        """
        self.until = math.inf
        try:
            self.inner.execute("select 1 from sqlite_schema limit 1").fetchall()
            rows = self.inner.execute(f"explain query plan {text}", values)
            return tuple(detail for _, _, _, detail in rows)
        except apsw.Error:
            return None

    def change(self, statement: Statement, args: Sequence[Any]) -> int:
        """Run a statement to its end; returns the rows that it changed itself."""
        if len(args) != statement.count:
            raise _wrong_count(statement, args)
        for value in args:
            if type(value) is float:
                check_floats(args)
        cursor = self._cursor
        try:
            cursor.execute(statement.numbered, args)
            if statement.returns:  # step to the end
                for _ in cursor:
                    pass
        except DISK_FAULTS as error:
            raise real_fault(error, self.inner.system_errno) from error
        return self.inner.changes() if statement.changes else 0

    def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Insert rows into a table of Borough's own; returns the number of the last one."""
        self.until = math.inf
        try:
            self._cursor.executemany(sql, rows)
        except DISK_FAULTS as error:
            raise real_fault(error, self.inner.system_errno) from error
        return int(self.inner.last_insert_rowid())

    def rows(self, kind: Any, statement: Statement, args: Sequence[Any], limit: int) -> list[Any]:
        """Run a statement and shape at most `limit` rows; one more is read, to be counted."""
        if len(args) != statement.count:
            raise _wrong_count(statement, args)
        if float in map(type, args):
            check_floats(args)
        cursor = self._cursor
        try:
            cursor.execute(statement.numbered, args)
            columns = cursor.get_description()
            found: list[Any] = list(islice(cursor, limit + 1))
        except apsw.ExecutionCompleteError:
            return []
        except DISK_FAULTS as error:
            raise real_fault(error, self.inner.system_errno) from error
        if len(found) > limit:  # rows are left in the engine: an open statement blocks COMMIT
            cursor.close()
            self._cursor = self.inner.cursor()
        shape = self._plans.of(kind, columns)
        if len(found) <= _SHAPED:
            return shape(found)
        shaped: list[Any] = []
        for start in range(0, len(found), _SHAPED):  # so that other threads may run between
            shaped += shape(found[start : start + _SHAPED])
        return shaped

    def checkpoint(self, mode: int) -> None:
        """Move the WAL into the database; what readers still need stays."""
        try:
            try:
                pages, _moved = self.inner.wal_checkpoint(mode=mode)
            except apsw.InterruptError:
                # One that came too late for its statement was kept for whatever is next: this.
                pages, _moved = self.inner.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            return
        except DISK_FAULTS as error:
            raise real_fault(error, self.inner.system_errno) from error
        self.wal_pages = max(pages, 0)

    def end(self) -> None:
        """End a read transaction, if one is open."""
        if self.inner.in_transaction:
            self.control("rollback")

    def off_loop(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a thread, without the guard: each of its looks would wait for the loop.

        Whoever waits for the end calls `interrupt()` when it is time. `worked_s` is then what it took of a core:
        on a busy machine a thread waits, and that makes no text a slow one.
        """
        self.inner.set_progress_handler(None)
        try:
            if self.clock.monotonic() >= self.until:
                raise NeverBegan
            before = thread_cpu_s()
            found = work(self)
            self.worked_s = thread_cpu_s() - before
            return found
        finally:
            self.inner.set_progress_handler(self._is_over, _STEPS)

    def interrupt(self) -> None:
        """End the statement that runs now, from whichever thread."""
        self.until = -math.inf
        self.inner.interrupt()

    def close(self) -> None:
        """Close it; idempotent."""
        self.inner.close()


def _wrong_count(statement: Statement, args: Sequence[Any]) -> StoreError:
    wanted, given = statement.count, len(args)
    return StoreError(f"{wanted} parameters and {given} values are in: {statement.sql}")
