"""Somebody sets the wall clock by an hour, on or back, while everything runs: nothing stops or doubles."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.errors import KeyInUse
from borough.reliability.lease import Terms
from borough.runtime.pulse import until_quiet
from borough.runtime.schedule import Schedule, ScheduledHandler
from borough.testing.clock import ManualClock
from tests.runtime.stage import remember, running, staged
from tests.runtime.test_answers import Receipt, Till, answering

HOUR_S = 3600.0
SHORT = Terms(lasting_s=0.5, renewal_s=0.1)


class SettableClock(SystemClock):
    """The machine's clocks, the wall clock shifted."""

    __slots__ = ("shift_s",)

    def __init__(self) -> None:
        super().__init__()
        self.shift_s = 0.0

    def epoch_s(self) -> float:
        return super().epoch_s() + self.shift_s


@pytest.mark.parametrize("steps", [(HOUR_S, -HOUR_S), (-HOUR_S, HOUR_S)])
async def test_events_go_on_when_the_clock_is_set(tmp_path: Path, steps: Sequence[float]) -> None:
    clock = SettableClock()
    async with staged(tmp_path, clock, terms=SHORT) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        relay = stage.relay(orders)
        async with running(relay, consumer):
            for number, step in enumerate((0.0, *steps)):
                clock.shift_s += step
                await orders.place_order(number)
                async with asyncio.timeout(5):  # a lease of the other time holds nothing up
                    await until_quiet([relay, consumer], stage.activity)
                await asyncio.sleep(SHORT.lasting_s)  # leases are renewed in the new time
        assert await mail.seen() == [0, 1, 2]


@pytest.mark.parametrize("step", [HOUR_S, -HOUR_S])
async def test_roles_are_taken_over_in_another_time(tmp_path: Path, step: float) -> None:
    clock = SettableClock()
    async with staged(tmp_path, clock, terms=SHORT) as stage:
        orders = await stage.place("orders")
        held = await orders.leases.take("relay")
        assert held is not None
        clock.shift_s = step
        other = await stage.place("orders")  # another process, after its holder has died
        async with asyncio.timeout(5):
            while (taken := await other.leases.take("relay")) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert taken.epoch == held.epoch + 1


def set_by(clock: ManualClock, step: float) -> None:
    """Set the wall clock alone."""
    clock._now += timedelta(seconds=step)


@pytest.mark.parametrize("step", [HOUR_S, -HOUR_S])
async def test_a_key_whose_clock_was_set_is_answered_once(tmp_path: Path, step: float) -> None:
    clock = ManualClock()
    async with staged(tmp_path, clock) as stage:
        till = Till(await stage.place("orders"), clock)

        async def overtaken() -> Receipt:
            """A run that has its mark; before it answers, the clock is set and a repeat comes."""
            set_by(clock, step)
            answer: Receipt = await till.run(answering(2))  # the mark counts as run out
            return answer

        with pytest.raises(KeyInUse):
            await till.run(answering(1), before=overtaken)
        assert await till.run(answering(3)) == Receipt(number=2)
        assert await till.place.store.all(int, "select number from placed") == [2]


async def test_a_schedule_runs_within_its_interval_after_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    clock = SettableClock()
    async with staged(tmp_path, clock, terms=SHORT) as stage:
        mail = await stage.place("mail")
        ran = asyncio.Event()

        async def tick() -> None:
            ran.set()

        handler = ScheduledHandler("mail.tick", "mail", 0.2, tick, False)
        schedule = Schedule(handler, mail.db, mail.leases, clock)
        async with running(schedule):
            async with asyncio.timeout(5):
                await ran.wait()
            for step in (-HOUR_S, HOUR_S):
                clock.shift_s += step
                ran.clear()
                async with asyncio.timeout(5):
                    await ran.wait()
