"""Making a PostgreSQL database, and applying migrations to it, each in a transaction of its own.

An advisory lock of the database lets one process apply them; the others find it done. A script has its
own transaction, so it may not end it, nor do what PostgreSQL does outside of transactions only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from urllib.parse import unquote, urlsplit, urlunsplit

from borough.clock import Clock
from borough.errors import MigrationRefused, StoreError, StoreUnavailable
from borough.ports import Migration
from borough.stores.migrations import Applied, checksum, pending
from borough.stores.postgres.connection import Connection
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.expand import expands
from borough.stores.postgres.faults import LOST, connect_fault, is_lost
from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.sql import first_words

__all__ = ["apply_migrations", "make_database", "read_applied_there"]

_LOCK = 0x626F726F756768  # "borough"
_LOCK_S = 60.0
_LOOK_S = 5.0
_SESSION = (
    "set session characteristics as transaction read write; set statement_timeout = 0; "
    "set idle_in_transaction_session_timeout = 0; set lock_timeout = '60s'"
)
_TABLE = """
create table if not exists borough_migrations (
    space text not null, name text not null, checksum text not null, applied_at timestamptz not null,
    expands boolean not null, primary key (space, name)
)"""
_APPLIED = "select name, checksum, expands from borough_migrations where space = $1"
_INSERT = "insert into borough_migrations values ($1, $2, $3, $4, $5)"
_CONTROL = frozenset(
    (
        "BEGIN",
        "START",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT",
        "RELEASE",
        "PREPARE",
        "SET",
    )
)


async def make_database(url: str, name: str, limits: PostgresLimits) -> None:
    """Make a database that is missing, with the rights of its own role.

    Raises `ConfigurationError` where they do not suffice, `StoreUnavailable`.
    """
    parts = urlsplit(url)
    maintenance = urlunsplit(parts._replace(path="/postgres"))
    database = unquote(parts.path.removeprefix("/")).replace('"', '""')
    try:
        inner = await asyncpg.connect(maintenance, timeout=limits.connect_s)
        try:
            # Text sorts by code point, as on SQLite.
            await inner.execute(
                f"create database \"{database}\" template template0 encoding 'UTF8' lc_collate 'C'"
            )
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return  # another process was first
        finally:
            await inner.close(timeout=limits.connect_s)
    except (*LOST, asyncpg.PostgresError) as error:
        raise connect_fault(error, name) from error


async def apply_migrations(
    make: Callable[[], Awaitable[Connection]],
    database: str,
    space: str,
    migrations: Sequence[Migration],
    clock: Clock,
) -> list[str]:
    """Apply what is missing; returns the names. Raises `MigrationRefused`; earlier ones stay."""
    try:
        connection = await make()
    except (*LOST, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"{database} cannot be reached: {error}") from error
    inner = connection.inner
    try:
        await inner.execute(_SESSION)
        await inner.execute(f"select pg_advisory_lock({_LOCK})", timeout=_LOCK_S)
        await inner.execute(_TABLE)
        rows = await inner.fetch(_APPLIED, space)
        applied = {row[0]: Applied(row[1], row[2]) for row in rows}
        names: list[str] = []
        for migration in pending(space, migrations, applied):
            await _apply(connection, space, migration, clock)
            names.append(migration.name)
        return names
    except (*LOST, asyncpg.PostgresError) as error:
        if is_lost(error):
            raise StoreUnavailable(f"the migrations of {space!r}: {error}") from error
        raise MigrationRefused(f"the migrations of {space!r} cannot be read: {error}") from error
    finally:
        await connection.close(_LOCK_S)  # which gives the lock back, too


async def read_applied_there(url: str, space: str) -> dict[str, Applied]:
    """What was applied to a database; nothing where it has not been made, or nothing was.

    Raises `StoreUnavailable`.
    """
    try:
        inner = await asyncpg.connect(url, timeout=_LOOK_S)
        try:
            rows = await inner.fetch(_APPLIED, space)
        finally:
            await inner.close(timeout=_LOOK_S)
    except (asyncpg.InvalidCatalogNameError, asyncpg.UndefinedTableError):
        return {}
    except (*LOST, asyncpg.PostgresError) as error:
        said = " ".join(str(error).split())
        raise StoreUnavailable(f"the migrations of a service cannot be read: {said}") from error
    return {row[0]: Applied(row[1], row[2]) for row in rows}


async def _apply(connection: Connection, space: str, migration: Migration, clock: Clock) -> None:
    name = f"{migration.name} of {space!r}"
    run = _revision(name, connection, migration) if migration.environment else None
    refused = _CONTROL.intersection(first_words(migration.sql)) if run is None else ()
    if refused:
        raise MigrationRefused(
            f"{name} was not applied: {', '.join(sorted(refused))} is not for a migration, it has its own "
            "transaction. Remove it"
        )
    inner = connection.inner
    try:
        async with inner.transaction():
            await (inner.execute(migration.sql) if run is None else run())
            await inner.execute(
                _INSERT,
                space,
                migration.name,
                checksum(migration.sql),
                clock.now(),
                expands(migration),
            )
    except (*LOST, asyncpg.PostgresError) as error:
        raise _refusal(name, error) from error


def _revision(
    name: str, connection: Connection, migration: Migration
) -> Callable[[], Awaitable[None]]:
    try:
        from borough.stores.postgres.revision import run_revision
    except ModuleNotFoundError as error:
        raise MigrationRefused(
            f"{name} was not applied: it needs {error.name}: pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH[alembic]'"
        ) from None
    return partial(run_revision, name, connection, migration)


def _refusal(name: str, error: BaseException) -> StoreError:
    said = " ".join(str(error).split())
    state = str(getattr(error, "sqlstate", ""))
    if is_lost(error) or state.startswith("53"):
        return StoreUnavailable(f"{name} failed and nothing of it is kept: {said}")
    return MigrationRefused(f"{name} failed and nothing of it is kept: {said}")
