"""What a SQLite database is made of, as values that can be compared: tables, views, triggers, and their parts.

Names are in lower case, for SQLite does not tell cases apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw
import msgspec

from borough.stores.sqlite.sql import tokens_of

__all__ = ["Catalog", "Column", "ForeignKey", "Table", "Unique", "View", "read_catalog"]

_TABLES = """
select lower(l.name), l.type, l.wr, l.strict, coalesce(s.sql, '')
from pragma_table_list l join sqlite_schema s on lower(s.name) = lower(l.name)
where l.schema = 'main' and l.type in ('table', 'view', 'virtual')
  and l.name not like 'sqlite\\_%' escape '\\'"""
_COLUMNS = 'select lower(name), type, "notnull", dflt_value, pk, hidden from pragma_table_xinfo(?1)'
_INDEXES = """
select l.name, coalesce(s.sql, '') from pragma_index_list(?1) l left join sqlite_schema s
on s.type = 'index' and s.name = l.name where l."unique" and l.origin <> 'pk'"""
_PARTS = 'select lower(name), lower(coll) from pragma_index_xinfo(?1) where "key" order by seqno'
_KEYS = """
select id, lower("from"), lower("table"), lower("to"), on_update, on_delete
from pragma_foreign_key_list(?1) order by id, seq"""
_TRIGGERS = "select lower(name), lower(tbl_name), sql from sqlite_schema where type = 'trigger'"


class Column(msgspec.Struct, frozen=True):
    """A column: type as declared, `default` as SQL, `key` its place in the primary key or 0."""

    name: str
    type: str
    collation: str
    not_null: bool
    default: str | None
    key: int
    is_generated: bool


class Unique(msgspec.Struct, frozen=True):
    """A unique constraint or index: columns (None for an expression) with collations; `sql` where a
    part of it can only be seen there."""

    columns: tuple[tuple[str | None, str], ...]
    sql: str


class ForeignKey(msgspec.Struct, frozen=True):
    """Columns that point to those of a table (None: to its primary key)."""

    columns: tuple[str, ...]
    table: str
    targets: tuple[str | None, ...]
    on_update: str
    on_delete: str


class Table(msgspec.Struct, frozen=True):
    """A table. `virtual` is the text that made a virtual one, else empty."""

    name: str
    columns: Mapping[str, Column]
    uniques: tuple[Unique, ...]
    keys: tuple[ForeignKey, ...]
    checks: tuple[str, ...]
    is_strict: bool
    has_rowid: bool
    virtual: str

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The names of its columns, in order."""
        parts = sorted((c.key, c.name) for c in self.columns.values() if c.key)
        return tuple(name for _, name in parts)


class View(msgspec.Struct, frozen=True):
    """A view: its columns and its text."""

    columns: tuple[str, ...]
    sql: str


class Catalog(msgspec.Struct, frozen=True):
    """All of it, by name. A trigger is its table and its text."""

    tables: Mapping[str, Table]
    views: Mapping[str, View]
    triggers: Mapping[str, tuple[str, str]]


def read_catalog(connection: Any) -> Catalog:
    """Read what an `apsw` connection's main database holds."""
    tables: dict[str, Table] = {}
    views: dict[str, View] = {}
    for name, kind, wr, strict, sql in connection.execute(_TABLES).fetchall():
        if kind == "view":
            views[name] = View(_view_columns(connection, name), _told(sql))
            continue
        rows = connection.execute(_COLUMNS, (name,)).fetchall()
        columns = {row[0]: _column(connection, name, row) for row in rows}
        tables[name] = Table(
            name=name,
            columns=columns,
            uniques=tuple(_uniques(connection, name)),
            keys=_foreign_keys(connection, name),
            checks=_checks(sql),
            is_strict=bool(strict),
            has_rowid=not wr,
            virtual=_told(sql) if kind == "virtual" else "",
        )
    triggers = {n: (table, _told(sql)) for n, table, sql in connection.execute(_TRIGGERS)}
    return Catalog(tables, views, triggers)


def _view_columns(connection: Any, name: str) -> tuple[str, ...]:
    try:
        return tuple(row[0] for row in connection.execute(_COLUMNS, (name,)).fetchall())
    except apsw.SQLError:  # it looks at a table or column that is gone
        return ()


def _told(sql: str) -> str:
    return " ".join(tokens_of(sql))


def _column(connection: Any, table: str, row: tuple[Any, ...]) -> Column:
    name, kind, not_null, default, key, hidden = row
    collation = connection.column_metadata("main", table, name)[1] if hidden != 1 else ""
    return Column(
        name=name,
        type=" ".join(kind.lower().split()),
        collation=collation.lower(),
        not_null=bool(not_null),
        default=None if default is None or default.lower() == "null" else default,
        key=key,
        is_generated=hidden in (2, 3),
    )


def _uniques(connection: Any, table: str) -> list[Unique]:
    found: list[Unique] = []
    for index, sql in connection.execute(_INDEXES, (table,)).fetchall():
        columns = tuple(connection.execute(_PARTS, (index,)).fetchall())
        tokens = tokens_of(sql)
        is_plain = "where" not in tokens and all(name is not None for name, _ in columns)
        # What follows the table's name: the expressions and the condition.
        more = "" if is_plain else " ".join(tokens[tokens.index("on") + 2 :])
        found.append(Unique(columns, more))
    return found


def _foreign_keys(connection: Any, table: str) -> tuple[ForeignKey, ...]:
    parts: dict[int, list[tuple[Any, ...]]] = {}
    for number, *row in connection.execute(_KEYS, (table,)).fetchall():
        parts.setdefault(number, []).append(tuple(row))
    return tuple(
        ForeignKey(
            columns=tuple(row[0] for row in rows),
            table=rows[0][1],
            targets=tuple(row[2] for row in rows),
            on_update=rows[0][3],
            on_delete=rows[0][4],
        )
        for rows in parts.values()
    )


def _checks(sql: str) -> tuple[str, ...]:
    """The conditions of all CHECK constraints in the text of a table."""
    tokens = tokens_of(sql)
    found: list[str] = []
    for index, token in enumerate(tokens):
        if token == "check" and tokens[index + 1 : index + 2] == ["("]:
            depth, end = 1, index + 2
            while depth:
                depth += (tokens[end] == "(") - (tokens[end] == ")")
                end += 1
            found.append(" ".join(tokens[index + 2 : end - 1]))
    return tuple(found)
