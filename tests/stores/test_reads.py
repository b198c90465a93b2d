"""Reads outside a transaction: the last commit, off the loop when slow, ended by the deadline."""

# the body of a transaction stands inside `raises`; looking at a small file does not block
# ruff: noqa: ASYNC240, PT012

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from borough import Struct
from borough.errors import (
    DeadlineExceeded,
    StoreError,
    StoreUnavailable,
    TransactionMisuse,
    WrongRowCount,
)
from borough.stores.sqlite import SqliteStore
from tests.stores.bodies import ADD, SLOW, add, names
from tests.stores.conftest import Opener


class Item(Struct):
    id: int
    name: str
    stock: int | None = None


@asynccontextmanager
async def counted_turns() -> AsyncIterator[list[int]]:
    """How often the loop turns meanwhile."""
    turns = [0]

    async def turn() -> None:
        while True:
            await asyncio.sleep(0)
            turns[0] += 1

    task = asyncio.ensure_future(turn())
    await asyncio.sleep(0)
    yield turns
    task.cancel()


async def test_one_gives_the_only_row(store: SqliteStore) -> None:
    await add(store, "a", 3)
    assert await store.one(Item, "select * from item") == Item(id=1, name="a", stock=3)
    with pytest.raises(WrongRowCount, match="no row"):
        await store.one(Item, "select * from item where id = 9")
    await add(store, "b")
    with pytest.raises(WrongRowCount, match="several"):
        await store.one(Item, "select * from item")


async def test_maybe_gives_the_only_row_or_none(store: SqliteStore) -> None:
    assert await store.maybe(Item, "select * from item") is None
    await add(store, "a", 3)
    assert await store.maybe(Item, "select * from item") == Item(id=1, name="a", stock=3)
    await add(store, "b")
    with pytest.raises(WrongRowCount, match="several"):
        await store.maybe(str, "select name from item")


async def test_a_column_is_given_to_a_field_by_its_alias(store: SqliteStore) -> None:
    found = await store.one(Item, "select 'x' as name, 7 as id, 1 as unknown_to_the_struct")
    assert found == Item(id=7, name="x")


async def test_a_missing_column_is_named_with_the_remedy(store: SqliteStore) -> None:
    await add(store, "a")
    with pytest.raises(StoreError, match="Item needs the column name; the statement gives id, n"):
        await store.one(Item, "select id, name as n from item")


async def test_rows_come_as_tuple_dict_or_value(store: SqliteStore) -> None:
    await add(store, "a", 3)
    sql = "select id, name from item"
    assert await store.one(tuple, sql) == (1, "a")
    assert await store.one(tuple[int, str], sql) == (1, "a")
    assert await store.one(dict, sql) == {"id": 1, "name": "a"}
    assert await store.one(int, sql) == 1
    assert await store.all(int | None, "select stock from item") == [3]  # type: ignore[arg-type]


async def test_a_dict_has_values_of_the_type_that_is_asked_for(store: SqliteStore) -> None:
    read = await store.one(dict[str, bool], "select 1 as paid, 0 as sent")
    assert read == {"paid": True, "sent": False}
    assert await store.one(dict[str, tuple[int, ...]], "select '[1,2]' as marks") == {
        "marks": (1, 2)
    }
    assert await store.one(dict[str, object], "select 1 as paid") == {"paid": 1}
    several = await store.one(dict[str, str | datetime | bytes], "select 'a' as name, x'00' as raw")
    assert several == {"name": "a", "raw": b"\0"}
    with pytest.raises(StoreError, match="Expected `int`, got `str`"):
        await store.one(dict[str, int], "select 1 as paid, 'a' as name")


async def test_a_value_of_another_type_is_refused(store: SqliteStore) -> None:
    await add(store, "a")
    with pytest.raises(StoreError, match="does not fit"):
        await store.one(int, "select name from item")
    with pytest.raises(StoreError, match="has 1 places"):
        await store.one(tuple[int], "select id, name from item")


async def test_all_gives_at_most_the_row_limit(opened: Opener) -> None:
    store = await opened(row_limit=3)
    for name in "abc":
        await add(store, name)
    assert await names(store) == ["a", "b", "c"]
    await add(store, "d")
    with pytest.raises(WrongRowCount, match="more than 3 rows"):
        await names(store)
    await add(store, "e")  # the refused read left nothing open


async def test_a_write_outside_a_transaction_is_refused(store: SqliteStore) -> None:
    with pytest.raises(TransactionMisuse, match="outside transaction"):
        await store.one(int, "insert into item (name) values ('a') returning id")
    with pytest.raises(TransactionMisuse, match="outside transaction"):
        await store.all(
            int, "with x as (select 1) insert into item (name) select 'a' from x returning id"
        )
    assert await names(store) == []


async def test_a_with_clause_that_selects_is_a_read(store: SqliteStore) -> None:
    sql = "with x as (select replace('abc', 'b', 'x') as t) select t from x"
    assert await store.one(str, sql) == "axc"


