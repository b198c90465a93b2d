"""Applying migrations to a SQLite database, each in a transaction of its own.

Runs in the worker, between groups and under the baton, so that of two processes one applies and
the other finds it done. Foreign keys are checked whole before each COMMIT instead of row by row:
rebuilding a table (SQLite cannot alter most of it) must not cascade.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from borough.clock import Clock
from borough.errors import BoroughError, MigrationRefused, StoreError, StoreUnavailable
from borough.ports import Migration
from borough.stores.migrations import Applied, checksum, pending
from borough.stores.sqlite.connection import Connection
from borough.stores.sqlite.faults import DISK_FAULTS, known_remedy, real_fault
from borough.stores.sqlite.sql import refuse_rollback_clauses, words_of
from borough.stores.values import store_value

__all__ = ["apply_migrations", "read_applied"]

_TABLE = """
create table if not exists borough_migrations (
    space text not null, name text not null, checksum text not null, applied_at text not null,
    expands integer not null default 0, primary key (space, name)
) strict, without rowid"""
_ADD_EXPANDS = "alter table borough_migrations add column expands integer not null default 0"
_HAS_EXPANDS = "select 1 from pragma_table_info('borough_migrations') where name = 'expands'"
_NO_STATEMENT = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_APPLIED = "select name, checksum, expands from borough_migrations where space = ?1"
_INSERT = "insert into borough_migrations values (?1, ?2, ?3, ?4, ?5)"


def apply_migrations(
    connection: Connection, space: str, migrations: Sequence[Migration], clock: Clock
) -> list[str]:
    """Apply what is missing; returns the names. Raises `MigrationRefused`; earlier ones stay."""
    connection.until = math.inf
    inner = connection.inner
    names: list[str] = []
    try:
        connection.control(_TABLE)
        if inner.execute(_HAS_EXPANDS).fetchone() is None:
            connection.control(_ADD_EXPANDS)
        applied = _applied(inner.execute(_APPLIED, (space,)).fetchall())
        left = pending(space, migrations, applied)
        if left:
            connection.control("pragma foreign_keys = 0")
            connection.control("pragma legacy_alter_table = 0")
        for migration in left:
            _apply(connection, space, migration, _expands(migration, migrations), clock)
            names.append(migration.name)
    except apsw.Error as error:
        remedy = known_remedy(error)
        if remedy:
            raise StoreUnavailable(f"the migrations of {space!r}: {remedy} ({error})") from error
        raise MigrationRefused(f"the migrations of {space!r} cannot be read: {error}") from error
    finally:
        connection.control("pragma foreign_keys = 1")
    return names


def read_applied(path: Path, space: str) -> dict[str, Applied]:
    """What was applied to the database in a file, which is only read; nothing where there is none.

    Raises `StoreUnavailable`.
    """
    if not path.exists():
        return {}
    try:
        inner: Any = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return _applied(inner.execute(_APPLIED, (space,)).fetchall())
        finally:
            inner.close()
    except apsw.SQLError:
        return {}  # made before there was anything to remember
    except apsw.Error as error:
        raise StoreUnavailable(f"{path} cannot be read: {error}") from error


def _applied(rows: Sequence[tuple[str, str, int]]) -> dict[str, Applied]:
    return {name: Applied(recorded, bool(expands)) for name, recorded, expands in rows}


def _expands(migration: Migration, among: Sequence[Migration]) -> bool:
    """Whether a release that ends just before this migration can live with it."""
    from borough.stores.sqlite.expand import refuse_contraction  # few starts have anything to judge

    before = [each for each in among if each.name < migration.name]
    return not refuse_contraction(before, [migration])


def _apply(
    connection: Connection, space: str, migration: Migration, expands: bool, clock: Clock
) -> None:
    stamp = store_value(None, 4, clock.now())
    told, cursor = migration.told(space), connection.inner.cursor()
    begun: list[str] = []

    def begin(_cursor: apsw.Cursor, statement: str, _bindings: object) -> bool:
        begun.append(statement)
        return True

    cursor.exec_trace = begin
    try:
        refuse_rollback_clauses(words_of(migration.sql), migration.name)
        connection.control("begin immediate")
        for _ in cursor.execute(migration.sql):
            pass
        if not connection.in_transaction:
            raise MigrationRefused(f"{told} ended its transaction")
        _check_keys(connection, space, migration)
        row = (space, migration.name, checksum(migration.sql), stamp, int(expands))
        connection.inner.execute(_INSERT, row)
        connection.control("commit")
    except BaseException as error:
        if connection.in_transaction:
            with suppress(apsw.Error):  # the start has failed, closing the file undoes the rest
                connection.control("rollback")
        if isinstance(error, MigrationRefused) or not isinstance(error, (apsw.Error, BoroughError)):
            raise
        if migration.path and isinstance(error, apsw.Error):
            told = f"{told}:{_line(migration.sql, begun, error)}"
        raise _refusal(told, error, connection) from error


def _line(sql: str, begun: Sequence[str], error: apsw.Error) -> int:
    """The line at which a script failed, of which these statements had begun."""
    # What cannot be prepared has not begun; what breaks a constraint has.
    whole = begun if isinstance(error, apsw.SQLError) else begun[:-1]
    start = sum(map(len, whole))
    rest = sql[start:]
    offset = getattr(error, "error_offset", -1)
    if offset >= 0:
        start += len(rest.encode()[:offset].decode(errors="ignore"))
    elif (leading := _NO_STATEMENT.match(rest)) is not None:
        start += leading.end()
    return sql.count("\n", 0, start) + 1


def _refusal(name: str, error: apsw.Error | BoroughError, connection: Connection) -> StoreError:
    """Why a migration was not applied: what is wrong with it, or with the disk."""
    if isinstance(error, apsw.AuthError):
        return MigrationRefused(
            f"{name} was not applied: BEGIN, COMMIT, SAVEPOINT, ATTACH "
            f"and PRAGMA are not for a migration, it has its own transaction. Remove them"
        )
    if isinstance(error, DISK_FAULTS):
        error = real_fault(error, connection.inner.system_errno)
    remedy = known_remedy(error)
    if remedy:
        return StoreUnavailable(f"{name} failed and nothing of it is kept: {remedy} ({error})")
    return MigrationRefused(
        f"{name} failed and nothing of it is kept: {error}. Mend that statement"
    )


def _check_keys(connection: Connection, space: str, migration: Migration) -> None:
    row = connection.inner.execute("pragma foreign_key_check").fetchone()
    if row is not None:
        raise MigrationRefused(
            f"{migration.told(space)} leaves a row of {row[0]!r} whose foreign key points to "
            f"no row of {row[2]!r}. Move or delete such rows in the migration"
        )
