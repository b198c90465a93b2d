"""The pool of connections, without a server: who waits, who leaves, and what is given to whom."""

import asyncio
from typing import Any

import pytest

from borough.clock import SystemClock
from borough.errors import StoreUnavailable
from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.pool import Pool


class _Connection:
    """One that is always of use."""

    is_usable = True

    def give_up(self) -> None:
        """Nothing is there to be closed."""

    async def close(self, within_s: float) -> None:
        """Nothing is there to be closed."""


async def _connect(within_s: float) -> Any:
    return _Connection()


async def test_who_is_cancelled_as_a_connection_comes_back_loses_none() -> None:
    clock = SystemClock()
    pool = Pool(_connect, "shop", clock, PostgresLimits(connections=1))
    held = await pool.take(clock.monotonic() + 5)
    waiting = asyncio.create_task(pool.take(clock.monotonic() + 5))
    await asyncio.sleep(0)
    waiting.cancel()
    pool.give_back(held)
    assert isinstance(
        (await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError
    )
    assert pool.try_take() is held


async def test_there_is_time_left_to_refuse_a_call_for_which_no_connection_comes() -> None:
    clock = SystemClock()
    asked: list[float] = []

    async def connect(within_s: float) -> Any:
        asked.append(within_s)
        return _Connection()

    pool = Pool(connect, "shop", clock, PostgresLimits(connect_s=60))
    for left_s in (0.2, 30):
        await pool.take(clock.monotonic() + left_s)
    assert asked[0] <= 0.18
    assert asked[1] <= 29.75


async def test_who_comes_after_its_deadline_is_refused_at_once() -> None:
    clock = SystemClock()
    pool = Pool(_connect, "shop", clock, PostgresLimits())
    with pytest.raises(StoreUnavailable):
        await pool.take(clock.monotonic() - 1)


async def test_while_the_server_is_away_one_asks_for_all_who_wait() -> None:
    clock = SystemClock()
    asked = at_once = most = 0
    refused = asyncio.Event()

    async def connect(within_s: float) -> Any:
        nonlocal asked, at_once, most
        asked += 1
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        if asked <= 3:
            refused.set()
            raise ConnectionRefusedError
        return _Connection()

    pool = Pool(connect, "shop", clock, PostgresLimits())
    async with asyncio.TaskGroup() as group:
        group.create_task(pool.take(clock.monotonic() + 30))
        await refused.wait()
        for _ in range(7):
            group.create_task(pool.take(clock.monotonic() + 30))
    assert (asked, most) == (3 + 8, 1)