async def test_closing_in_a_hurry_undoes_a_body_that_does_not_end(opened: Opener) -> None:
    store = await opened(wait_s=0.1)
    ended = asyncio.Event()

    async def hold() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "a", 1)
            await ended.wait()

    holding = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    await store.close()
    ended.set()
    with pytest.raises(TransactionMisuse):
        await holding
    assert await names(await opened()) == []


async def test_a_slow_read_is_moved_off_the_loop(store: SqliteStore) -> None:
    for _ in range(2):  # interrupted and begun again, then at once in a thread
        async with counted_turns() as turns:
            assert await store.one(int, SLOW, 300_000) == 300_000
        assert turns[0] > 10


async def test_a_slow_read_does_not_hold_up_writes(store: SqliteStore) -> None:
    reading = asyncio.ensure_future(store.one(int, SLOW, 2_000_000))
    await asyncio.sleep(0)
    await add(store, "a")
    assert not reading.done()
    assert await names(store) == ["a"]
    assert await reading == 2_000_000


async def test_a_text_that_became_quick_returns_to_the_loop(store: SqliteStore) -> None:
    statement = store._texts[SLOW]
    await store.one(int, SLOW, 300_000)
    assert statement.slow
    for _ in range(100):
        if statement.slow:
            await store.one(int, SLOW, 1)
    assert not statement.slow


async def test_a_text_that_only_seemed_slow_returns_after_one_run(opened: Opener) -> None:
    store = await opened(slow_s=60.0)  # no machine is so busy that one row takes as long
    statement = store._texts[SLOW]
    statement.seemed_slow()  # the machine was busy while it ran on the loop
    await store.one(int, SLOW, 1)
    assert not statement.slow
    async with store.transaction() as tx:
        statement.seemed_slow()
        await tx.one(int, SLOW, 1)
        assert not statement.slow


async def test_a_write_that_seemed_slow_stays_off_the_loop(store: SqliteStore) -> None:
    statement = store._texts[ADD]
    statement.seemed_slow()
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
    assert statement.slow  # nothing would interrupt the next one


async def test_the_deadline_interrupts_a_read(opened: Opener) -> None:
    loop = asyncio.get_running_loop()
    wait = 10.0
    store = await opened(deadline=lambda: loop.time() + wait)
    wait = 0.05
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await store.one(int, SLOW, 1_000_000_000)
    with pytest.raises(DeadlineExceeded):
        async with store.transaction() as tx:
            await tx.one(int, SLOW, 1_000_000_000)


async def test_a_read_beyond_the_stores_own_time_says_that_the_store_is_not_available(
    opened: Opener,
) -> None:
    store = await opened(wait_s=0.05)
    with pytest.raises(StoreUnavailable, match="did not answer in time"):
        await store.one(int, SLOW, 1_000_000_000)
    with pytest.raises(StoreUnavailable, match="did not answer in time"):
        async with store.transaction() as tx:
            await tx.one(int, SLOW, 1_000_000_000)


async def test_slow_reads_share_a_bounded_number_of_threads(opened: Opener) -> None:
    loop = asyncio.get_running_loop()
    wait = 10.0
    store = await opened(reader_threads=1, waiting_reads=1, deadline=lambda: loop.time() + wait)
    first = asyncio.ensure_future(store.one(int, SLOW, 1_000_000_000))
    await asyncio.sleep(0)
    wait = 1.0
    second = asyncio.ensure_future(store.one(int, SLOW, 1_000_000))
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="1 slow reads wait"):
        await store.one(int, SLOW, 1_000_000)
    with pytest.raises(StoreUnavailable, match="all 1 readers are busy"):
        await second
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    wait = 10.0
    assert await store.one(int, SLOW, 100_000) == 100_000


async def test_a_snapshot_gives_several_reads_one_state(store: SqliteStore) -> None:
    await add(store, "a")
    async with store.snapshot() as snapshot:
        await add(store, "b")
        assert await snapshot.all(str, "select name from item") == ["a"]
        assert await snapshot.one(int, SLOW, 300_000) == 300_000
        assert await snapshot.maybe(str, "select name from item where id = 2") is None
        assert await names(store) == ["a", "b"]
    assert await names(store) == ["a", "b"]


async def test_a_snapshot_is_pinned_when_it_is_entered(store: SqliteStore) -> None:
    async with store.snapshot() as snapshot:
        await add(store, "a")
        assert await snapshot.all(str, "select name from item") == []


async def test_a_snapshot_only_reads(store: SqliteStore) -> None:
    async with store.snapshot() as snapshot:
        with pytest.raises(TransactionMisuse, match="only reads"):
            await snapshot.one(int, "insert into item (name) values ('a') returning id")
    with pytest.raises(TransactionMisuse, match="over"):
        await snapshot.one(int, "select 1")


