"""A service's SQLite database, as the port `Store` wants it.

Opening and closing are done under the baton and in the worker; transactions go through the writer,
reads through the readers. The file's neighbours are `-wal` and `-shm` (SQLite's), `.baton` and
`.baton-next` (the store's, empty).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from borough.clock import Clock
from borough.ending import ended
from borough.errors import ConfigurationError, StoreUnavailable, TransactionMisuse
from borough.ports import Companion, Migration
from borough.services.data import Dialect
from borough.stores.row_reader import RowReader
from borough.stores.rows import RowPlans
from borough.stores.sqlite.baton import Baton
from borough.stores.sqlite.connection import Connection
from borough.stores.sqlite.faults import unusable
from borough.stores.sqlite.migrate import apply_migrations
from borough.stores.sqlite.options import SqliteOptions
from borough.stores.sqlite.planning import chooses_by_value, planned_once
from borough.stores.sqlite.readers import Readers, Snapshot
from borough.stores.sqlite.sql import Statement
from borough.stores.sqlite.transaction import SqliteTransaction
from borough.stores.sqlite.worker import Worker
from borough.stores.sqlite.writer import Writer
from borough.stores.texts import Texts

__all__ = ["SqliteStore"]

T = TypeVar("T")
_DEFAULTS = SqliteOptions()


def no_deadline() -> float | None:
    """No call is at hand: the option `wait_s` bounds every wait."""
    return None


class SqliteStore(RowReader):
    """One database file. `deadline()` is the monotonic deadline of the call at hand, or None."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock,
        deadline: Callable[[], float | None] = no_deadline,
        options: SqliteOptions = _DEFAULTS,
    ) -> None:
        self.dialect: Dialect = "sqlite"
        self.path = os.path.abspath(path)
        self._clock = clock
        self._deadline = deadline
        self._options = options
        self._texts = Texts(self._text)
        self._chooses_by_value = True
        self._plans = RowPlans()
        self._baton = Baton(self.path)
        self._worker: Worker | None = None
        self._writer: Writer | None = None
        self._readers: Readers | None = None

    # --- opening and closing ----------------------------------------------------------------------

    async def open(self) -> None:
        """Open or create, and recover. Raises `ConfigurationError` or `StoreUnavailable`."""
        if self._writer is not None:
            raise TransactionMisuse(f"{self.path} is open already")
        until = self._until()
        worker = Worker(asyncio.get_running_loop(), f"{Path(self.path).stem}-write")
        self._refuse_folder()
        try:
            self._baton.open()
        except OSError as error:
            raise ConfigurationError(
                f"{self.path}.baton cannot be made: {error.strerror}"
            ) from error
        made: list[Connection] = []
        try:
            await self._connect_first(worker, until, made)
            writer, reader = made
            connect = partial(self._connect, writes=False)
            name = Path(self.path).stem
            self._readers = Readers(
                reader, connect, self._clock, self._options, name, self._is_calls
            )
            self._writer = Writer(
                self.path, writer, self._baton, worker, self._clock, self._options, self._is_calls
            )
            self._worker = worker
        except BaseException:
            _close_all(made)
            self._baton.close()
            worker.stop()
            raise
        self._baton.drop()

    def _refuse_folder(self) -> None:
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise ConfigurationError(f"{folder} is no folder; create it, or name another")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"{folder} is not writable; SQLite keeps files beside the database, so the folder "
                f"must be, too. Change its rights, or name another folder"
            )
        if os.path.exists(self.path) and not os.access(self.path, os.R_OK | os.W_OK):
            raise ConfigurationError(f"{self.path} is not writable; change its rights")

    async def _connect_first(self, worker: Worker, until: float, made: list[Connection]) -> None:
        while True:
            await self._take_baton(until)
            try:
                return await worker.run(partial(self._open_both, made))
            except apsw.BusyError:  # a program without the baton, such as the sqlite3 shell
                _close_all(made)
                if self._clock.monotonic() >= until:
                    raise StoreUnavailable(f"{self.path} is held by another program") from None
                self._baton.drop()
                await self._clock.sleep(0.01)
            except apsw.FullError as error:  # that passes
                raise StoreUnavailable(unusable(self.path, error)) from error
            except apsw.Error as error:
                raise ConfigurationError(unusable(self.path, error)) from error

    async def _take_baton(self, until: float) -> None:
        while not self._baton.try_take():
            if self._clock.monotonic() >= until:
                raise StoreUnavailable(
                    f"{self.path} could not be had in time; another process holds it"
                )
            await self._clock.sleep(0.001 + 0.002 * self._clock.random.random())

    def _connect(self, *, writes: bool) -> Connection:
        return Connection(self.path, self._clock, self._options, self._plans, writes=writes)

    def _open_both(self, made: list[Connection]) -> None:
        """In the worker. Each is put into `made` at once: whoever waits may have been cancelled."""
        writer = self._connect(writes=True)
        made.append(writer)
        writer.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)  # what a crash has left
        self._know_plans(chooses_by_value(writer))
        made.append(self._connect(writes=False))

    async def close(self) -> None:
        """Finish what runs, checkpoint, release. Idempotent. Whoever is cancelled waits for that, too."""
        writer, readers, worker = self._writer, self._readers, self._worker
        if writer is None or readers is None or worker is None:
            return
        self._writer = self._readers = self._worker = None
        # Half-way it would keep the baton from others for as long as the process lives.
        await ended(asyncio.ensure_future(self._close(writer, readers, worker)))

    async def _close(self, writer: Writer, readers: Readers, worker: Worker) -> None:
        try:
            held = await writer.finish(self._clock.monotonic() + self._options.wait_s)
            await readers.close()
            await worker.run(partial(_close_writer, writer.connection, held))
        finally:
            worker.stop()
            self._baton.close()

    # --- reading and writing ----------------------------------------------------------------------

    def transaction(
        self, companion: Companion | None = None, *, serializable: bool = True
    ) -> SqliteTransaction:
        """A transaction, serializable in any case; when the block has been left it is durable."""
        if self._writer is None:
            raise self._not_open()
        deadline = self._deadline()
        if deadline is None:
            deadline = self._clock.monotonic() + self._options.wait_s
        return SqliteTransaction(self._writer, self._texts, deadline, companion)

    def snapshot(self) -> Snapshot:
        """Several reads of one state."""
        if self._readers is None:
            raise self._not_open()
        return Snapshot(self._readers, self._texts, self._clock, self._options, self._until())

    @property
    def _row_limit(self) -> int:
        return self._options.row_limit

    async def _read(self, kind: Any, sql: str, args: Sequence[Any], limit: int) -> list[Any]:
        if self._readers is None:
            raise self._not_open()
        statement = self._texts[sql]
        return await self._readers.read(kind, statement, args, limit, self._until())

    async def migrate(self, space: str, migrations: Sequence[Migration]) -> Sequence[str]:
        """Apply what `space` misses, in order; returns the names. Raises `MigrationRefused`."""
        if self._writer is None:
            raise self._not_open()

        def work(connection: Connection) -> tuple[list[str], bool]:
            applied = apply_migrations(connection, space, migrations, self._clock)
            return applied, chooses_by_value(connection)

        applied, by_value = await self._writer.alone(work, self._until())
        self._know_plans(by_value)
        return applied

    def _text(self, sql: str) -> Statement:
        connection = None if self._readers is None else self._readers.connection
        return planned_once(sql, connection, by_value=self._chooses_by_value)

    def _know_plans(self, by_value: bool) -> None:
        """How texts are read from now on; those that were read before are read again."""
        self._chooses_by_value = by_value
        self._texts.clear()

    def _until(self) -> float:
        deadline = self._deadline()
        return self._clock.monotonic() + self._options.wait_s if deadline is None else deadline

    def _is_calls(self) -> bool:
        """Whether the time that statements have is a call's, and not the store's own."""
        return self._deadline() is not None

    def _not_open(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.path} is not open")


def _close_all(made: list[Connection]) -> None:
    while made:
        made.pop().close()


def _close_writer(connection: Connection, held: bool) -> None:
    """In the worker. Without the baton, or on a failed disk, the WAL is left to who opens next."""
    try:
        if connection.in_transaction:
            connection.control("rollback")
        if held:
            connection.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error:
        held = False
    if not held:
        connection.inner.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close()
