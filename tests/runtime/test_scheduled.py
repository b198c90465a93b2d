"""An event for later commits with its rows, waits for its time, and is then published once."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol

import pytest

from borough import Database, Event, Key, Service, System, Transaction, contract, on, post
from borough.errors import TransactionMisuse
from borough.reliability.lease import LeaseLost
from borough.runtime.pulse import until_quiet
from borough.testing import ManualClock, Mode, start
from tests.modes import IN_ONE_PROCESS
from tests.runtime.stage import TOPIC, Place, Placed, Stage, running, staged

START = datetime(2030, 1, 1, tzinfo=UTC)


async def later(place: Place, number: int, seconds: float, customer: str = "ann") -> str:
    async with place.db.transaction() as tx:
        return tx.publish(
            Placed(customer=customer, number=number), after=timedelta(seconds=seconds)
        )


async def topic(stage: Stage) -> list[int]:
    """The numbers that have been published, in order."""
    subscription = await stage.broker.subscribe("test", TOPIC, 0)
    end = await stage.broker.end(TOPIC)
    found: list[int] = []
    while subscription.position < end:
        taken = await subscription.take(1000)
        found += [json.loads(delivery.message.body)["data"]["number"] for delivery in taken]
    await subscription.close()
    return found


async def waiting(place: Place) -> int:
    return await place.store.one(int, "select count(*) from borough_scheduled")


async def test_it_waits_with_the_time_at_which_it_is_due(tmp_path: Path) -> None:
    async with staged(tmp_path, ManualClock(START)) as stage:
        orders = await stage.place("orders")
        zone = timezone(timedelta(hours=2))
        async with orders.db.transaction() as tx:
            event_id = tx.publish(
                Placed(customer="ann", number=1), at=datetime(2030, 1, 1, 5, tzinfo=zone)
            )
        row = await orders.store.one(dict[str, Any], "select * from borough_scheduled")
        assert (row["id"], row["key"]) == (event_id, "ann")
        assert row["due"] == datetime(2030, 1, 1, 3, tzinfo=UTC).timestamp()
        assert json.loads(row["body"])["time"] == "2030-01-01T03:00:00Z"
        assert await orders.store.all(int, "select 1 from borough_outbox") == []


async def test_a_failed_body_schedules_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        with pytest.raises(RuntimeError):  # noqa: PT012
            async with orders.db.transaction() as tx:
                tx.publish(Placed(customer="ann", number=1), after=timedelta(1))
                raise RuntimeError
        assert await waiting(orders) == 0
        assert orders.published.count == orders.db.scheduled.count == 0


async def test_many_in_one_commit_go_the_way_of_the_worker(tmp_path: Path) -> None:
    async with staged(tmp_path, ManualClock(START)) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            for number in range(400):
                tx.publish(Placed(customer="ann", number=number))
                tx.publish(Placed(customer="ann", number=number), after=timedelta(1))
        assert await orders.store.one(int, "select count(*) from borough_outbox") == 400
        assert (tx.sequence, await waiting(orders)) == (400, 400)


@pytest.mark.parametrize("moment", [START, START - timedelta(days=9), START.replace(year=1970)])
async def test_a_time_that_has_passed_is_now(tmp_path: Path, moment: datetime) -> None:
    async with staged(tmp_path, ManualClock(START)) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            event_id = tx.publish(Placed(customer="ann", number=1), at=moment)
        body = await orders.store.one(bytes, "select body from borough_outbox")
        assert json.loads(body)["time"] == "2030-01-01T00:00:00Z"
        async with orders.db.transaction() as tx:
            assert not await tx.cancel(event_id)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"at": datetime(2031, 1, 1)}, "has no time zone"),
    ({"after": timedelta(seconds=-1)}, "cannot be published 0:00:01 ago"),
    ({"after": timedelta.max}, "no calendar has a day"),
    ({"at": datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))}, "no time in UTC"),
    ({"at": START, "after": timedelta(1)}, "not both"),
    ({"after": 90}, r"after=90 is no timedelta; write after=timedelta\(...\)"),
    ({"at": "2030-01-01"}, r"at='2030-01-01' is no datetime; write at=datetime\(...\)"),
]


@pytest.mark.parametrize(("when", "expected"), WRONG)
async def test_what_is_no_time_is_refused(
    tmp_path: Path, when: dict[str, Any], expected: str
) -> None:
    async with staged(tmp_path, ManualClock(START)) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            with pytest.raises(TransactionMisuse, match=expected):
                tx.publish(Placed(customer="ann", number=1), **when)
        assert await waiting(orders) == 0


async def test_it_is_published_when_due_in_the_order_of_the_times(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock(START)) as stage:
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        async with running(relay):
            for number, seconds in ((4, 40), (2, 20), (1, 10), (3, 20), (5, 40.5)):
                await later(orders, number, seconds)
            await orders.place_order(0)
            await until_quiet([relay], stage.activity)
            assert await topic(stage) == [0]
            for seconds, expected in ((9, [0]), (1, [0, 1]), (30, [0, 1, 2, 3, 4])):
                clock.advance(seconds)
                await until_quiet([relay], stage.activity)
                assert await topic(stage) == expected
            assert await waiting(orders) == 1


async def test_the_relay_wakes_by_itself(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        async with running(relay):
            await later(orders, 2, 3600)
            await later(orders, 1, 0.2)
            async with asyncio.timeout(5):
                while not relay.published:
                    await stage.activity.wait(stage.activity.count)
            assert await topic(stage) == [1]


async def test_what_was_due_while_nobody_ran_is_published_after_the_start(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock(START)) as stage:
        orders = await stage.place("orders")
        for number in range(3):
            await later(orders, number, 60 * number + 60)
        clock.advance(125)
        relay = stage.relay(orders)
        async with running(relay):
            await until_quiet([relay], stage.activity)
            assert await topic(stage) == [0, 1]
            clock.advance(55)
            await until_quiet([relay], stage.activity)
        assert await topic(stage) == [0, 1, 2]


class WanderingClock(ManualClock):
    """Manual time whose wall clock can be set."""

    off_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.off_s)

    def epoch_s(self) -> float:
        return super().epoch_s() + self.off_s


async def test_a_clock_that_is_set_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := WanderingClock(START)) as stage:
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        async with running(relay):
            for number in range(5):
                await later(orders, number, 600 * number + 600)
            clock.off_s = -3600.0
            for _ in range(4):  # the alarm rings, and it is too early
                clock.advance(650)
                await until_quiet([relay], stage.activity)
            assert await topic(stage) == []
            clock.off_s = 0.0
            await until_quiet([relay], stage.activity)
            assert await topic(stage) == [0, 1, 2, 3]
            clock.off_s = 3600.0
            await until_quiet([relay], stage.activity)
            clock.off_s = -3600.0
            await until_quiet([relay], stage.activity)
        assert await topic(stage) == [0, 1, 2, 3, 4]
        assert await waiting(orders) == 0


async def test_a_relay_that_lost_its_lease_moves_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock(START)) as stage:
        orders = await stage.place("orders")
        await later(orders, 1, 60)
        lease = await orders.leases.take("relay")
        assert lease is not None
        clock.advance(60)
        async with orders.store.transaction() as tx:
            await tx.execute("update borough_leases set epoch = epoch + 1")
        with pytest.raises(LeaseLost):
            await stage.relay(orders)._relay(lease)
        assert await waiting(orders) == 1
        assert await orders.store.all(int, "select 1 from borough_outbox") == []


async def test_a_flood_is_moved_in_batches_each_once_and_in_order(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock(START)) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            for number in range(1300):
                moment = START + timedelta(seconds=1 + number // 100)
                tx.publish(Placed(customer="ann", number=number), at=moment)
        clock.advance(3600)
        relay = stage.relay(orders)
        async with running(relay):
            await until_quiet([relay], stage.activity)
        assert await topic(stage) == list(range(1300))


async def test_long_events_are_moved_a_few_at_a_time(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock(START)) as stage:
        orders = await stage.place("orders")
        for number in range(9):
            await later(orders, number, 1, customer="x" * 500_000)
        clock.advance(1)
        lease = await orders.leases.take("relay")
        assert lease is not None
        scheduled = stage.relay(orders)._later
        counts = [await scheduled.move(lease) for _ in range(4)]
        assert sum(counts) == 9
        assert 1 < counts[0] < 9
        assert counts[-1] == 0


async def test_cancelling_takes_back_what_still_waits(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock(START)) as stage:
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        first, second = await later(orders, 1, 10), await later(orders, 2, 10.5)
        await later(orders, 3, 11)
        async with running(relay):
            async with orders.db.transaction() as tx:
                assert await tx.cancel(first)
                assert not await tx.cancel(first)
                assert not await tx.cancel("of nobody")
            clock.advance(10.7)  # the alarm was set for what was taken back
            await until_quiet([relay], stage.activity)
            assert await topic(stage) == [2]
            async with orders.db.transaction() as tx:
                assert not await tx.cancel(second)
            clock.advance(1)
            await until_quiet([relay], stage.activity)
        assert await topic(stage) == [2, 3]


async def test_cancelling_is_undone_with_its_savepoint(tmp_path: Path) -> None:
    async with staged(tmp_path, ManualClock(START)) as stage:
        orders = await stage.place("orders")
        before = await later(orders, 1, 10)
        async with orders.db.transaction() as tx:
            here = tx.publish(Placed(customer="ann", number=2), after=timedelta(1))
            gone = tx.publish(Placed(customer="ann", number=3), after=timedelta(1))
            with pytest.raises(RuntimeError):  # noqa: PT012
                async with tx.savepoint():
                    assert await tx.cancel(before)
                    assert await tx.cancel(here)
                    tx.publish(Placed(customer="ann", number=4), after=timedelta(1))
                    raise RuntimeError
            assert await tx.cancel(gone)
            assert not await tx.cancel(gone)
        async with orders.db.transaction() as tx:
            assert await tx.cancel(tx.publish(Placed(customer="x", number=9), after=timedelta(1)))
            with pytest.raises(RuntimeError):  # noqa: PT012
                async with tx.savepoint():
                    tx.publish(Placed(customer="x", number=9), after=timedelta(1))
                    raise RuntimeError
        found = await orders.store.all(str, "select id from borough_scheduled order by due")
        assert found == [before, here]


class Booked(Event):
    """A table was booked."""

    guest: Key[str]


class Due(Event):
    """It is time for a table."""

    guest: Key[str]


@contract("inn", version="1.0", publishes=[Booked, Due])
class Inn(Protocol):
    """Takes guests."""

    @post("/tables")
    async def book(self, guest: str) -> str:
        """Book a table for tomorrow."""
        ...


class InnService(Service, Inn, name="inn"):
    db: Database

    async def open(self) -> None:
        async with self.db.transaction() as tx:
            await tx.execute("create table if not exists told (guest text, at text)")

    async def book(self, guest: str) -> str:
        async with self.db.transaction() as tx:
            tx.publish(Booked(guest=guest))
            return tx.publish(Due(guest=guest), after=timedelta(days=1))

    @on(Due, name="tell")
    async def tell(self, event: Due, tx: Transaction) -> None:
        await tx.execute("insert into told values ($1, 'today')", event.guest)


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_a_test_moves_the_clock_and_the_event_is_handled(mode: Mode) -> None:
    clock = ManualClock(START)
    async with start(System([InnService]), clock=clock, mode=mode) as inn:
        await inn.client(Inn).book("ann")
        await inn.quiet()
        told = "select guest from told"
        assert await inn.database("inn").all(str, told) == []
        clock.advance(86_400)
        await inn.quiet()
        assert await inn.database("inn").all(str, told) == ["ann"]


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_exactly_what_is_due_has_been_published(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    clock = ManualClock(START)
    due: dict[int, float] = {}
    ids: dict[int, str] = {}
    async with staged(tmp_path, clock) as stage:
        orders = await stage.place("orders")

        async def act(number: int) -> None:
            async with orders.db.transaction() as tx:
                for n in range(number, number + chance.choice((1, 1, 30))):
                    seconds = chance.choice((0, 0, 5, 5.5, 60, 600))
                    due[n] = clock.epoch_s() + seconds
                    event = Placed(customer=f"c{n % 3}", number=n)
                    ids[n] = tx.publish(event, after=timedelta(seconds=seconds))
                for n in chance.sample(sorted(ids), min(2, len(ids))):
                    if await tx.cancel(ids[n]):  # also when due, while no relay has moved it
                        del due[n]

        for life in range(3):
            relay = stage.relay(orders)
            async with running(relay):
                for step in range(6):
                    await act(1000 * life + 100 * step)
                    clock.advance(chance.choice((0, 1, 5, 30)))
                    await until_quiet([relay], stage.activity)
                    is_due = {n for n, at in due.items() if at <= clock.epoch_s()}
                    published = await topic(stage)
                    assert sorted(published) == sorted(is_due)
            clock.advance(chance.choice((0, 20, 300)))