async def test_a_snapshot_is_ended_after_its_time(opened: Opener) -> None:
    store = await opened(snapshot_s=0.05)
    async with store.snapshot() as snapshot:
        with pytest.raises(TransactionMisuse, match=r"more than 0\.05 s"):
            for _ in range(1000):
                await snapshot.one(int, "select 1")
                await asyncio.sleep(0.01)


async def test_a_read_beyond_the_time_of_its_snapshot_does_not_blame_the_deadline(
    opened: Opener,
) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(snapshot_s=0.05, deadline=lambda: loop.time() + 60)
    async with store.snapshot() as snapshot:
        with pytest.raises(TransactionMisuse, match=r"more than 0\.05 s"):
            await snapshot.one(int, SLOW, 1_000_000_000)


@pytest.mark.parametrize("whose", ["a call", "the store"])
async def test_a_snapshot_that_does_not_begin_in_time_says_so(opened: Opener, whose: str) -> None:
    until: list[float | None] = [None]
    store = await opened(deadline=lambda: until[0])
    until[0] = asyncio.get_running_loop().time()  # it passes while the machine has no time
    snapshot = store.snapshot()
    if whose == "a call":
        with pytest.raises(DeadlineExceeded, match="passed during: begin"):
            await snapshot.__aenter__()
    else:
        until[0] = None
        with pytest.raises(StoreUnavailable, match="did not answer in time: begin"):
            await snapshot.__aenter__()
    until[0] = None
    async with store.snapshot() as snapshot:  # the reader was given back
        assert await snapshot.all(str, "select name from item") == []


async def test_snapshots_give_their_readers_back(opened: Opener) -> None:
    store = await opened(reader_threads=2)
    for _ in range(5):
        async with store.snapshot() as one, store.snapshot() as two:
            assert await one.one(int, "select 1") == await two.one(int, "select 1")
    reading = asyncio.ensure_future(hold_snapshot(store))
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    async with store.snapshot(), store.snapshot():
        pass


async def hold_snapshot(store: SqliteStore) -> None:
    """Read slowly in a snapshot."""
    async with store.snapshot() as snapshot:
        await snapshot.one(int, SLOW, 1_000_000_000)


async def test_the_wal_stays_below_its_bound(opened: Opener, path: Path) -> None:
    bound = 1 << 20
    store = await opened(checkpoint_bytes=bound // 4, wal_bytes=bound)
    async with store.transaction() as tx:
        await tx.execute("create table page (id integer primary key, body blob)")
    largest = 0
    for _ in range(200):
        async with store.transaction() as tx:
            await tx.execute("insert into page (body) values ($1)", bytes(30_000))
        largest = max(largest, Path(f"{path}-wal").stat().st_size)
    assert largest < bound // 2
    assert path.stat().st_size > 5 * bound


async def test_a_reader_that_keeps_the_wal_makes_writers_wait_at_its_bound(
    opened: Opener, path: Path
) -> None:
    bound, wal = 1 << 20, Path(f"{path}-wal")
    until: list[float | None] = [None]
    store = await opened(lambda: until[0], checkpoint_bytes=bound // 4, wal_bytes=bound)
    async with store.transaction() as tx:
        await tx.execute("create table page (id integer primary key, body blob)")
    async with store.snapshot() as snapshot:
        with pytest.raises(StoreUnavailable):
            for _ in range(100):
                if wal.stat().st_size >= bound:
                    until[0] = asyncio.get_running_loop().time() + 0.3
                async with store.transaction() as tx:
                    await tx.execute("insert into page (body) values ($1)", bytes(30_000))
        until[0] = None
        assert bound <= wal.stat().st_size < bound + 100_000
        assert await snapshot.one(int, "select count(*) from page") == 0
    await add(store, "a")
    assert wal.stat().st_size < 100_000


async def test_full_text_search_reads_and_writes(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute("create virtual table found using fts5(name)")
        await tx.execute("insert into found (name) values ($1)", "a red teapot")
        await tx.execute("insert into found (found) values ('optimize')")
    assert await store.all(str, "select name from found where found match $1", "teapot") == [
        "a red teapot"
    ]


async def test_a_closed_store_takes_no_call(store: SqliteStore) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.one(int, "select 1")
    with pytest.raises(StoreUnavailable, match="not open"):
        store.transaction()
    with pytest.raises(StoreUnavailable, match="not open"):
        store.snapshot()


async def test_closing_lets_bodies_end_and_empties_the_wal(
    store: SqliteStore, opened: Opener, path: Path
) -> None:
    adding = [asyncio.ensure_future(add(store, name)) for name in "abc"]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*adding)
    assert not Path(f"{path}-wal").exists()
    assert await names(await opened()) == ["a", "b", "c"]


async def test_a_store_may_be_opened_again(store: SqliteStore) -> None:
    await add(store, "a")
    await store.close()
    await store.open()
    assert await names(store) == ["a"]
    with pytest.raises(TransactionMisuse, match="open already"):
        await store.open()


async def test_many_texts_are_forgotten_and_read_anew(store: SqliteStore) -> None:
    for number in range(2100):
        assert await store.one(int, f"select {number}") == number
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
