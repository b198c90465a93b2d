"""Keyed calls whose transactions stand side by side."""

import asyncio
from pathlib import Path
from typing import Any

from borough.ports import StoreTransaction
from borough.testing.clock import ManualClock
from tests.runtime.stage import Place, staged
from tests.runtime.test_answers import Receipt, Till
from tests.runtime.test_odd_keys import on_server
from tests.servers.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

_WAITING = """
select exists (select from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock')
"""


async def somebody_waits(place: Place) -> None:
    async with asyncio.timeout(30):
        while not await place.store.one(bool, _WAITING):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_a_repeat_that_comes_while_the_answer_commits_gets_it_and_runs_nothing(
    tmp_path: Path, postgres_url: str
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await on_server(stage, "orders", postgres_url), clock)
        answered, may_commit = asyncio.Event(), asyncio.Event()

        async def first(tx: StoreTransaction) -> Any:
            answer = await tx.answer(Receipt(number=1))
            answered.set()
            await may_commit.wait()
            return answer

        async def again(tx: StoreTransaction) -> Any:
            return await tx.answer(Receipt(number=2))

        run = asyncio.create_task(till.run(first))
        await answered.wait()
        repeat = asyncio.create_task(till.run(again))
        await somebody_waits(till.place)
        may_commit.set()
        assert await run == await repeat == Receipt(number=1)
        assert till.runs == 1
        assert await till.rows("borough_marks") == 0


async def test_a_repeat_that_comes_while_a_run_gives_its_key_back_runs(
    tmp_path: Path, postgres_url: str
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await on_server(stage, "orders", postgres_url), clock)
        given_back, may_commit = asyncio.Event(), asyncio.Event()

        async def give_back() -> None:
            async with till.place.store.transaction(serializable=False) as tx:
                await tx.execute("delete from borough_marks")
                given_back.set()
                await may_commit.wait()

        async def run(tx: StoreTransaction) -> Any:
            return await tx.answer(Receipt(number=1))

        await till.calls.begin("orders.Charges.charge", "", "order-1", b"", 5, lambda value: value)
        giving = asyncio.create_task(give_back())
        await given_back.wait()
        repeat = asyncio.create_task(till.run(run))
        await somebody_waits(till.place)
        may_commit.set()
        await giving
        assert await repeat == Receipt(number=1)
