"""Cancellation at every await: a body is there whole or not at all, and harms no other."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import apsw
import pytest

from borough.clock import SystemClock
from borough.errors import TransactionMisuse
from borough.stores.rows import RowPlans
from borough.stores.sqlite import SqliteStore
from borough.stores.sqlite.connection import Connection
from borough.stores.sqlite.options import SqliteOptions
from borough.stores.sqlite.transaction import SqliteTransaction
from tests.stores.bodies import ADD, SLOW, Stepped, add, names, outcome
from tests.stores.conftest import Opener
from tests.stores.disk import failing_disk

Body = Callable[[SqliteStore], Coroutine[Any, Any, None]]


async def quick(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "one", 1)
        await tx.execute(ADD, "two", 1)


async def waiting(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "one", 1)
        await asyncio.sleep(0)
        async with tx.savepoint():
            await asyncio.sleep(0)
            await tx.execute(ADD, "two", 1)


async def slow(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "one", 1)
        await tx.one(int, SLOW, 100_000)
        await tx.execute(ADD, "two", 1)


async def slow_write(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        sql = (
            "insert into item (name) with recursive n(i) as (select 1 union all select i + 1 from n "
            "where i < 60000) select case max(i) when 60000 then 'one' end from n"
        )
        await tx.execute(sql)
        await tx.execute("update item set name = 'two' where name = 'one'")
        await tx.execute(sql)


async def swallow(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "one", 1)
        await outcome(asyncio.sleep(0))
        await tx.execute(ADD, "two", 1)


async def one_step(store: SqliteStore, body: Body, step: int, *, early: bool) -> bool:
    """Cancel at one step amid other bodies; returns whether there was such a step."""
    await store_clear(store)
    driven = Stepped(body(store), step, early=early)

    async def drive() -> None:
        await driven

    async def hold() -> None:  # so that the body has to wait for its turn
        async with store.transaction() as tx:
            await asyncio.sleep(0)
            await tx.execute(ADD, "before 2", 1)

    before = [asyncio.ensure_future(add(store, f"before {n}")) for n in range(2)]
    before.append(asyncio.ensure_future(hold()))
    task = asyncio.ensure_future(outcome(drive()))
    after = [asyncio.ensure_future(add(store, f"after {n}")) for n in range(3)]
    await asyncio.gather(*before, *after)
    result = await task
    found = [name for name in await names(store) if name in ("one", "two")]
    assert found in ([], ["one", "two"]), (step, found)
    if result is None:
        assert found == ["one", "two"], step
    elif isinstance(result, TransactionMisuse):
        assert found == [], step
    else:
        assert isinstance(result, asyncio.CancelledError), (step, result)
    others = [f"after {n}" for n in range(3)] + [f"before {n}" for n in range(3)]
    assert [name for name in await names(store) if name not in ("one", "two")] == others
    return driven.reached >= step


async def store_clear(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute("delete from item")


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("body", [quick, waiting, slow, slow_write, swallow])
async def test_cancelling_at_any_await_keeps_the_body_whole(
    store: SqliteStore, body: Body, early: bool
) -> None:
    step = 1
    while await one_step(store, body, step, early=early):
        step += 1
    assert step > 2
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("slow_s", [0.0, 0.002])  # with 0, what ran once runs in the worker
@pytest.mark.parametrize("body", [quick, waiting, slow, slow_write])
async def test_closing_the_coroutine_at_any_await_undoes_the_body(
    opened: Opener, body: Body, slow_s: float
) -> None:
    store = await opened(body_s=30.0, wait_s=60.0, slow_s=slow_s)
    for step in range(1, 8):
        await store_clear(store)
        holding = asyncio.Event()
        release = asyncio.Event()

        async def hold(holding: asyncio.Event = holding, release: asyncio.Event = release) -> None:
            async with store.transaction():
                holding.set()
                await release.wait()

        coroutine = body(store)
        holder = asyncio.ensure_future(hold())
        await holding.wait()
        ended = await drop_at(coroutine, step, release.set)
        await holder
        await add(store, "after")
        found = [name for name in await names(store) if name in ("one", "two")]
        assert found in ([], ["one", "two"])
        if ended:
            break


async def test_a_savepoint_that_is_closed_beside_a_running_statement_dooms_the_body(
    store: SqliteStore,
) -> None:
    async def held(tx: SqliteTransaction) -> AsyncGenerator[None]:
        async with tx.savepoint():
            yield

    async def body() -> None:
        async with store.transaction() as tx:
            part = held(tx)
            await anext(part)
            reading = asyncio.ensure_future(tx.one(int, SLOW, 3_000_000))
            while not tx.busy:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
            await part.aclose()
            await reading
            await tx.execute(ADD, "late", 1)

    with pytest.raises(TransactionMisuse, match="closed while a statement was running"):
        await body()
    assert await names(store) == []


async def drop_at(
    coroutine: Coroutine[Any, Any, None], step: int, start: Callable[[], None]
) -> bool:
    """Run a coroutine by hand up to a step, then close it; whether it ended before."""
    steps = coroutine.__await__()
    for number in range(1, step + 1):
        try:
            awaited = next(steps)
        except StopIteration:
            return True
        start()
        if number == step:
            coroutine.close()
            return False
        if awaited is None:
            await asyncio.sleep(0)
        else:
            awaited._asyncio_future_blocking = False
            await asyncio.wait([awaited])
    return False


async def test_a_commit_is_awaited_although_its_task_is_cancelled(opened: Opener) -> None:
    with failing_disk() as disk:
        store = await opened()
        writing, release = threading.Event(), threading.Event()

        def stall() -> None:
            writing.set()
            release.wait()

        disk.before_write = stall
        task = asyncio.ensure_future(add(store, "a"))
        await asyncio.to_thread(writing.wait)
        for _ in range(3):  # impatient
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        disk.before_write = None
        assert await names(store) == ["a"]
        await store.close()


async def test_a_timeout_during_the_commit_is_a_timeout(opened: Opener) -> None:
    with failing_disk() as disk:
        store = await opened()
        release = threading.Event()
        disk.before_write = release.wait

        async def add_in_time() -> None:
            async with asyncio.timeout(0.01) as limit:
                passes_at = limit.when()
                assert passes_at is not None
                asyncio.get_running_loop().call_at(passes_at + 0.04, release.set)  # and not before
                await add(store, "a")

        with pytest.raises(TimeoutError):
            await add_in_time()
        disk.before_write = None
        assert await names(store) == ["a"]
        await store.close()


async def test_cancelling_a_waiting_body_lets_the_next_one_in(store: SqliteStore) -> None:
    ended = asyncio.Event()

    async def hold() -> None:
        async with store.transaction():
            await ended.wait()

    holding = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    first = asyncio.ensure_future(add(store, "first"))
    second = asyncio.ensure_future(add(store, "second"))
    await asyncio.sleep(0)
    first.cancel()
    ended.set()
    await asyncio.gather(holding, second)
    assert await names(store) == ["second"]


async def test_a_turn_that_comes_with_the_cancellation_is_passed_on(store: SqliteStore) -> None:
    first: asyncio.Task[None] | None = None

    async def hold() -> None:
        async with store.transaction():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert first is not None

    holding = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    first = asyncio.ensure_future(add(store, "first"))
    second = asyncio.ensure_future(add(store, "second"))

    async def cancel_at_the_turn() -> None:
        while not holding.done():
            await asyncio.sleep(0)
            if not first.done():
                first.cancel()

    await asyncio.gather(cancel_at_the_turn(), outcome(first), second, holding)
    assert "second" in await names(store)


async def test_a_body_that_is_left_while_many_rows_are_written_keeps_none(opened: Opener) -> None:
    store = await opened(slow_s=0.0, body_s=30.0, wait_s=60.0)  # the loop turns after every piece
    rows = [(str(number), 1) for number in range(2_000)]
    writings: list[asyncio.Future[int]] = []

    async def body() -> None:
        async with store.transaction() as tx:
            writings.append(asyncio.ensure_future(tx.many(ADD, rows)))
            await asyncio.sleep(0)
            raise RuntimeError

    assert isinstance(await outcome(body()), RuntimeError)
    assert isinstance(await outcome(writings[0]), TransactionMisuse)
    await add(store, "after")
    assert await names(store) == ["after"]


async def test_cancelling_a_slow_read_ends_it_soon(store: SqliteStore) -> None:
    reading = asyncio.ensure_future(store.one(int, SLOW, 1_000_000_000))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await store.one(int, "select 1") == 1


def open_connections(path: Path) -> int:
    """How many are open to a database; those among them that nobody holds any more."""
    found = 0
    for connection in apsw.connections():
        with contextlib.suppress(apsw.ConnectionClosedError):
            found += connection.filename == str(path)
    return found


async def test_a_store_whose_opening_is_cancelled_leaves_no_connection_open(path: Path) -> None:
    step, is_reached = 1, True
    while is_reached:
        store = SqliteStore(path, clock=SystemClock())
        opening = Stepped(store.open(), step, early=True)
        result = await asyncio.create_task(outcome(opening))
        is_reached = opening.reached >= step
        if is_reached:
            assert isinstance(result, asyncio.CancelledError)
            assert open_connections(path) == 0
            await store.open()  # which goes at once
        await store.close()
        step += 1
    assert step > 2


async def test_a_slow_read_that_is_cancelled_at_its_first_step_leaves_one_reader(
    store: SqliteStore, path: Path
) -> None:
    for _ in range(3):
        reading = asyncio.ensure_future(store.one(int, SLOW, 1_000_000_000))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert open_connections(path) == 3  # that of the writer, of the loop and of one thread


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_store_whose_closing_is_cancelled_is_free_for_another(
    opened: Opener, path: Path, times: int
) -> None:
    store = await opened()
    await store.one(int, SLOW, 100_000)
    closing = asyncio.ensure_future(store.close())
    for _ in range(times):
        await asyncio.sleep(0)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert open_connections(path) == 0
    other = await opened(wait_s=0.5)
    await add(other, "a")
    assert await names(other) == ["a"]


def test_an_interruption_that_comes_too_late_spoils_no_checkpoint(tmp_path: Path) -> None:
    writer = Connection(
        str(tmp_path / "a.db"), SystemClock(), SqliteOptions(), RowPlans(), writes=True
    )
    try:
        writer.control("create table notes (text)")
        writer.interrupt()
        writer.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        assert writer.wal_pages == 0
        assert (tmp_path / "a.db-wal").stat().st_size == 0
    finally:
        writer.close()
