"""Whether the version that runs can live with new migrations: they may add, and take nothing away.

In a rollout old and new code work on one database. So a migration expands (a new table, a column with
a default), and what it leaves without use is removed by a later release, when nobody needs it any
more. Both schemas are built in memory, without rows, and compared; statements are not guessed at. What would reach
out of memory, to another database, is refused and not run, and so is all that a migration may not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw

from borough.ports import Migration
from borough.stores.sqlite.catalog import Catalog, Column, Table, Unique, View, read_catalog
from borough.stores.sqlite.connection import READING_PRAGMAS
from borough.stores.sqlite.sql import tokens_of
from borough.stores.values import compare_decimals

__all__ = ["doubts", "refuse_contraction"]

_LATER = "Leave it, and remove it in a release after the one that no longer uses it"
_BESIDE = (
    "Add another one beside it, let both versions work, and remove this one in a later release"
)
_FREELY = "Add it in a release after the one whose code keeps to it"
_CHANGES = frozenset({apsw.SQLITE_DELETE, apsw.SQLITE_UPDATE})
_SCHEMA = frozenset(
    (
        apsw.SQLITE_ALTER_TABLE,
        *(apsw.SQLITE_DROP_TABLE, apsw.SQLITE_DROP_VIEW, apsw.SQLITE_DROP_VTABLE),
        *(apsw.SQLITE_DROP_INDEX, apsw.SQLITE_DROP_TRIGGER),
        *(apsw.SQLITE_CREATE_TABLE, apsw.SQLITE_CREATE_VIEW, apsw.SQLITE_CREATE_VTABLE),
        *(apsw.SQLITE_CREATE_INDEX, apsw.SQLITE_CREATE_TRIGGER),
    )
)

_NOT_FOR_MIGRATIONS = frozenset(
    (
        *(apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH),
        *(apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT, apsw.SQLITE_PRAGMA),
    )
)

Judge = Callable[[Catalog, Catalog], Iterator[str]]


def refuse_contraction(applied: Sequence[Migration], new: Sequence[Migration]) -> list[str]:
    """Why the running version cannot live with the schema that `new` makes of that of `applied`.

    Each sentence begins with the migration and ends with the remedy; an empty list means that it can.
    """
    return _told(applied, new, _contractions)[0]


def doubts(applied: Sequence[Migration], new: Sequence[Migration]) -> list[str]:
    """What is allowed and should be looked at: rows that are changed or deleted, nulls that may come."""
    sentences, touched = _told(applied, new, _loosened)
    return [*dict.fromkeys(touched), *sentences]


def _told(
    applied: Sequence[Migration], new: Sequence[Migration], judge: Judge
) -> tuple[list[str], list[str]]:
    """What `judge` says of the schema, and which rows of the old tables are touched."""
    connection: Any = apsw.Connection(":memory:")
    try:
        connection.create_collation("decimal", compare_decimals)
        connection.execute("pragma foreign_keys = 0")
        for migration in applied:
            if (failed := _failure(connection, migration)) is not None:
                return [failed], []
        before = read_catalog(connection)
        touched: list[str] = []
        first: dict[str, str] = {}
        after = before
        for migration in new:
            failed = _failure(connection, migration, _watch(before, migration.name, touched))
            if failed is not None:
                return [failed], touched
            after = read_catalog(connection)
            for sentence in judge(before, after):
                first.setdefault(sentence, migration.name)
        return [f"{first[each]}: {each}" for each in judge(before, after)], touched
    finally:
        connection.close()


Watch = tuple[Callable[..., int], Callable[..., bool]]


def _failure(connection: Any, migration: Migration, watch: Watch | None = None) -> str | None:
    """Run a migration; why it failed, None where it did not."""
    connection.authorizer, connection.exec_trace = (_refuse, None) if watch is None else watch
    try:
        for _ in connection.execute(migration.sql):
            pass
    except apsw.AuthError:
        return (
            f"{migration.name}: BEGIN, COMMIT, SAVEPOINT, ATTACH, VACUUM and PRAGMA are not for a migration, "
            "it has its own transaction. Remove them"
        )
    except apsw.Error as error:
        return f"{migration.name}: it cannot be applied: {error}. Mend it"
    finally:
        connection.authorizer = connection.exec_trace = None
    return None


def _refuse(action: int, one: str | None, _two: object, _where: object, _by: object) -> int:
    """What the store itself refuses to migrations."""
    is_refused = action in _NOT_FOR_MIGRATIONS and one not in READING_PRAGMAS
    return apsw.SQLITE_DENY if is_refused else apsw.SQLITE_OK


def _watch(before: Catalog, name: str, touched: list[str]) -> Watch:
    """Note statements that delete or update rows of old tables, and do nothing to the schema."""
    seen: list[tuple[int, str]] = []

    def prepare(action: int, one: str | None, two: object, where: object, by: str | None) -> int:
        if by is None:  # what a trigger does is its statement's
            seen.append((action, (one or "").lower()))
        return _refuse(action, one, two, where, by)

    def begin(_cursor: object, _sql: str, _values: object) -> bool:
        if not any(action in _SCHEMA for action, _ in seen):
            for action, table in dict.fromkeys(seen):
                if action in _CHANGES and table in before.tables:
                    does = "deletes" if action == apsw.SQLITE_DELETE else "changes"
                    touched.append(
                        f"{name}: it {does} rows of {table} while the running version works with "
                        "them. Be sure that it can, or do so in a later release"
                    )
        seen.clear()
        return True

    return prepare, begin


def _contractions(old: Catalog, new: Catalog) -> Iterator[str]:
    """What the running version cannot live with."""
    for name, table in old.tables.items():
        after = new.tables.get(name)
        if after is None:
            yield _gone_table(table, old, new)
        else:
            yield from _table(table, after)
    for name, view in old.views.items():
        yield from _view(name, view, new.views.get(name))
    for name, (on, sql) in old.triggers.items():
        if new.triggers.get(name, ("", ""))[1] != sql and on in (*new.tables, *new.views):
            how = "another one" if name in new.triggers else "gone"
            yield f"the trigger {name} is {how}, and the running version may rely on it. {_LATER}"
    for name, (on, _) in new.triggers.items():
        if name not in old.triggers and on in (*old.tables, *old.views):
            yield f"the trigger {name} acts on what the running version does to {on}. {_FREELY}"


def _gone_table(table: Table, old: Catalog, new: Catalog) -> str:
    twin = next(
        (
            t.name
            for t in new.tables.values()
            if t.name not in old.tables and t.columns == table.columns
        ),
        None,
    )
    how = "gone" if twin is None else f"named {twin} now"
    return f"the table {table.name} is {how}, and the running version uses it. {_LATER}"


def _view(name: str, old: View, new: View | None) -> Iterator[str]:
    if new is None:
        yield f"the view {name} is gone, and the running version may use it. {_LATER}"
        return
    for column in old.columns:
        if column not in new.columns:
            yield f"the column {column} of the view {name} is gone. {_LATER}"


def _table(old: Table, new: Table) -> Iterator[str]:
    name = old.name
    if old.virtual != new.virtual:
        yield f"the virtual table {name} is made in another way. {_BESIDE}"
    if new.is_strict and not old.is_strict:
        yield f"the table {name} is strict now, and the running version may write other types. {_FREELY}"
    if old.has_rowid and not new.has_rowid:
        yield f"the table {name} has no rowid any more. {_BESIDE}"
    if old.primary_key != new.primary_key:
        yield f"the primary key of {name} is another one. {_BESIDE}"
    for column in old.columns.values():
        after = new.columns.get(column.name)
        if after is None:
            yield _gone_column(column, old, new)
        else:
            yield from _column(f"{name}.{column.name}", column, after)
    for column in new.columns.values():
        if column.name not in old.columns:
            yield from _new_column(f"{name}.{column.name}", column, new)
    yield from _uniques(old, new)
    yield from _keys(old, new)
    for check in new.checks:
        if check not in old.checks and not _is_kept(check, old, new):
            yield (
                f"the table {name} has the new check ({check}), and the running version may write "
                f"other values. {_FREELY}"
            )


def _gone_column(column: Column, old: Table, new: Table) -> str:
    place = list(old.columns).index(column.name)
    twin = list(new.columns.values())[place : place + 1]
    renamed = len(old.columns) == len(new.columns) and twin and twin[0].name not in old.columns
    how = f"named {twin[0].name} now" if renamed else "gone"
    return (
        f"the column {old.name}.{column.name} is {how}, and the running version uses it. {_LATER}"
    )


def _column(place: str, old: Column, new: Column) -> Iterator[str]:
    if old.type != new.type:
        told = f"{old.type or 'no type'} before and {new.type or 'no type'} now"
        yield f"the type of the column {place} is {told}. {_BESIDE}"
    if old.collation != new.collation:
        yield f"the collation of the column {place} is {new.collation} now. {_BESIDE}"
    if old.is_generated != new.is_generated:
        yield f"the column {place} is {'generated now' if new.is_generated else 'no longer generated'}. {_BESIDE}"
    if new.not_null and not old.not_null:
        yield f"the column {place} is not null now, and the running version may write null. {_FREELY}"
    if old.default != new.default and not (old.default is None and old.not_null):
        told = f"{old.default or 'null'} before and {new.default or 'null'} now"
        yield f"the default of the column {place} is {told}. Write the value in the new code instead"


def _new_column(place: str, column: Column, table: Table) -> Iterator[str]:
    is_rowid = table.primary_key == (column.name,) and column.type == "integer"
    if column.not_null and column.default is None and not column.is_generated and not is_rowid:
        yield (
            f"the new column {place} is not null and has no default, and the running version does "
            "not write it. Give it a default, or let it be null"
        )


def _uniques(old: Table, new: Table) -> Iterator[str]:
    for unique in new.uniques:
        if unique not in old.uniques and not _has_new_null(unique, old, new):
            yield (
                f"the table {new.name} has a new unique constraint on {_named(unique)}, and the "
                f"running version may write a value twice. {_FREELY}"
            )
    for unique in old.uniques:
        if unique not in new.uniques:
            yield (
                f"the unique constraint on {_named(unique)} of {old.name} is gone, and the running "
                f"version may rely on it, as ON CONFLICT does. {_LATER}"
            )


def _named(unique: Unique) -> str:
    return ", ".join(name or "an expression" for name, _ in unique.columns)


def _has_new_null(unique: Unique, old: Table, new: Table) -> bool:
    """Whether a part is null in all that the running version writes: nulls are never equal."""
    return any(name is not None and _is_new_null(name, old, new) for name, _ in unique.columns)


def _is_new_null(name: str, old: Table, new: Table) -> bool:
    column = new.columns.get(name)
    is_new = column is not None and name not in old.columns
    return is_new and column is not None and column.default is None and not column.is_generated


def _keys(old: Table, new: Table) -> Iterator[str]:
    for key in new.keys:
        if key not in old.keys and not any(_is_new_null(name, old, new) for name in key.columns):
            yield (
                f"the columns {', '.join(key.columns)} of {new.name} must point to {key.table} now, "
                f"and the running version may write others. {_FREELY}"
            )
    for key in old.keys:
        if key not in new.keys and key.on_delete in ("CASCADE", "SET NULL", "SET DEFAULT"):
            yield (
                f"the foreign key of {old.name} to {key.table} no longer says ON DELETE "
                f"{key.on_delete}, and the running version may rely on it. {_LATER}"
            )


def _is_kept(check: str, old: Table, new: Table) -> bool:
    """Whether all that the running version writes passes a new check."""
    tokens = tokens_of(check)
    used = {token.strip('"`[]').lower() for token in tokens}
    if not used & set(old.columns):
        return _passes_by_default(check, used, old, new)
    listed = _listed(check)
    return listed is not None and any(
        other is not None and other[0] == listed[0] and other[1] <= listed[1]
        for other in map(_listed, old.checks)
    )


def _passes_by_default(check: str, used: set[str], old: Table, new: Table) -> bool:
    """Whether the defaults of new columns pass a check that only looks at them."""
    added = [c for c in new.columns.values() if c.name in used and c.name not in old.columns]
    values = ", ".join(f'{column.default or "null"} as "{column.name}"' for column in added)
    connection: Any = apsw.Connection(":memory:")
    try:
        query = f"select ({check}) from (select {values or '1'})"
        found = connection.execute(query).fetchone()
        return found is not None and found[0] != 0
    except apsw.Error:  # a function or a type that only a row has
        return False
    finally:
        connection.close()


def _listed(check: str) -> tuple[str, frozenset[str]] | None:
    """`COLUMN in (VALUE, ...)`: the column and the values; None for another condition."""
    tokens = tokens_of(check)
    if len(tokens) < 5 or tokens[1:3] != ["in", "("] or tokens[-1] != ")":
        return None
    values, commas = tokens[3:-1:2], tokens[4:-1:2]
    if set(commas) > {","} or "(" in values:
        return None
    return tokens[0], frozenset(values)


def _loosened(old: Catalog, new: Catalog) -> Iterator[str]:
    """What may bring the running version values that it has never seen."""
    for name, table in old.tables.items():
        after = new.tables.get(name)
        for column in table.columns.values() if after is not None else ():
            now = after.columns.get(column.name) if after is not None else None
            if now is not None and column.not_null and not now.not_null:
                yield (
                    f"the column {name}.{column.name} may be null now, and the running version may "
                    "not know what that means. Write null only after the next release"
                )
    for table in new.tables.values():
        for key in table.keys if table.name not in old.tables else ():
            if key.table in old.tables and key.on_delete in ("NO ACTION", "RESTRICT"):
                yield (
                    f"rows of {key.table} that {table.name} points to cannot be deleted by the running "
                    "version. Say ON DELETE CASCADE or SET NULL, if it deletes any"
                )
    for name, view in old.views.items():
        other = new.views.get(name)
        if other is not None and other.sql != view.sql:
            yield f"the view {name} is made in another way. Be sure that the running version can live with it"
