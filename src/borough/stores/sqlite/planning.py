"""How a text is given to SQLite, so that it keeps the plan of a statement wherever it can.

It plans a statement anew at its next execution when a parameter is bound on which the plan may hang: what a column
is to equal, beside an order, and a limit. Planning costs more than most of such a read. What is computed, if only by a
plus, is no parameter to the planner, so one is put where a value makes no other plan (ADR 55).
"""

from __future__ import annotations

import re

from borough.stores.sqlite.connection import Connection
from borough.stores.sqlite.sql import Statement, read_statement

__all__ = ["chooses_by_value", "planned_once"]

_EQUALITY = ("=", "IS")
_MOST = 2**62
_OF_ONE_VALUE = re.compile(
    r"\bwhere\b.*(?:=|\bis\b(?!\s+(?:not\s+)?null\b))", re.IGNORECASE | re.DOTALL
)


def chooses_by_value(connection: Connection) -> bool:
    """Whether a plan may hang on what a column is to equal: there is an index of such rows alone, or statistics."""
    some = "type = 'index' and sql like '%where%' or name = 'sqlite_stat4'"
    found = connection.inner.execute(f"select name, sql from sqlite_schema where {some}").fetchall()
    return any(name == "sqlite_stat4" or _OF_ONE_VALUE.search(sql) for name, sql in found)


def planned_once(sql: str, connection: Connection | None, *, by_value: bool) -> Statement:
    """Read a text, and compute the parameters whose values matter for no plan. Raises as `read_statement` does.

    With `by_value` they may where a column is to equal them. What a limit does is asked of the connection.
    """
    computed = () if by_value else _EQUALITY
    statement = read_statement(sql, computed)
    if connection is not None and len(statement.limits) == 1:
        steady = read_statement(sql, (*computed, "LIMIT"))
        if _is_planned_alike(statement, steady, connection):
            return steady
    return statement


def _is_planned_alike(statement: Statement, steady: Statement, connection: Connection) -> bool:
    """Whether the shortest and the longest limit make the plan that there is without a known one.

    Between them the planner weighs sorting all rows against walking an index in their order, and the longer the limit
    is, the less it is for sorting. Where it plans anew for other values still, one of these may decide beside it.
    """
    (limit,) = statement.limits
    least, most = (
        [value if number == limit else None for number in range(1, statement.count + 1)]
        for value in (1, _MOST)
    )
    plan = connection.explain(steady.numbered, least)
    before = connection.asked
    return (
        plan is not None
        and connection.explain(steady.numbered, most) == plan
        and connection.asked == before
        and connection.explain(statement.numbered, least) == plan
        and connection.explain(statement.numbered, most) == plan
    )
