"""`@every` runs each interval, in one process at a time, and what was fenced writes nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from borough.reliability.lease import Lease, LeaseLost
from borough.runtime.leases import Leases
from borough.runtime.schedule import Schedule, ScheduledHandler
from borough.services.context import current_call, inside_transaction
from borough.testing.clock import ManualClock
from tests.runtime.stage import Place, running, staged


def schedule(place: Place, clock: ManualClock, function: Any, *, takes: bool) -> Schedule:
    handler = ScheduledHandler("orders.sweep", "orders", 60.0, function, takes)
    return Schedule(handler, place.db, place.leases, clock)


async def moved(clock: ManualClock, seconds: float, sleepers: int = 2) -> None:
    """Let time pass once the schedule and the lease both sleep."""
    async with asyncio.timeout(5):
        while sum(not w.done() for *_, w in clock._sleepers) < sleepers:  # noqa: ASYNC110
            await asyncio.sleep(0)
    clock.advance(seconds)


async def test_it_runs_once_each_interval(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")
        runs: asyncio.Queue[float] = asyncio.Queue()

        async def sweep() -> None:
            assert not inside_transaction()
            call = current_call()
            assert (call.operation, call.caller) == ("orders.sweep", "orders")
            await runs.put(clock.monotonic())

        async with running(schedule(place, clock, sweep, takes=False)):
            for expected in (60.0, 120.0, 180.0):
                await moved(clock, 60.0)
                async with asyncio.timeout(5):
                    assert await runs.get() == expected
            assert runs.empty()


async def test_the_form_with_a_transaction_commits_run_and_effects_together(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")
        ran = asyncio.Event()

        async def sweep(tx: Any) -> None:
            await tx.execute("insert into placed values (1, 'swept')")
            ran.set()

        sweeping = schedule(place, clock, sweep, takes=True)
        async with running(sweeping):
            await moved(clock, 60.0)
            async with asyncio.timeout(5):
                await ran.wait()
        assert await place.store.one(int, "select count(*) from placed") == 1
        last = await place.store.one(float, "select last_run from borough_schedules")
        assert last == clock.epoch_s()
        assert sweeping.handled == 1


async def test_a_restart_keeps_the_rhythm(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")
        ran = asyncio.Event()

        async def sweep() -> None:
            ran.set()

        async with running(schedule(place, clock, sweep, takes=False)):
            await moved(clock, 0.0)
        clock.advance(1000.0)
        async with running(schedule(place, clock, sweep, takes=False)), asyncio.timeout(5):
            await ran.wait()


async def test_restarts_do_not_put_off_what_ran_before_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")
        ran = asyncio.Event()

        async def sweep() -> None:
            ran.set()

        async with place.store.transaction() as tx:
            in_a_year = clock.epoch_s() + 365 * 86_400
            await tx.execute("insert into borough_schedules values ('orders.sweep', $1)", in_a_year)
        for _ in range(2):  # deployed more often than it runs
            async with running(schedule(place, clock, sweep, takes=False)):
                await moved(clock, 25.0)
        async with running(schedule(place, clock, sweep, takes=False)):
            await moved(clock, 10.0)
            async with asyncio.timeout(5):
                await ran.wait()


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3), asyncio.CancelledError()])
async def test_a_failed_run_is_logged_and_the_next_one_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")
        runs: asyncio.Queue[int] = asyncio.Queue()

        async def sweep(tx: Any) -> None:
            await runs.put(1)
            raise error

        sweeping = schedule(place, clock, sweep, takes=True)
        async with running(sweeping):
            for _ in range(2):
                await moved(clock, 60.0)
                async with asyncio.timeout(5):
                    await runs.get()
        assert sweeping.failed == 2
        assert "orders.sweep failed, again at its next time" in caplog.text


async def test_a_run_that_has_used_up_its_time_is_noted(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")
        due, ran = clock.epoch_s() + 60.0, asyncio.Event()

        async def sweep() -> None:
            clock.advance(61.0)
            ran.set()

        async with running(schedule(place, clock, sweep, takes=False)):
            await moved(clock, 60.0)
            async with asyncio.timeout(5):
                await ran.wait()
        assert await place.store.one(float, "select last_run from borough_schedules") == due


async def test_a_run_of_a_fenced_holder_commits_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")

        async def sweep(tx: Any) -> None:
            await tx.execute("insert into placed values (1, 'late')")

        lease = await place.leases.take("every orders.sweep")
        assert lease is not None
        clock.advance(6.0)
        other = await Leases(place.store, clock, "other").take("every orders.sweep")
        assert isinstance(other, Lease)
        with pytest.raises(LeaseLost):
            await schedule(place, clock, sweep, takes=True)._run_once(lease, clock.epoch_s())
        assert await place.store.one(int, "select count(*) from placed") == 0
