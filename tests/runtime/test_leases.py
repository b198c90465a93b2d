"""One process has a role; whoever lost it writes nothing more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from borough.errors import DeadlineExceeded, StoreUnavailable
from borough.ports import Companion
from borough.reliability.lease import Lease, LeaseLost, Terms
from borough.runtime.leases import Leases, check_lease
from borough.stores.schema import borough_migrations
from borough.stores.sqlite import SqliteStore
from borough.stores.sqlite.transaction import SqliteTransaction
from borough.testing.clock import ManualClock
from tests.runtime.stage import Place, staged
from tests.stores.bodies import Stepped, outcome


def others(place: Place, clock: ManualClock, name: str = "other") -> Leases:
    """The leases of another process on the same database."""
    return Leases(place.store, clock, name)


async def test_a_role_has_one_holder_until_it_is_released(tmp_path: Path) -> None:
    clock = ManualClock()
    async with staged(tmp_path, clock) as stage:
        place = await stage.place("orders")
        lease = await place.leases.take("relay")
        assert lease is not None
        assert await others(place, clock).take("relay") is None
        await place.leases.release(lease)
        taken = await others(place, clock).take("relay")
        assert taken is not None
        assert taken.epoch == lease.epoch + 1


async def test_a_role_that_ran_out_is_taken_and_its_past_holder_fenced(tmp_path: Path) -> None:
    clock = ManualClock()
    async with staged(tmp_path, clock) as stage:
        place = await stage.place("orders")
        lease = await place.leases.take("relay")
        assert lease is not None
        clock.advance(6.0)
        assert await others(place, clock).take("relay") is not None
        with pytest.raises(LeaseLost):  # noqa: PT012
            async with place.store.transaction() as tx:
                await tx.execute("insert into placed values (1, 'late')")
                await check_lease(tx, lease)
        assert await place.store.one(int, "select count(*) from placed") == 0


async def test_a_late_release_does_not_take_the_role_from_its_new_holder(tmp_path: Path) -> None:
    clock = ManualClock()
    async with staged(tmp_path, clock) as stage:
        place = await stage.place("orders")
        lease = await place.leases.take("relay")
        clock.advance(6.0)
        taken = await others(place, clock).take("relay")
        assert lease is not None
        assert taken is not None
        await place.leases.release(lease)
        async with place.store.transaction() as tx:
            await check_lease(tx, taken)


async def test_work_goes_on_while_the_role_is_renewed(tmp_path: Path) -> None:
    clock = ManualClock()
    async with staged(tmp_path, clock) as stage:
        place = await stage.place("orders")
        stopping, begun = asyncio.Event(), asyncio.Event()

        async def work(lease: Lease) -> None:
            begun.set()
            await stopping.wait()

        task = asyncio.create_task(place.leases.hold("relay", work, stopping))
        await begun.wait()
        for _ in range(10):
            await _renewed(place, clock)
        assert await others(place, clock).take("relay") is None
        stopping.set()
        await task
        assert await others(place, clock).take("relay") is not None


async def _renewed(place: Place, clock: ManualClock, role: str = "relay") -> None:
    """Let two seconds pass and the renewal that is due happen."""
    async with asyncio.timeout(5):
        while not clock._sleepers:  # noqa: ASYNC110
            await asyncio.sleep(0)
        clock.advance(2.0)
        until = clock.epoch_s() + 6.0
        question = "select until from borough_leases where role = $1"
        while await place.store.one(float, question, role) != until:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_work_is_cancelled_when_the_role_was_taken_by_another(tmp_path: Path) -> None:
    clock = ManualClock()
    async with staged(tmp_path, clock) as stage:
        place = await stage.place("orders")
        stopping, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work(lease: Lease) -> None:
            begun.set()
            try:
                await stopping.wait()
            finally:
                ended.set()

        task = asyncio.create_task(place.leases.hold("relay", work, stopping))
        await begun.wait()
        async with place.store.transaction() as tx:  # as a process does while this one is paused
            await tx.execute("update borough_leases set owner = 'other', epoch = epoch + 1")
        async with asyncio.timeout(5):
            while not clock._sleepers:  # noqa: ASYNC110
                await asyncio.sleep(0)
            clock.advance(2.0)
            await ended.wait()
        stopping.set()
        await task


async def test_work_that_fails_is_begun_anew_with_another_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path, terms=Terms(renewal_s=0.01)) as stage:
        place = await stage.place("orders")
        stopping = asyncio.Event()
        epochs: list[int] = []

        async def work(lease: Lease) -> None:
            epochs.append(lease.epoch)
            if len(epochs) < 3:
                raise RuntimeError("broken")
            if len(epochs) == 4:
                stopping.set()  # the third returned before its time

        async with asyncio.timeout(5):
            await place.leases.hold("relay", work, stopping)
        assert epochs == [1, 2, 3, 4]
        assert "relay failed and is begun anew" in caplog.text


async def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        place = await stage.place("orders")
        lease = await place.leases.take("relay")
        assert lease is not None
        clock._now -= timedelta(hours=1)
        taken = await others(place, clock).take("relay")
        assert taken is not None
        assert taken.epoch == lease.epoch + 1
        async with place.store.transaction() as tx:
            with pytest.raises(LeaseLost):
                await check_lease(tx, lease)


async def test_a_role_that_is_not_to_be_had_for_three_terms_is_told_in_detail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "borough.leases")
    terms = Terms(lasting_s=0.5, renewal_s=0.02)
    async with staged(tmp_path, terms=terms) as stage:
        place = await stage.place("orders")
        second = Leases(place.store, stage.clock, "second", terms)
        stopping = asyncio.Event()

        async def work(lease: Lease) -> None:
            await stopping.wait()

        tasks = [
            asyncio.create_task(each.hold("relay", work, stopping))
            for each in (place.leases, second)
        ]
        async with asyncio.timeout(60):
            while "relay was not to be had for" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        stopping.set()
        await asyncio.gather(*tasks)


async def test_a_waiting_process_takes_over_when_the_holder_stops(tmp_path: Path) -> None:
    async with staged(tmp_path, terms=Terms(renewal_s=0.02)) as stage:
        place = await stage.place("orders")
        second = Leases(place.store, stage.clock, "second", Terms(renewal_s=0.02))
        stopping, never = asyncio.Event(), asyncio.Event()
        begun: asyncio.Queue[str] = asyncio.Queue()

        async def work(lease: Lease) -> None:
            await begun.put(lease.owner)
            await (stopping if lease.owner != "second" else never).wait()

        one = asyncio.create_task(place.leases.hold("relay", work, stopping))
        first = await begun.get()
        two = asyncio.create_task(second.hold("relay", work, never))
        stopping.set()
        async with asyncio.timeout(5):
            assert await begun.get() == "second" != first
        never.set()
        await asyncio.gather(one, two)


async def test_cancelling_ends_the_work_and_frees_the_role(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        place = await stage.place("orders")
        begun, ended = asyncio.Event(), asyncio.Event()

        async def work(lease: Lease) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = asyncio.create_task(place.leases.hold("relay", work, asyncio.Event()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()
        assert await Leases(place.store, stage.clock, "other").take("relay") is not None


class Failing(SqliteStore):
    """A store whose transactions fail while `fault` is set, and that tells of each."""

    fault: Exception | None = None
    failed: int = 0

    def transaction(
        self, companion: Companion | None = None, *, serializable: bool = True
    ) -> SqliteTransaction:
        if self.fault is not None:
            self.failed += 1
            raise self.fault
        return super().transaction(companion, serializable=serializable)


@pytest.mark.parametrize("fault", [DeadlineExceeded("late"), StoreUnavailable("late"), OSError(5)])
async def test_a_renewal_that_fails_in_any_way_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    clock = ManualClock()
    store = Failing(tmp_path / "orders.db", clock=clock)
    await store.open()
    await store.migrate("borough", borough_migrations(store.dialect))
    place = Place("orders", store, clock, None)
    stopping, work = asyncio.Event(), Stubborn()
    task = asyncio.create_task(place.leases.hold("relay", work, stopping))
    lease = await work.begun.get()
    store.fault = fault
    async with asyncio.timeout(30):
        for failed in (1, 2):
            while not clock._sleepers:  # noqa: ASYNC110
                await asyncio.sleep(0)
            clock.advance(2.0)
            while store.failed < failed:  # noqa: ASYNC110
                await asyncio.sleep(0)
        store.fault = None
        await _renewed(place, clock)
        while lease.until != clock.monotonic() + 6.0:  # noqa: ASYNC110
            await asyncio.sleep(0)
    stopping.set()
    work.free.set()
    await task
    await store.close()
    assert caplog.text.count("leases cannot be renewed now") == 1


class Stubborn:
    """Work that ends when it is `free` to, as what waits for a slow disk, and counts how often it was told to."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.begun: asyncio.Queue[Lease] = asyncio.Queue()
        self.told: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, lease: Lease) -> None:
        await self.begun.put(lease)
        until = asyncio.get_running_loop().time() + 30  # a test that fails comes to its end
        while not self.free.is_set():
            try:
                async with asyncio.timeout_at(until):
                    await self.free.wait()
            except asyncio.CancelledError:
                self.told.put_nowait(None)


