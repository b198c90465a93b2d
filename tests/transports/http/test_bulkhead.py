"""A few wait for a place, get it in turn, and whoever leaves or is too late takes none with them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from borough.services.context import NO_DEADLINE
from borough.transports.http.bulkhead import Bulkhead


@pytest.fixture
async def full() -> AsyncIterator[Bulkhead]:
    """One of one place is taken. At the end all have left."""
    made = Bulkhead(1, 2, 60.0, asyncio.get_running_loop().time)
    made.in_flight = 1
    yield made
    assert made.in_flight == 0


async def waiting(bulkhead: Bulkhead, deadline: float = NO_DEADLINE) -> asyncio.Task[bool]:
    task = asyncio.create_task(bulkhead.enter(deadline))
    await asyncio.sleep(0)
    return task


async def test_places_are_handed_on_in_turn(full: Bulkhead) -> None:
    first, second = await waiting(full), await waiting(full)
    full.leave()
    assert await first
    assert not second.done()
    assert full.in_flight == 1
    full.leave()
    assert await second
    full.leave()


async def test_one_more_than_may_wait_is_overload_in_which_nobody_waits(full: Bulkhead) -> None:
    came = [await waiting(full) for _ in range(3)]
    assert [await each for each in came] == [False] * 3
    assert not await full.enter(NO_DEADLINE)
    full.leave()


async def test_nobody_waits_beyond_the_deadline_or_a_burst(
    full: Bulkhead,
) -> None:
    time = asyncio.get_running_loop().time
    assert not await full.enter(time() + 0.01)
    full.leave()
    brief = Bulkhead(1, 2, 0.01, time)
    brief.in_flight = 1
    assert not await brief.enter(NO_DEADLINE)
    brief.leave()
    assert brief.in_flight == 0


async def test_who_is_cancelled_waits_no_more(full: Bulkhead) -> None:
    first, second = await waiting(full), await waiting(full)
    first.cancel()
    full.leave()  # before the task has heard of it
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await first
    full.leave()


async def test_who_is_cancelled_with_a_place_in_hand_hands_it_on(full: Bulkhead) -> None:
    first, second = await waiting(full), await waiting(full)
    full.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
    full.leave()
