"""What SQLAlchemy takes for its driver: statements go to an open transaction, which stays the store's.

The dialect is SQLAlchemy's own for asyncpg, so types and texts are the same; only the connection under it is
none. It knows the server without asking, commits nothing, and its savepoints are those of the transaction.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol

import msgspec
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql import asyncpg as theirs
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from borough.errors import TransactionMisuse
from borough.ports import Fetched

__all__ = ["GuestDialect", "visit"]

_JSON = (114, 3802)  # json and jsonb
_OLDEST = (13, 0)
_decode = msgspec.json.Decoder().decode


class Host(Protocol):
    """What a guest needs of a transaction."""

    async def fetch(self, sql: str, args: Sequence[Any], /) -> Fetched:
        """Run one statement."""
        ...

    async def many(self, sql: str, rows: Sequence[Sequence[Any]], /) -> int:
        """Run one statement for each row of parameters; returns the number of rows changed."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part that may fail alone."""
        ...

    def doom(self, error: BaseException, /) -> None:
        """Nothing of it is kept."""
        ...


class _RolledBack(Exception):
    """Leaves a savepoint that SQLAlchemy rolls back."""


class GuestCursor:
    """One statement and its rows, all of which are here (PEP 249, as far as SQLAlchemy uses it)."""

    server_side = False
    arraysize = 1
    lastrowid = None

    def __init__(self, host: Host) -> None:
        self._host = host
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, operation: str, parameters: Sequence[Any] | None = None) -> None:
        """Run a statement."""
        found = await_only(self._host.fetch(operation, tuple(parameters or ())))
        self.rowcount = found.changed
        self._rows = iter(found.rows)
        self.description = None
        if found.columns:
            self.description = [(name, kind, *(None,) * 5) for name, kind in found.columns]
            documents = [n for n, (_, kind) in enumerate(found.columns) if kind in _JSON]
            if documents:
                self._rows = (_with_documents(row, documents) for row in found.rows)

    def executemany(self, operation: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row of parameters."""
        self.rowcount = await_only(self._host.many(operation, [tuple(row) for row in rows]))
        self._rows, self.description = iter(()), None

    def setinputsizes(self, *_sizes: Any) -> None:
        """The texts say their types themselves."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows."""
        return [row for _, row in zip(range(size or self.arraysize), self._rows, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rest."""
        return list(self._rows)

    def close(self) -> None:
        """Nothing is held."""

    async def _async_soft_close(self) -> None:
        """Nothing is held."""


class GuestConnection:
    """A transaction as SQLAlchemy sees it. Its ends count between `enter` and `leave` only."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._parts: list[tuple[str, AbstractAsyncContextManager[None]]] = []
        self._is_inside = False

    def cursor(self, **_options: Any) -> GuestCursor:
        """A cursor; rows always come whole, within the store's row limit."""
        return GuestCursor(self.host)

    def enter(self) -> None:
        """SQLAlchemy is done with connecting, after which it rolls back for once."""
        self._is_inside = True

    def leave(self) -> None:
        """From now on nothing that SQLAlchemy ends has an effect."""
        self._is_inside = False

    def commit(self) -> None:
        """Refused."""
        if self._is_inside:
            raise TransactionMisuse("leaving the block of the transaction commits, nothing else")

    def rollback(self) -> None:
        """Doom the transaction: leaving it rolls back."""
        if not self._is_inside:
            return
        while self._parts:
            self._end_part(keep=False)
        self.host.doom(
            TransactionMisuse(
                "the session was rolled back, so nothing of the transaction is kept; let the error that led to "
                "it pass, or use begin_nested() for a part that may fail alone"
            )
        )

    def close(self) -> None:
        """It is the store's."""

    def begin_part(self, name: str) -> None:
        """SAVEPOINT."""
        part = self.host.savepoint()
        await_only(part.__aenter__())
        self._parts.append((name, part))

    def end_part(self, name: str, *, keep: bool) -> None:
        """RELEASE, or ROLLBACK TO and RELEASE; with those within it."""
        while any(each == name for each, _ in self._parts):
            self._end_part(keep=keep)

    def _end_part(self, *, keep: bool) -> None:
        _, part = self._parts.pop()
        if keep:
            await_only(part.__aexit__(None, None, None))
        else:
            error = _RolledBack()
            await_only(part.__aexit__(_RolledBack, error, None))


_GUEST: ContextVar[GuestConnection] = ContextVar("borough_guest")
"""What an engine connects to, while it does."""


class GuestDialect(theirs.PGDialect_asyncpg):
    """asyncpg's, without a server to ask and without ends of transactions."""

    supports_statement_cache = True
    supports_sane_multi_rowcount = True
    default_schema_name = "public"
    server_version_info = _OLDEST

    def initialize(self, connection: Any) -> None:
        """Nothing is asked: the oldest server that the store takes is assumed."""
        self.supports_smallserial = True
        self._backslash_escapes = False
        self.supports_identity_columns = True

    def on_connect(self) -> Any:
        """Nothing is set: the session, and how it reads JSON, are the store's."""
        return None

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Refused."""
        raise TransactionMisuse(f"transactions are serializable, and not {level}")

    def set_readonly(self, connection: Any, value: Any) -> None:
        """Refused."""
        raise TransactionMisuse("the transaction has begun, to read and write")

    def set_deferrable(self, connection: Any, value: Any) -> None:
        """Refused."""
        raise TransactionMisuse("the transaction has begun, and is not deferrable")

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """What all have."""
        return "SERIALIZABLE"

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Faults are the store's to see."""
        return False

    def do_terminate(self, dbapi_connection: Any) -> None:
        """It is the store's."""

    def do_savepoint(self, connection: Any, name: str) -> None:
        """Begin a part."""
        _guest(connection).begin_part(name)

    def do_rollback_to_savepoint(self, connection: Any, name: str) -> None:
        """Undo a part."""
        _guest(connection).end_part(name, keep=False)

    def do_release_savepoint(self, connection: Any, name: str) -> None:
        """Keep a part."""
        _guest(connection).end_part(name, keep=True)


@asynccontextmanager
async def visit(host: Host) -> AsyncGenerator[AsyncConnection]:
    """SQLAlchemy's connection on an open transaction, which stays open."""
    guest = GuestConnection(host)
    token = _GUEST.set(guest)
    try:
        opened = await _engine().connect()
    finally:
        _GUEST.reset(token)
    try:
        await opened.begin()
        guest.enter()
        yield opened
    finally:
        guest.leave()
        await opened.close()


@cache
def _engine() -> AsyncEngine:
    """It has no connections of its own, only what is known of statements."""
    registry.register("postgresql.borough", __name__, "GuestDialect")
    return create_async_engine(
        "postgresql+borough://", creator=_GUEST.get, poolclass=NullPool, pool_reset_on_return=None
    )


def _guest(connection: Any) -> GuestConnection:
    guest: GuestConnection = connection.connection.dbapi_connection
    return guest


def _with_documents(row: tuple[Any, ...], documents: Sequence[int]) -> tuple[Any, ...]:
    found = list(row)
    for number in documents:
        if found[number] is not None:
            found[number] = _decode(found[number])
    return tuple(found)
