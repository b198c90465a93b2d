"""A service's PostgreSQL database, as the port `Store` wants it.

Transactions and snapshots have a connection to themselves, a read outside of them takes one for the moment. The
server is the database's own keeper: it may be started anew at any time, and the store then connects again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from borough.clock import Clock
from borough.errors import (
    ConfigurationError,
    DeadlineExceeded,
    StoreUnavailable,
    TransactionMisuse,
)
from borough.ports import Companion, Migration
from borough.services.data import Dialect
from borough.services.settings import Secret
from borough.stores.out_of_time import out_of_time
from borough.stores.postgres.connection import Connection, Tables, connect
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST, is_lost, statement_fault
from borough.stores.postgres.migrate import apply_migrations, make_database
from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.pool import Pool
from borough.stores.postgres.snapshot import Snapshot
from borough.stores.postgres.sql import read_text
from borough.stores.postgres.transaction import PostgresTransaction
from borough.stores.row_reader import RowReader
from borough.stores.rows import RowPlans
from borough.stores.texts import Texts

__all__ = ["PostgresStore"]

T = TypeVar("T")
_DEFAULTS = PostgresLimits()
_OLDEST = 130_000


def no_deadline() -> float | None:
    """No call is at hand: the limit `wait_s` bounds every wait."""
    return None


class PostgresStore(RowReader):
    """One database, made where it is missing and the role may do so.

    `deadline()` is the monotonic deadline of the call at hand, or None.
    """

    def __init__(
        self,
        url: Secret,
        *,
        service: str,
        clock: Clock,
        deadline: Callable[[], float | None] = no_deadline,
        limits: PostgresLimits = _DEFAULTS,
    ) -> None:
        self.dialect: Dialect = "postgres"
        self._url = url
        self.name, password = _told(url.reveal())
        self._password = Secret(password)  # hidden wherever it turns up
        self._service = service
        self._clock = clock
        self._deadline = deadline
        self._limits = limits
        self._texts = Texts(read_text)
        self._plans = RowPlans()
        self._tables = Tables()
        self._pool: Pool | None = None

    # --- opening and closing ----------------------------------------------------------------------

    async def open(self) -> None:
        """Connect. Raises `ConfigurationError` (address, rights, version) or `StoreUnavailable`."""
        if self._pool is not None:
            raise TransactionMisuse(f"{self.name} is open already")
        pool = Pool(self._connect, self.name, self._clock, self._limits)
        try:
            connection = await pool.take(self._until())
        except ConfigurationError as error:
            if not isinstance(error.__cause__, asyncpg.InvalidCatalogNameError):
                raise
            await make_database(self._url.reveal(), self.name, self._limits)
            connection = await pool.take(self._until())
        version = connection.inner.get_server_version()
        pool.give_back(connection)
        if version.major * 10_000 < _OLDEST:
            await pool.close()
            raise ConfigurationError(
                f"{self.name} is PostgreSQL {version.major}; take 13 or newer, which is still maintained"
            )
        self._pool = pool

    async def _connect(self, within_s: float) -> Connection:
        name = f"borough {self._service}"
        return await connect(
            self._url.reveal(), name, self._plans, self._limits, self._tables, within_s
        )

    async def close(self) -> None:
        """Finish what runs, release. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    # --- reading and writing ----------------------------------------------------------------------

    def transaction(
        self, companion: Companion | None = None, *, serializable: bool = True
    ) -> PostgresTransaction:
        """A transaction; when the block has been left it is durable."""
        return PostgresTransaction(
            self._opened(),
            self._texts,
            self._clock,
            self._limits,
            self._deadline(),
            companion,
            serializable,
        )

    def snapshot(self) -> Snapshot:
        """Several reads of one state."""
        return Snapshot(self._opened(), self._texts, self._clock, self._limits, self._until())

    @property
    def _row_limit(self) -> int:
        return self._limits.row_limit

    async def _read(self, kind: Any, sql: str, args: Sequence[Any], limit: int) -> list[Any]:
        """Read on whatever connection is free; a lost one is replaced, for a read may run again."""
        pool, until = self._opened(), self._until()
        text = self._texts[sql]
        while True:
            connection = await pool.take(until)
            left_s = until - self._clock.monotonic()
            try:
                if left_s <= 0:
                    raise out_of_time(sql, is_calls=self._deadline() is not None)
                found = await connection.rows(kind, text.sql, args, limit, left_s)
            except (*LOST, asyncpg.PostgresError) as error:
                if is_lost(error) and not isinstance(error, TimeoutError):
                    pool.lose(connection)
                    continue
                pool.give_back(connection)
                if isinstance(error, asyncpg.InvalidCachedStatementError):
                    continue
                raise self._fault(error, sql) from error
            except Exception as error:
                pool.give_back(connection)
                fault = self._fault(error, sql)
                if fault is error:
                    raise
                raise fault from error
            except BaseException:
                pool.lose(connection)  # its statement is being cancelled
                raise
            pool.give_back(connection)
            return found

    def _fault(self, error: BaseException, sql: str) -> BaseException:
        found = statement_fault(error, sql)
        if isinstance(found, DeadlineExceeded):
            return out_of_time(sql, is_calls=self._deadline() is not None)
        return found

    async def migrate(self, space: str, migrations: Sequence[Migration]) -> Sequence[str]:
        """Apply what `space` misses, in order; returns the names. Raises `MigrationRefused`."""
        pool = self._opened()
        make = partial(self._connect, self._limits.connect_s)
        names = await apply_migrations(make, self.name, space, migrations, self._clock)
        pool.renew()
        return names

    def _until(self) -> float:
        deadline = self._deadline()
        return self._clock.monotonic() + self._limits.wait_s if deadline is None else deadline

    def _opened(self) -> Pool:
        if self._pool is None:
            raise StoreUnavailable(f"{self.name} is not open")
        return self._pool


def _told(url: str) -> tuple[str, str]:
    """A database without its password, and that. Raises `ConfigurationError` for what is no URL of PostgreSQL's."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port, parts = None, urlsplit("")
    if parts.scheme not in ("postgresql", "postgres"):
        raise ConfigurationError(
            "data.postgres.url is no URL of PostgreSQL's; write postgresql://USER@HOST:PORT/DATABASE"
        )
    return f"postgresql://{parts.hostname or ''}:{port or 5432}{parts.path}", parts.password or ""
