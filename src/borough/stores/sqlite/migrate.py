"""Applying migrations to a SQLite database, each in a transaction of its own.

Runs in the worker, between groups and under the baton, so that of two processes one applies and
the other finds it done. Foreign keys are checked whole before each COMMIT instead of row by row:
rebuilding a table (SQLite cannot alter most of it) must not cascade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import apsw

from borough.clock import Clock
from borough.errors import BoroughError, MigrationRefused, StoreError, StoreUnavailable
from borough.ports import Migration
from borough.stores.migrations import checksum, pending
from borough.stores.sqlite.connection import Connection
from borough.stores.sqlite.faults import DISK_FAULTS, known_remedy, real_fault
from borough.stores.sqlite.sql import refuse_rollback_clauses, words_of
from borough.stores.sqlite.values import store_value

__all__ = ["apply_migrations"]

_TABLE = """
create table if not exists borough_migrations (
    space text not null, name text not null, checksum text not null, applied_at text not null,
    primary key (space, name)
) strict, without rowid"""
_INSERT = "insert into borough_migrations values (?1, ?2, ?3, ?4)"


def apply_migrations(
    connection: Connection, space: str, migrations: Sequence[Migration], clock: Clock
) -> list[str]:
    """Apply what is missing; returns the names. Raises `MigrationRefused`; earlier ones stay."""
    connection.until = math.inf
    inner = connection.inner
    names: list[str] = []
    try:
        connection.control(_TABLE)
        query = "select name, checksum from borough_migrations where space = ?1"
        applied: dict[str, str] = dict(inner.execute(query, (space,)).fetchall())
        left = pending(space, migrations, applied)
        if left:
            connection.control("pragma foreign_keys = 0")
            connection.control("pragma legacy_alter_table = 0")
        for migration in left:
            _apply(connection, space, migration, clock)
            names.append(migration.name)
    except apsw.Error as error:
        remedy = known_remedy(error)
        if remedy:
            raise StoreUnavailable(f"the migrations of {space!r}: {remedy} ({error})") from error
        raise MigrationRefused(f"the migrations of {space!r} cannot be read: {error}") from error
    finally:
        connection.control("pragma foreign_keys = 1")
    return names


def _apply(connection: Connection, space: str, migration: Migration, clock: Clock) -> None:
    stamp = store_value(None, 4, clock.now())
    try:
        refuse_rollback_clauses(words_of(migration.sql), migration.name)
        connection.control("begin immediate")
        for _ in connection.inner.execute(migration.sql):
            pass
        if not connection.in_transaction:
            raise MigrationRefused(f"{migration.name} of {space!r} ended its transaction")
        _check_keys(connection, space, migration)
        row = (space, migration.name, checksum(migration.sql), stamp)
        connection.inner.execute(_INSERT, row)
        connection.control("commit")
    except BaseException as error:
        if connection.in_transaction:
            with suppress(apsw.Error):  # the start has failed, closing the file undoes the rest
                connection.control("rollback")
        if isinstance(error, MigrationRefused) or not isinstance(error, (apsw.Error, BoroughError)):
            raise
        raise _refusal(f"{migration.name} of {space!r}", error, connection) from error


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
    return MigrationRefused(f"{name} failed and nothing of it is kept: {error}")


def _check_keys(connection: Connection, space: str, migration: Migration) -> None:
    row = connection.inner.execute("pragma foreign_key_check").fetchone()
    if row is not None:
        raise MigrationRefused(
            f"{migration.name} of {space!r} leaves a row of {row[0]!r} whose foreign key points to "
            f"no row of {row[2]!r}. Move or delete such rows in the migration"
        )
