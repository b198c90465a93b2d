"""What is PostgreSQL's own: its types, its conflicts, and a server that goes away and comes back."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import Context
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from msgspec import Meta

from borough.clock import SystemClock
from borough.contracts.struct import Struct
from borough.engines.postgres import PostgresServer
from borough.errors import (
    ConfigurationError,
    ConstraintViolated,
    DeadlineExceeded,
    MigrationRefused,
    StoreError,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
)
from borough.ports import Migration
from borough.services.settings import Secret
from borough.stores.postgres import PostgresLimits, PostgresStore
from borough.testing.clock import ManualClock
from tests.servers.postgres import postgres_server, postgres_url
from tests.stores.postgres_store import SCHEMA, Publisher, Sold, add, ids, opened

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """One on a database of its own."""
    async with opened(postgres_url) as store:
        yield store


# --- types -----------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Part(Struct):
    n: int


class Row(Struct):
    flag: bool
    at: datetime
    price: Decimal
    key: UUID
    day: date
    raw: bytes
    part: Part
    colour: Colour
    ratio: float
    none: str | None


async def test_columns_of_its_own_types_take_and_give_the_portable_values(
    store: PostgresStore,
) -> None:
    row = Row(
        flag=True,
        at=datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        price=Decimal("1.10"),
        key=UUID(int=7),
        day=date(2030, 1, 2),
        raw=b"\x00\xff",
        part=Part(n=1),
        colour=Colour.RED,
        ratio=0.1,
        none=None,
    )
    async with store.transaction() as tx:
        await tx.execute(
            "create table row (flag boolean, at timestamptz, price numeric, key uuid, day date,"
            " raw bytea, part jsonb, colour text, ratio double precision, none text)"
        )
        names = row.__struct_fields__
        await tx.execute(
            f"insert into row values ({', '.join(f'${n}' for n in range(1, len(names) + 1))})",
            *(getattr(row, name) for name in names),
        )
    assert await store.one(Row, "select * from row") == row
    found = await store.one(dict[str, Any], "select flag, at, price, key, day from row")
    assert found == {name: getattr(row, name) for name in names[:5]}
    several = dict[str, datetime | UUID | str | None]
    found = await store.one(several, "select at, key, colour, none from row")
    assert found == {"at": row.at, "key": row.key, "colour": "red", "none": None}


class Priced(Struct):
    id: int
    name: str
    stock: int | None


class Bounded(Struct):
    id: Annotated[int, Meta(le=1)]


async def test_a_row_that_does_not_fit_is_refused_however_many_did(store: PostgresStore) -> None:
    await add(store, 1)
    await add(store, 2)
    query = "select id, name, stock from item order by id"
    assert [row.id for row in await store.all(Priced, query)] == [1, 2]
    with pytest.raises(StoreError, match="does not fit"):
        await store.all(Priced, "select id, null as name, stock from item")
    with pytest.raises(StoreError, match="does not fit"):
        await store.all(Bounded, "select id from item")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("double precision", float("nan"), "NaN"),
        ("timestamptz", datetime(2030, 1, 1), "no time zone"),
        ("timestamp", datetime(2030, 1, 1, tzinfo=UTC), "declare `timestamptz`"),
        ("numeric", Decimal("Infinity"), "is no number"),
        ("integer", 2**40, "does not fit"),
        ("text", 7, "is no text"),
        ("boolean", "yes", "cannot be stored"),
    ],
)
async def test_what_would_change_its_meaning_is_refused(
    store: PostgresStore, kind: str, value: Any, said: str
) -> None:
    async with store.transaction() as tx:
        await tx.execute(f"create table odd (v {kind})")
    with pytest.raises(StoreError, match=said):
        async with store.transaction() as tx:
            await tx.execute("insert into odd values ($1)", value)


# --- statements ------------------------------------------------------------------------------------


async def test_a_constraint_is_told_by_its_name(store: PostgresStore) -> None:
    for sql, name in (
        ("insert into item values (1, 'a', -1)", "some_stock"),
        ("insert into item values (1, null, 1)", "item.name"),
    ):
        with pytest.raises(ConstraintViolated) as caught:
            async with store.transaction() as tx:
                await tx.execute(sql)
        assert caught.value.constraint == name


async def test_outside_of_a_transaction_one_only_reads(store: PostgresStore) -> None:
    for sql in ("insert into item values (1, 'a', 1) returning id", "create table x (y int)"):
        with pytest.raises(StoreError):
            await store.one(int, sql)
    with pytest.raises(TransactionMisuse, match="one only reads"):
        await store.one(int, "insert into item values (1, 'a', 1) returning id")
    assert await ids(store) == []


@pytest.mark.parametrize(
    "sql",
    [
        *("set statement_timeout = 0", "copy item to stdout", "listen x", "select 1; select 2"),
        "select set_config('default_transaction_read_only', 'off', false)",
        "select pg_catalog.\"set_config\" ('work_mem', '1MB', true)",
        *("select pg_advisory_lock(1)", "select PG_TRY_ADVISORY_LOCK_SHARED(1)"),
    ],
)
async def test_the_session_is_not_for_a_statement(store: PostgresStore, sql: str) -> None:
    with pytest.raises(TransactionMisuse):
        async with store.transaction() as tx:
            await tx.execute(sql)


async def test_a_lock_that_ends_with_its_transaction_may_be_taken(store: PostgresStore) -> None:
    async with store.transaction() as tx:
        assert await tx.one(bool, "select pg_try_advisory_xact_lock(1)")
        assert await tx.one(str, "select 'pg_advisory_lock(1)' as set_config") != ""


async def test_what_is_merged_is_counted(store: PostgresStore) -> None:
    merge = """
        merge into item using (values (1::bigint), (2)) as new (id) on item.id = new.id
        when not matched then insert values (new.id, new.id::text, 1)
    """
    async with store.transaction() as tx:
        if await tx.one(int, "select current_setting('server_version_num')::integer") < 150_000:
            pytest.skip("MERGE came with PostgreSQL 15")
        assert await tx.execute(merge) == 2


async def test_many_rows_are_counted_and_travel_together(store: PostgresStore) -> None:
    rows = [(n, f"item {n}", 1) for n in range(500)]
    async with store.transaction() as tx:
        assert await tx.many("insert into item values ($1, $2, $3)", rows) == 500
        again = "insert into item values ($1, $2, $3) on conflict do nothing"
        assert await tx.many(again, [*rows, (500, "last", 1)]) == 1
        assert await tx.many("update item set stock = $1 where id < $2", [(5, 10), (6, 3)]) == 13
    assert len(await ids(store)) == 501


async def test_a_table_that_changes_under_a_prepared_statement_is_read_all_the_same(
    store: PostgresStore,
) -> None:
    await add(store, 1)
    query = "select * from item"
    assert len((await store.one(dict[str, Any], query)).keys()) == 3
    second = Migration("0002_more.sql", "alter table item add column more text default 'x'")
    await store.migrate("service", [SCHEMA, second])
    assert (await store.one(dict[str, Any], query))["more"] == "x"


async def test_a_changed_table_is_in_the_way_of_one_transaction_only(postgres_url: str) -> None:
    query = "select * from item where id = $1"

    async def look(store: PostgresStore) -> int:
        async with store.transaction() as tx:
            return len(await tx.one(dict[str, Any], query, 1))

    async with opened(postgres_url) as store:
        await add(store, 1)
        assert tuple(await asyncio.gather(look(store), look(store), look(store))) == (3, 3, 3)
        second = Migration("0002_more.sql", "alter table item add column more text")
        await store.migrate("service", [SCHEMA, second])
        with pytest.raises(TransactionConflict):
            await look(store)
        assert tuple(await asyncio.gather(look(store), look(store), look(store))) == (4, 4, 4)


async def test_a_statement_is_planned_once_on_a_connection(postgres_url: str) -> None:
    async with opened(postgres_url, PostgresLimits(connections=1)) as store:
        for number in range(3):
            await add(store, number)
        known = (
            "select count(*) from pg_prepared_statements where statement like 'insert into item%'"
        )
        async with store.transaction() as tx:
            assert await tx.one(int, known) == 1


async def test_a_commit_is_not_cut_short_by_a_cancellation(postgres_url: str) -> None:
    slow = Migration(
        "0002_slow.sql",
        "create function wait() returns trigger language plpgsql as "
        "$$ begin perform pg_advisory_xact_lock(7); return null; end $$;"
        "create constraint trigger slow after insert on item deferrable initially deferred "
        "for each row execute function wait()",
    )
    commits = "select pid from pg_stat_activity where query = 'commit' and state = 'active'"
    async with opened(postgres_url) as store:
        await store.migrate("service", [SCHEMA, slow])
        async with store.transaction() as tx:
            await tx.execute("select pg_advisory_xact_lock(7)")
            body = Context().run(asyncio.create_task, add(store, 1))
            while await store.maybe(int, commits) is None:
                pass  # each look is a journey of its own
            for _ in range(2):
                body.cancel()
                await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await body
        assert await ids(store) == [1]


# --- time ------------------------------------------------------------------------------------------


async def test_the_server_ends_a_statement_at_the_deadline_of_its_call(postgres_url: str) -> None:
    clock = ManualClock()  # by it nobody else ends one, nor is too late to begin
    until: list[float | None] = [None]
    async with opened(postgres_url, deadline=lambda: until[0], clock=clock) as store:
        until[0] = clock.monotonic() + 0.3
        with pytest.raises(DeadlineExceeded):
            async with store.transaction() as tx:
                await tx.execute("select pg_sleep(20)")
        with pytest.raises(DeadlineExceeded):
            await store.one(str, "select pg_sleep(20)::text")
        until[0] = None
        await add(store, 1)
        assert await ids(store) == [1]


async def test_who_finds_no_connection_free_is_refused_at_its_deadline(postgres_url: str) -> None:
    clock = SystemClock()
    until: list[float | None] = [None]
    limits = PostgresLimits(connections=1, wait_s=30.0)
    async with opened(postgres_url, limits, lambda: until[0]) as store:
        async with store.transaction():
            until[0] = clock.monotonic() + 0.1
            with pytest.raises(StoreUnavailable, match="in use"):
                await ids(store)
            until[0] = None
        assert await ids(store) == []


async def test_many_share_few_connections(postgres_url: str) -> None:
    limits = PostgresLimits(connections=3, wait_s=30.0)
    async with opened(postgres_url, limits) as store:
        await asyncio.gather(*(add(store, number) for number in range(60)))
        assert len(await ids(store)) == 60
        count = "select count(*) from pg_stat_activity where application_name = 'borough shop'"
        assert await store.one(int, count) <= 3


async def test_a_lock_of_another_transaction_is_not_awaited_for_ever(postgres_url: str) -> None:
    limits = PostgresLimits(lock_s=0.2, wait_s=30.0)
    async with opened(postgres_url, limits) as store:
        await add(store, 1)
        async with store.transaction() as tx:
            await tx.execute("update item set stock = 2 where id = 1")

            async def other() -> None:
                async with store.transaction() as second:
                    await second.execute("update item set stock = 3 where id = 1")

            with pytest.raises(StoreUnavailable, match="lock"):
                await asyncio.create_task(other(), context=Context())


# --- conflicts -------------------------------------------------------------------------------------


async def test_two_that_read_what_the_other_writes_do_not_both_commit(
    store: PostgresStore,
) -> None:
    await add(store, 1)
    await add(store, 2)
    both = asyncio.Barrier(2)

    async def take(mine: int) -> None:
        async with store.transaction() as tx:
            left = await tx.one(int, "select sum(stock) from item")
            await both.wait()
            if left > 1:
                await tx.execute("update item set stock = stock - 1 where id = $1", mine)

    results = await asyncio.gather(take(1), take(2), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [TransactionConflict]
    assert await store.one(int, "select sum(stock) from item") == 1


async def test_no_savepoint_saves_a_body_from_a_conflict(store: PostgresStore) -> None:
    await add(store, 1)

    async def saved() -> None:
        async with store.transaction() as tx:
            await tx.one(int, "select stock from item where id = 1")
            await change(store)
            with suppress(TransactionConflict):
                async with tx.savepoint():
                    await tx.execute("update item set stock = 9 where id = 1")

    with pytest.raises(TransactionConflict):
        await saved()
    assert await store.one(int, "select stock from item") == 5


async def change(store: PostgresStore) -> None:
    """Somebody else changes the row and commits."""

    async def work() -> None:
        async with store.transaction() as tx:
            await tx.execute("update item set stock = 5 where id = 1")

    await asyncio.create_task(work(), context=Context())


# --- order -----------------------------------------------------------------------------------------


async def test_numbers_settle_in_the_order_of_what_was_seen(store: PostgresStore) -> None:
    publisher = Publisher()
    settled = "select id from borough_settled order by sequence"
    async with store.transaction(publisher) as early:
        await early.execute("insert into item values (1, 'a', 1)")
        await asyncio.create_task(add(store, 2, publisher), context=Context())
        assert await store.all(str, "select id from borough_outbox") == ["e1"]
        assert (
            await store.all(str, settled) == []
        )  # one that was begun before may come to stand before it
        early.publish(Sold())
    assert await store.all(str, settled) == ["e2", "e1"]
    assert publisher.told[0] > publisher.told[1]


async def test_the_events_of_a_transaction_follow_one_another(store: PostgresStore) -> None:
    publisher = Publisher()
    async with store.transaction(publisher) as tx:
        for _ in range(20):
            tx.publish(Sold())
    numbers = await store.all(int, "select sequence from borough_settled order by sequence")
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert tx.sequence == numbers[-1]
    assert tx.position == f"shop.Shop:{numbers[-1]}"
    ordered = await store.all(str, "select id from borough_settled order by sequence")
    assert ordered == [f"e{n}" for n in range(1, 21)]


# --- opening and migrations ------------------------------------------------------------------------


async def test_what_is_wrong_with_an_address_is_said_without_its_password(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    port = postgres_server.port
    for url, said in (
        (f"postgresql://borough:wrong-word@127.0.0.1:{port}/x", "password authentication failed"),
        (f"postgresql://nobody:wrong-word@127.0.0.1:{port}/x", "password authentication failed"),
        ("mysql://x", "no URL of PostgreSQL"),
        (f"postgresql://borough:wrong-word@127.0.0.1:{port}/x?sslmode=bogus", "cannot be used"),
        ("postgresql://borough:wrong-word@127.0.0.1:99999/x", "no URL of PostgreSQL"),
        ("postgresql://borough:wrong-word@127.0.0.1:notaport/x", "no URL of PostgreSQL"),
    ):
        with pytest.raises(ConfigurationError, match=said) as caught:
            await PostgresStore(Secret(url), service="shop", clock=SystemClock()).open()
        assert "wrong-word" not in str(caught.value)
    limits = PostgresLimits(wait_s=0.5)
    nowhere = Secret("postgresql://borough@127.0.0.1:9/x")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await PostgresStore(nowhere, service="x", clock=SystemClock(), limits=limits).open()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_missing_database_is_made_where_the_role_may_do_so(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    url = f"{postgres_url}_more"
    async with opened(url) as store:
        assert await ids(store) == []
    async with opened(postgres_url) as store:
        sql = "select datcollate from pg_database where datname = $1"
        assert await store.one(str, sql, url.rpartition("/")[2]) == "C"


async def test_of_many_processes_one_applies_a_migration(postgres_url: str) -> None:
    async def start() -> None:
        async with opened(postgres_url):
            await asyncio.sleep(0)

    await asyncio.gather(*(start() for _ in range(6)))


@pytest.mark.parametrize("sql", ["commit", "begin; select 1", "set search_path = x", "rollback"])
async def test_a_migration_does_not_end_its_transaction(store: PostgresStore, sql: str) -> None:
    second = Migration("0002_bad.sql", f"insert into item values (1, 'a', 1); {sql}")
    with pytest.raises(MigrationRefused, match="is not for a migration"):
        await store.migrate("service", [SCHEMA, second])
    assert await ids(store) == []
