"""A statement is planned once on SQLite, unless what it is given may decide on its plan."""

from __future__ import annotations

from typing import Any

import pytest

from borough.ports import Migration
from borough.stores.sqlite import SqliteStore
from borough.stores.sqlite.connection import Connection
from tests.stores.conftest import SCHEMA, Opener


@pytest.mark.parametrize(
    ("rest", "some", "others"),
    [
        ("stock = $1 order by name", (1,), (0,)),
        ("stock is $1 group by name", (1,), (0,)),
        ("stock = /* none */ $1 and id > $2 order by name", (1, 0), (0, 0)),
        ("stock = $1 order by id limit $2", (1, 10), (0, 5)),
        (
            "stock = $1 and id in (select id from item order by id limit $2) order by id limit $2",
            *((1, 10), (0, 5)),
        ),
    ],
)
async def test_a_statement_with_parameters_is_planned_once(
    opened: Opener,
    monkeypatch: pytest.MonkeyPatch,
    rest: str,
    some: tuple[int, ...],
    others: tuple[int, ...],
) -> None:
    planned: list[int] = []
    authorize = Connection._authorize

    def noted(connection: Connection, action: int, *what: Any) -> int:
        planned.append(action)
        return authorize(connection, action, *what)

    monkeypatch.setattr(Connection, "_authorize", noted)
    store = await opened(slow_s=30.0)
    async with store.transaction() as tx:
        await tx.many("insert into item (name, stock) values ($1, 0)", [("a",), ("b",), ("c",)])
    text = f"select name from item where {rest}"
    assert await store.all(str, text, *some) == []
    assert planned
    planned.clear()
    assert await store.all(str, text, *others) == ["a", "b", "c"]
    assert not planned


INDEXED = Migration(
    "0002_indexed.sql",
    "create index by_stock on item (stock); create index by_name on item (name collate nocase)",
)


@pytest.mark.parametrize(
    "rest",
    [
        "stock <= $1 order by name collate nocase limit $2",  # sorted, or walked in that order
        "name like $1 order by name collate nocase limit $2",  # as the pattern begins
        "stock <= $1 order by name collate nocase limit $2 offset $3",
    ],
)
async def test_a_limit_that_may_decide_on_the_plan_is_seen_by_the_planner(
    opened: Opener, rest: str
) -> None:
    await opened()
    store = await opened()  # which knows the tables before they have these indexes
    await store.migrate("service", [SCHEMA, INDEXED])
    assert "limit ?2" in store._texts[f"select id from item where {rest}"].numbered


async def test_a_limit_is_no_value_where_an_index_of_some_rows_is_not_concerned(
    store: SqliteStore,
) -> None:
    index = Migration("0002_gone.sql", "create index gone on item (name) where stock = 0")
    await store.migrate("service", [SCHEMA, index])
    found = [
        store._texts[f"select name from item where {rest} order by id limit $2"].numbered
        for rest in ("id > $1", "stock = $1")
    ]
    assert [text.endswith("limit +?2") for text in found] == [True, False]


@pytest.mark.parametrize("rows", ["stock = 0", "name > '' and stock is 0"])
async def test_an_index_of_some_rows_is_found_by_a_parameter(store: SqliteStore, rows: str) -> None:
    await store.all(str, "select name from item where stock = $1", 0)
    index = f"create index gone on item (stock, name) where {rows}"
    await store.migrate("service", [SCHEMA, Migration("0002_gone.sql", index)])
    how = rows.replace("0", "$1")
    await store.all(
        int, f"select id from item where {how}", 0
    )  # EXPLAIN does not look for new indexes
    plan = await store.all(tuple, f"explain query plan select id from item where {how}", 0)
    assert "gone" in str(plan)


@pytest.mark.parametrize("rows", ["stock is not null", "stock in (1, 2)", "stock > 0"])
async def test_an_index_of_other_rows_is_no_reason_to_plan_anew(
    store: SqliteStore, rows: str
) -> None:
    index = Migration("0002_some.sql", f"create index some on item (name) where {rows}")
    await store.migrate("service", [SCHEMA, index])
    assert store._texts["select 1 from item where stock = $1"].numbered.endswith("= +?1")
