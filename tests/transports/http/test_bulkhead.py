"""A few wait for a place, get it in turn, and whoever leaves or is too late takes none with them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


async def test_one_more_than_may_wait_is_refused_and_the_others_go_on(full: Bulkhead) -> None:
    first, second = await waiting(full), await waiting(full)
    assert not await full.enter(NO_DEADLINE)
    for each in first, second:
        full.leave()
        assert await each
    full.leave()


async def test_after_a_burst_nobody_waits() -> None:
    now = 0.0
    bulkhead = Bulkhead(1, 2, 60.0, lambda: now)
    bulkhead.in_flight = 1
    came = [await waiting(bulkhead) for _ in range(2)]
    now = 61.0
    assert not await bulkhead.enter(NO_DEADLINE)
    assert [await each for each in came] == [False] * 2
    bulkhead.leave()
    assert bulkhead.in_flight == 0


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


async def test_who_waits_in_vain_has_most_of_its_time_left_for_something_else() -> None:
    now = 0.0
    hurried = Bulkhead(1, 2, 60.0, lambda: now)
    hurried.in_flight = 1
    late = await waiting(hurried, deadline=10.0)
    now = 1.1
    hurried.leave()
    assert not await late
    assert hurried.in_flight == 0


async def test_overload_is_over_once_a_quarter_of_the_places_is_free() -> None:
    now = 0.0
    bulkhead = Bulkhead(8, 1, 60.0, lambda: now)
    bulkhead.in_flight = 8
    early = await waiting(bulkhead)
    now = 61.0
    assert not await bulkhead.enter(NO_DEADLINE)
    assert not await early
    bulkhead.leave()
    bulkhead.in_flight += 1
    assert not await bulkhead.enter(NO_DEADLINE), "too few are free"
    bulkhead.leave()
    bulkhead.leave()
    bulkhead.in_flight += 2
    following = await waiting(bulkhead)
    assert not following.done()
    bulkhead.leave()
    assert await following


STEPS = st.lists(st.sampled_from(["call", "call", "leave", "cancel", "cancel late", "later"]))


@given(limit=st.integers(1, 4), burst=st.integers(1, 4), steps=STEPS)
def test_no_place_is_lost_or_given_twice(limit: int, burst: int, steps: list[str]) -> None:
    async def play() -> None:
        now, at_work, came = 0.0, 0, list[asyncio.Task[bool]]()
        bulkhead = Bulkhead(limit, burst, 60.0, lambda: now)
        for step in [*steps, *["leave"] * (limit + len(steps))]:
            if step == "call" and bulkhead.in_flight < limit:
                bulkhead.in_flight += 1
                at_work += 1
            elif step == "call":
                came.append(await waiting(bulkhead))
            elif step.startswith("cancel") and came:
                came[0].cancel()
            elif step == "later":
                now += 40.0
            if (step in {"leave", "cancel late"}) and at_work:
                bulkhead.leave()
                at_work -= 1
                if step == "cancel late" and came:
                    came[0].cancel()
            for _ in range(3):
                await asyncio.sleep(0)
            done = [each for each in came if each.done()]
            began = [each for each in done if not each.cancelled() and each.result()]
            came = [each for each in came if not each.done()]
            at_work += len(began)
            assert at_work == bulkhead.in_flight <= limit
            assert not came or at_work == limit, "room, and somebody waits"
            assert len(came) <= burst
        assert not at_work
        assert not came

    asyncio.run(play())