async def test_the_work_of_a_lost_role_is_told_once_to_end_and_has_the_lease_no_longer(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with staged(tmp_path, clock) as stage:
        place = await stage.place("orders")
        stopping, lost, kept = asyncio.Event(), Stubborn(), Stubborn()
        tasks = [asyncio.create_task(place.leases.hold("relay", lost, stopping))]
        lease = await lost.begun.get()
        tasks.append(asyncio.create_task(place.leases.hold("reader", kept, stopping)))
        await kept.begun.get()
        until = lease.until
        async with place.store.transaction() as tx:
            await tx.execute("update borough_leases set owner = 'other' where role = 'relay'")
        for _ in range(3):
            await _renewed(place, clock, "reader")
        await lost.told.get()
        told_once, still_until = lost.told.empty(), lease.until
        stopping.set()
        lost.free.set()
        kept.free.set()
        await asyncio.gather(*tasks)
        assert told_once
        assert still_until == until


async def test_a_role_is_free_when_its_work_has_ended_however_often_that_is_cancelled(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        place = await stage.place("orders")
        work = Stubborn()
        task = asyncio.create_task(place.leases.hold("relay", work, asyncio.Event()))
        await work.begun.get()
        task.cancel()
        await work.told.get()
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        has_ended = task.done()
        free_for = await Leases(place.store, stage.clock, "other").take("relay")
        work.free.set()
        assert not has_ended
        assert free_for is None
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await Leases(place.store, stage.clock, "other").take("relay") is not None


@pytest.mark.parametrize("early", [True, False])
async def test_a_role_is_free_at_whatever_moment_its_holder_was_cancelled(
    tmp_path: Path, early: bool
) -> None:
    async with staged(tmp_path) as stage:
        place = await stage.place("orders")
        step, is_reached = 0, True
        while is_reached:
            step += 1
            stopping = asyncio.Event()

            async def work(lease: Lease, stopping: asyncio.Event = stopping) -> None:
                stopping.set()

            role = f"role {step}"
            holding = Stepped(place.leases.hold(role, work, stopping), step, early=early)
            await asyncio.create_task(outcome(holding))
            is_reached = holding.reached >= step
            assert await Leases(place.store, stage.clock, "other").take(role) is not None
        assert step > 3


class Late(SqliteStore):
    """A store of whose transactions one, when that is asked for, begins late."""

    may_begin: asyncio.Event | None = None
    is_late: bool = False

    def transaction(self, companion: Companion | None = None, *, serializable: bool = True) -> Any:
        made = super().transaction(companion, serializable=serializable)
        may_begin, self.may_begin = self.may_begin, None
        return made if may_begin is None else self._begun_late(made, may_begin)

    @asynccontextmanager
    async def _begun_late(
        self, made: SqliteTransaction, may_begin: asyncio.Event
    ) -> AsyncIterator[SqliteTransaction]:
        self.is_late = True
        await may_begin.wait()
        async with made as tx:
            yield tx


async def test_a_role_that_is_given_back_during_a_renewal_is_free(tmp_path: Path) -> None:
    clock = ManualClock()
    store = Late(tmp_path / "orders.db", clock=clock)
    await store.open()
    await store.migrate("borough", borough_migrations("sqlite"))
    leases, stopping = Leases(store, clock, "one"), asyncio.Event()
    begun = asyncio.Semaphore(0)
    kept, given_back = asyncio.Event(), asyncio.Event()

    async def work(ends: asyncio.Event) -> None:
        begun.release()
        await ends.wait()

    keeping = asyncio.create_task(leases.hold("keeps", lambda _: work(kept), stopping))
    giving = asyncio.create_task(leases.hold("gives", lambda _: work(given_back), given_back))
    async with asyncio.timeout(5):
        await begun.acquire()
        await begun.acquire()
        while not clock._sleepers:  # noqa: ASYNC110
            await asyncio.sleep(0)
        store.may_begin = may_begin = asyncio.Event()
        clock.advance(2.0)
        while not store.is_late:  # noqa: ASYNC110
            await asyncio.sleep(0)
        given_back.set()
        await giving
        may_begin.set()
        until = clock.epoch_s() + 6.0
        question = "select until from borough_leases where role = 'keeps'"
        while await store.one(float, question) != until:  # noqa: ASYNC110
            await asyncio.sleep(0)
    other = Leases(store, clock, "other")
    assert await other.take("keeps") is None
    assert await other.take("gives") is not None
    stopping.set()
    kept.set()
    await keeping
    await store.close()
