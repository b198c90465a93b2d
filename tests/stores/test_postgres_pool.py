"""The pool of connections, without a server: who waits, who leaves, and what is given to whom."""

import asyncio
from typing import Any

import pytest

from borough.clock import SystemClock
from borough.errors import StoreUnavailable
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.pool import Pool


class _Connection:
    """One that is always of use."""

    def is_usable(self) -> bool:
        """Always."""
        return True

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


async def test_who_asks_a_server_that_refuses_one_more_takes_what_is_given_back() -> None:
    clock = SystemClock()
    made = 0
    refused = asyncio.Event()

    async def connect(within_s: float) -> Any:
        nonlocal made
        made += 1
        if made == 1:
            return _Connection()
        refused.set()
        raise asyncpg.TooManyConnectionsError("sorry, too many clients already")

    pool = Pool(connect, "shop", clock, PostgresLimits(connections=4))
    held = await pool.take(clock.monotonic() + 30)
    waiting = [asyncio.create_task(pool.take(clock.monotonic() + 30)) for _ in range(3)]
    await refused.wait()
    for task in waiting:
        pool.give_back(held)
        assert await task is held
    pool.give_back(held)
    assert pool.try_take() is held


async def test_who_comes_as_one_is_lost_makes_none_beside_whoever_waited() -> None:
    clock = SystemClock()
    pool = Pool(_connect, "shop", clock, PostgresLimits(connections=1))
    held = await pool.take(clock.monotonic() + 5)
    waiting = asyncio.create_task(pool.take(clock.monotonic() + 5))
    await asyncio.sleep(0)
    pool.lose(held)
    later = asyncio.create_task(pool.take(clock.monotonic() + 5))
    first = await waiting
    await asyncio.sleep(0)
    assert not later.done()
    pool.give_back(first)
    assert await later is first


async def test_a_call_that_came_too_late_says_nothing_of_the_server() -> None:
    clock = SystemClock()
    at_once = most = 0

    async def connect(within_s: float) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return _Connection()

    pool = Pool(connect, "shop", clock, PostgresLimits(connections=2))
    with pytest.raises(StoreUnavailable):
        await pool.take(clock.monotonic())
    await asyncio.gather(*(pool.take(clock.monotonic() + 5) for _ in range(2)))
    assert most == 2


async def test_whoever_asks_is_refused_when_the_pool_is_closed() -> None:
    clock = SystemClock()
    refused = asyncio.Event()

    async def connect(within_s: float) -> Any:
        refused.set()
        raise ConnectionRefusedError

    pool = Pool(connect, "shop", clock, PostgresLimits(connections=2))
    asking = [asyncio.create_task(pool.take(clock.monotonic() + 30)) for _ in range(2)]
    await refused.wait()
    await asyncio.sleep(0)
    await pool.close()
    for each in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(each, StoreUnavailable)


class _Slow(_Connection):
    """One whose closing does not end by itself."""

    def __init__(self) -> None:
        self.is_closed = False

    def give_up(self) -> None:
        """At once."""
        self.is_closed = True

    async def close(self, within_s: float) -> None:
        """As the driver does: at once where that is cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def test_a_pool_whose_closing_is_cancelled_leaves_no_connection_open() -> None:
    clock = SystemClock()
    made: list[_Slow] = []

    async def connect(within_s: float) -> Any:
        made.append(_Slow())
        return made[-1]

    pool = Pool(connect, "shop", clock, PostgresLimits(connections=3))
    for connection in [await pool.take(clock.monotonic() + 5) for _ in range(3)]:
        pool.give_back(connection)
    closing = asyncio.ensure_future(pool.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert [connection.is_closed for connection in made] == [True] * 3
