"""Bodies take turns and share a COMMIT; each fails alone, and all fail with the COMMIT."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from borough.errors import (
    CommitFailed,
    ConstraintViolated,
    DeadlineExceeded,
    StoreError,
    TransactionConflict,
)
from borough.stores.sqlite import SqliteStore
from tests.stores.bodies import ADD, add, names, outcome
from tests.stores.conftest import Opener
from tests.stores.disk import failing_disk

FRAME = 4096 + 24


def frames(path: Path) -> int:
    """Pages written to the WAL; each commit writes every page that it changed once."""
    return Path(f"{path}-wal").stat().st_size // FRAME


async def test_bodies_of_one_service_never_interleave(store: SqliteStore) -> None:
    trail: list[tuple[int, str]] = []

    async def body(number: int) -> None:
        async with store.transaction() as tx:
            trail.append((number, "in"))
            await tx.execute(ADD, f"item {number}", 1)
            await asyncio.sleep(0)
            await tx.execute("update item set stock = 2 where name = $1", f"item {number}")
            trail.append((number, "out"))

    await asyncio.gather(*(body(number) for number in range(20)))
    assert trail[::2] == [(number, "in") for number, _ in trail[::2]]
    assert trail[1::2] == [(number, "out") for number, _ in trail[::2]]
    assert await store.one(int, "select count(*) from item where stock = 2") == 20


async def test_bodies_run_in_the_order_in_which_they_came(store: SqliteStore) -> None:
    order: list[int] = []

    async def body(number: int) -> None:
        async with store.transaction() as tx:
            await asyncio.sleep(0)
            order.append(await tx.one(int, "select $1", number))

    await asyncio.gather(*(body(number) for number in range(50)))
    assert order == list(range(50))


async def test_a_result_is_released_only_after_the_commit(store: SqliteStore, path: Path) -> None:
    seen: list[object] = []
    other = apsw.Connection(str(path))

    async def body(number: int) -> None:
        nonlocal seen
        await add(store, f"item {number}")
        query = "select count(*) from item where name = ?"
        seen += [row[0] for row in other.execute(query, (f"item {number}",))]

    await asyncio.gather(*(body(number) for number in range(40)))
    other.close()
    assert seen == [1] * 40


async def test_many_bodies_share_few_commits(opened: Opener, path: Path) -> None:
    store = await opened(group_age_s=60.0)
    await add(store, "first")
    before = frames(path)
    await asyncio.gather(*(add(store, f"item {number}") for number in range(100)))
    assert frames(path) - before < 20  # a hundred commits write at least two pages each


async def test_a_group_takes_no_more_bodies_than_its_size(opened: Opener, path: Path) -> None:
    store = await opened(group_size=1)
    await add(store, "first")
    before = frames(path)
    await asyncio.gather(*(add(store, f"item {number}") for number in range(30)))
    assert frames(path) - before >= 60


async def test_a_failing_body_fails_alone(store: SqliteStore) -> None:
    async def fail(number: int) -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, f"bad {number}", 1)
            raise KeyError(number)

    results = await asyncio.gather(
        *(fail(n) if n % 3 == 0 else add(store, f"good {n:02}") for n in range(30)),
        return_exceptions=True,
    )
    assert [type(result) for result in results if result] == [KeyError] * 10
    assert await names(store) == [f"good {n:02}" for n in range(30) if n % 3]


async def test_a_body_with_a_failed_statement_fails_alone(store: SqliteStore) -> None:
    results = await asyncio.gather(
        add(store, "a"), add(store, "a"), add(store, "b"), return_exceptions=True
    )
    assert results[0] is None
    assert isinstance(results[1], ConstraintViolated)
    assert results[2] is None
    assert await names(store) == ["a", "b"]


async def test_unresolved_deferred_keys_fail_only_their_body(store: SqliteStore) -> None:
    async def line(item: int) -> None:
        async with store.transaction() as tx:
            await tx.execute("insert into line (item_id) values ($1)", item)

    results = await asyncio.gather(
        add(store, "a"), line(99), line(1), line(98), add(store, "b"), return_exceptions=True
    )
    assert [type(result) for result in results if result] == [ConstraintViolated] * 2
    assert "FOREIGN KEY" in str(results[1])
    assert await names(store) == ["a", "b"]
    assert await store.one(int, "select count(*) from line") == 1


async def test_a_deferred_key_may_be_resolved_later_in_its_body(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute("insert into line (item_id) values (7)")
        await tx.execute("insert into item (id, name) values (7, 'late')")
    assert await names(store) == ["late"]


@pytest.mark.parametrize("fault", [apsw.FullError, apsw.IOError])
async def test_a_failed_commit_fails_every_member_and_keeps_nothing(
    opened: Opener, fault: type[Exception]
) -> None:
    with failing_disk() as disk:
        store = await opened()
        await add(store, "before")
        disk.fault = fault
        results = await asyncio.gather(
            *(add(store, f"item {n}") for n in range(10)), return_exceptions=True
        )
        disk.fault = None
        assert [type(result) for result in results] == [CommitFailed] * 10
        assert len({id(result) for result in results}) == 10
        assert await names(store) == ["before"]
        await add(store, "after")
        assert await names(store) == ["after", "before"]
        await store.close()


async def test_a_full_disk_is_named_in_the_failure(opened: Opener) -> None:
    with failing_disk() as disk:
        store = await opened()
        disk.fault = apsw.FullError
        with pytest.raises(CommitFailed, match="the disk is full; free some space"):
            await add(store, "a")
        disk.fault = None
        await store.close()


async def test_a_trigger_that_rolls_back_fails_the_whole_group(opened: Opener, path: Path) -> None:
    store = await opened(group_age_s=60.0)
    # The store refuses to create such a trigger; another program may have done so.
    other = apsw.Connection(str(path))
    other.execute(
        "create trigger t before insert on item when new.name = 'bomb' "
        "begin select raise(rollback, 'boom'); end"
    )
    other.close()
    results = await asyncio.gather(
        add(store, "a"), add(store, "bomb"), add(store, "b"), return_exceptions=True
    )
    assert isinstance(results[0], TransactionConflict)
    assert isinstance(results[1], ConstraintViolated)
    assert results[2] is None
    assert await names(store) == ["b"]


async def test_an_interrupted_write_fails_its_group_with_a_conflict(opened: Opener) -> None:
    store = await opened(body_s=0.1, group_age_s=60.0)
    results = await asyncio.gather(
        add(store, "a"),
        outcome(endless_write(store)),
        return_exceptions=True,
    )
    assert isinstance(results[0], TransactionConflict)
    assert isinstance(results[1], StoreError)
    assert await names(store) == []
    await add(store, "b")
    assert await names(store) == ["b"]


async def test_the_deadline_interrupts_a_write(opened: Opener) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 60

    store = await opened(deadline=lambda: deadline)
    deadline = loop.time() + 0.1
    with pytest.raises(DeadlineExceeded):
        await endless_write(store)
    deadline = loop.time() + 60
    await add(store, "a")
    assert await names(store) == ["a"]


async def endless_write(store: SqliteStore) -> None:
    """A write that only an interruption ends."""
    async with store.transaction() as tx:
        await tx.execute(
            "insert into item (name) with recursive n(i) as (select 1 union all select i + 1 from n) "
            "select i from n where i < 0"
        )


async def test_the_commit_runs_in_the_stores_own_thread(store: SqliteStore) -> None:
    await add(store, "a")
    assert any(thread.name == "shop-write" for thread in threading.enumerate())


async def test_the_loop_turns_while_a_commit_waits_for_the_disk(opened: Opener) -> None:
    with failing_disk() as disk:
        store = await opened()
        release = threading.Event()
        disk.before_write = release.wait
        commit = asyncio.ensure_future(add(store, "a"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not commit.done()
        release.set()
        await commit
        disk.before_write = None
        await store.close()
