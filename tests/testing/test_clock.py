"""A manual clock stands, moves when told, and repeats itself for equal seeds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from borough.testing import ManualClock


def test_all_its_times_move_together() -> None:
    start = datetime(2031, 5, 4, tzinfo=UTC)
    clock = ManualClock(start)
    before = clock.monotonic(), clock.epoch_s()
    clock.advance(1.5)
    assert clock.now() == start + timedelta(seconds=1.5)
    assert (clock.monotonic() - before[0], clock.epoch_s() - before[1]) == (1.5, 1.5)


def test_a_clock_that_stands_at_no_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone; write datetime"):
        ManualClock(datetime(2031, 5, 4))


def test_equal_seeds_give_equal_ids_tokens_and_choices() -> None:
    one, two, other = ManualClock(seed=1), ManualClock(seed=1), ManualClock(seed=2)
    assert [one.new_id() for _ in range(9)] == [two.new_id() for _ in range(9)]
    assert one.token(8) == two.token(8)
    assert one.random.random() == two.random.random()
    assert other.token(8) != ManualClock(seed=1).token(8)


def test_ids_of_a_standing_moment_keep_their_order() -> None:
    clock = ManualClock()
    ids = [clock.new_id() for _ in range(300)]
    assert ids == sorted(ids)
    assert {found.version for found in ids} == {7}


async def test_sleepers_wake_in_the_order_of_their_time_then_of_their_coming() -> None:
    clock, woken = ManualClock(), list[str]()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("c", 5), ("a", 1), ("b1", 2), ("b2", 2), ("b3", 2), ("now", 0)):
            group.create_task(sleeper(name, seconds))
        await asyncio.sleep(0)
        gone = group.create_task(sleeper("gone", 3))
        await asyncio.sleep(0)
        gone.cancel()
        clock.advance(2)
        await asyncio.sleep(0)
        assert woken == ["now", "a", "b1", "b2", "b3"]
        clock.advance(3)
    assert woken[-1] == "c"
