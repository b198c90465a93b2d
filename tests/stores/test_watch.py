"""A body that holds the writer for too long is undone, and told whose fault it was."""

import asyncio
import math
import time
from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.errors import DeadlineExceeded, ProcessStalled, StoreUnavailable, TransactionMisuse
from borough.stores.sqlite import SqliteStore
from borough.stores.sqlite.transaction import SqliteTransaction
from borough.stores.sqlite.watch import Hop, Watch
from tests.stores.bodies import ADD, SLOW, add, names, outcome
from tests.stores.conftest import Opener


def stand_still(seconds: float) -> None:
    """What too little CPU, or a pause, does to the whole process."""
    time.sleep(seconds)


async def test_a_body_that_waits_for_other_things_is_its_authors_fault(opened: Opener) -> None:
    store = await opened(body_s=0.5)
    is_next = asyncio.Event()

    async def body() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "late", 1)
            await is_next.wait()

    waiting = asyncio.ensure_future(outcome(body()))
    await asyncio.sleep(0)
    await add(store, "next")  # its turn comes when the body's time is over
    is_next.set()
    error = await waiting
    assert isinstance(error, TransactionMisuse)
    assert "held the writer for more than 0.5 s" in str(error)
    assert await names(store) == ["next"]


async def test_so_is_one_for_whose_end_nobody_waits(opened: Opener) -> None:
    store = await opened(body_s=0.5)

    async def body() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "late", 1)
            await asyncio.sleep(1.8)  # beyond the hard end, whatever the machine did meanwhile

    with pytest.raises(TransactionMisuse, match=r"held the writer for more than 0\.5 s"):
        await body()
    assert await names(store) == []


@pytest.mark.parametrize("then", ["a statement", "the end"])
async def test_a_process_that_stood_still_is_not(opened: Opener, then: str) -> None:
    store = await opened(body_s=0.2)

    async def body() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "late", 1)
            stand_still(0.8)
            await asyncio.sleep(0)
            if then == "a statement":
                await tx.execute(ADD, "later", 1)
            else:
                await asyncio.sleep(0.1)

    with pytest.raises(StoreUnavailable, match="the process stood still"):
        await body()
    assert await names(store) == []
    await add(store, "next")
    assert await names(store) == ["next"]


def hold_up_the_worker(store: SqliteStore, seconds: float) -> None:
    """What a starved machine does to the thread that a slow statement needs."""
    assert store._worker is not None
    store._worker.submit(lambda: time.sleep(seconds), lambda _result, _error: None)


async def hops(store: SqliteStore, tx: SqliteTransaction, times: int, seconds: float) -> None:
    for _ in range(times):
        hold_up_the_worker(store, seconds)
        await tx.one(int, SLOW, 1_000)


def with_slow_text(store: SqliteStore) -> SqliteStore:
    """From now on the text is read in the thread."""
    store._texts[SLOW].worked(math.inf, 0.0)
    return store


async def test_the_way_to_the_worker_is_not_the_bodys_time(opened: Opener) -> None:
    store = with_slow_text(await opened(body_s=0.8))
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
        await hops(store, tx, 3, 0.3)
        await tx.execute(ADD, "b", 1)
    assert await names(store) == ["a", "b"]


async def test_a_body_that_waits_after_its_hops_is_its_authors_fault(opened: Opener) -> None:
    store = with_slow_text(await opened(body_s=1.0))
    is_next = asyncio.Event()
    begun = time.monotonic()

    async def body() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "late", 1)
            await hops(store, tx, 1, 0.2)
            await is_next.wait()

    waiting = asyncio.ensure_future(outcome(body()))
    await asyncio.sleep(0)
    await add(store, "next")
    assert 1.2 <= time.monotonic() - begun < 3.0  # its hard end
    is_next.set()
    assert "the body held the writer" in str(await waiting)


async def test_hops_without_end_come_to_a_hard_end(opened: Opener) -> None:
    store = with_slow_text(await opened(body_s=0.2))
    begun = 0

    async def body() -> None:
        nonlocal begun
        async with store.transaction() as tx:
            for begun in range(1, 21):  # noqa: B007 - it is asked for below
                await hops(store, tx, 1, 0.15)

    with pytest.raises(ProcessStalled):
        await body()
    assert begun <= 5  # four of them take thrice `body_s`
    await add(store, "next")


async def test_a_statement_that_does_not_reach_the_worker_in_time_is_nobodys_fault(
    opened: Opener,
) -> None:
    store = with_slow_text(await opened(body_s=0.2))
    with pytest.raises(ProcessStalled):
        async with store.transaction() as tx:
            await hops(store, tx, 1, 0.7)


def burn(seconds: float) -> None:
    """Compute, on a machine that may be busy with other things."""
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass


@pytest.mark.parametrize(("computes_s", "whose"), [(0.02, "nobody's"), (0.12, "the author's")])
async def test_what_a_statement_computes_in_the_worker_is_the_bodys_time(
    store: SqliteStore, computes_s: float, whose: str
) -> None:
    watch = Watch(asyncio.get_running_loop(), SystemClock(), 0.1, lambda: None, lambda _body: None)
    body = store.transaction()
    body.begun = time.monotonic()
    hop = Hop(watch, body)
    hop.compute(lambda: burn(computes_s))
    stand_still(0.15)
    hop.end()
    assert watch.is_excused(body) == (whose == "nobody's")


async def test_a_short_standstill_is_made_good(opened: Opener) -> None:
    store = await opened(body_s=0.6)
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
        stand_still(0.65)
        await asyncio.sleep(0.1)
        await tx.execute(ADD, "b", 1)
    assert await names(store) == ["a", "b"]


class BehindClock(SystemClock):
    """One that says a little less than the timers of the loop."""

    behind_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() - self.behind_s


async def test_a_deadline_whose_timer_is_early_is_a_deadline(path: Path) -> None:
    clock = BehindClock()
    wait_s = 60.0
    store = SqliteStore(path, clock=clock, deadline=lambda: clock.monotonic() + wait_s)
    await store.open()
    try:
        await store.all(int, SLOW, 200_000)  # it is known as slow, and begins in the worker
        wait_s = 0.3
        asyncio.get_running_loop().call_later(0.1, setattr, clock, "behind_s", 0.2)
        with pytest.raises(DeadlineExceeded):
            async with store.transaction() as tx:
                await tx.all(int, SLOW, 500_000_000)
    finally:
        await store.close()
