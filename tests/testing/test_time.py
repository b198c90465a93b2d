"""A test that moves its clock finds done what was due by then: events for later, and schedules."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

import pytest

from borough import Clock, Database, Event, Key, Service, Transaction, contract, every, get, on
from borough.runtime.system import System
from borough.testing import ManualClock, Mode, NotQuiet, start

DAY_S = 86_400.0


class Ripe(Event):
    kind: Key[str]


@contract("garden", version="1.0", publishes=[Ripe])
class Garden(Protocol):
    """Grows things."""

    @get("/sow")
    async def sow(self) -> None: ...


class GardenService(Service, Garden):
    db: Database
    clock: Clock

    async def open(self) -> None:
        self.watered: list[float] = []
        self.picked: list[float] = []
        self.hold: asyncio.Event | None = None
        self.full = False

    async def sow(self) -> None:
        async with self.db.transaction() as tx:
            tx.publish(Ripe(kind="bean"), after=timedelta(days=60))

    @every("1d")
    async def water(self) -> None:
        if self.hold is not None:
            await self.hold.wait()
        self.watered.append(self.clock.monotonic())

    @every("7d")
    async def pick(self, tx: Transaction) -> None:
        self.picked.append(self.clock.monotonic())
        tx.publish(Ripe(kind="pea"))

    @on(Ripe)
    async def eat(self, event: Ripe) -> None:
        if self.full:
            raise ValueError("full")
        self.picked.append(-self.clock.monotonic())


@pytest.mark.parametrize("mode", ["local", "wire"])
async def test_months_pass_and_each_day_has_its_run(mode: Mode) -> None:
    clock = ManualClock()
    async with start(System([GardenService]), mode=mode, clock=clock) as running:
        await running.client(Garden).sow()
        for _ in range(70):
            clock.advance(timedelta(days=1))
            await running.quiet()
        garden: GardenService = running.service("garden")
        days = [at / DAY_S for at in garden.watered]
        assert days == [float(day) for day in range(1, 71)]
        weeks = [float(day) for week in range(7, 71, 7) for day in (week, -week)]
        assert sorted(at / DAY_S for at in garden.picked) == sorted([*weeks, -60.0])


async def test_a_schedule_that_does_not_end_is_named_by_who_waits_for_quiet() -> None:
    clock = ManualClock()
    async with start(System([GardenService]), clock=clock) as running:
        garden: GardenService = running.service("garden")
        garden.hold = asyncio.Event()
        clock.advance(DAY_S)
        with pytest.raises(NotQuiet, match=r"garden\.water is still at work"):
            await running.quiet(timeout_s=0.3)
        garden.hold.set()
        await running.quiet()
        assert garden.watered == [DAY_S]


@pytest.mark.parametrize("mode", ["local", "wire"])
async def test_an_event_that_was_given_up_is_told_once_by_who_waits_for_quiet(mode: Mode) -> None:
    clock = ManualClock()
    settings = {"events.attempts": 1}
    async with start(System([GardenService]), mode=mode, clock=clock, settings=settings) as running:
        garden: GardenService = running.service("garden")
        garden.full = True
        await running.client(Garden).sow()
        clock.advance(timedelta(days=61))
        with pytest.raises(NotQuiet, match=r"garden\.eat has given up event .*: ValueError: full"):
            await running.quiet()
        await running.quiet()
