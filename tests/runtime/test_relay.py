"""The relay moves the outbox in order, at least once and without a gap."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from borough.brokers.embedded import EmbeddedBroker
from borough.errors import BrokerError
from borough.ports import Message
from borough.reliability.lease import LeaseLost
from borough.reliability.outbox import RelayTerms
from borough.runtime.leases import Leases
from borough.runtime.pulse import Pulse, until_quiet
from tests.runtime.stage import TOPIC, Place, Stage, running, staged


async def published(stage: Stage) -> list[int]:
    """The numbers in the topic, in its order."""
    subscription = await stage.broker.subscribe("test", TOPIC, 0)
    end = await stage.broker.end(TOPIC)
    found: list[Message] = []
    while subscription.position < end:
        found += [delivery.message for delivery in await subscription.take(1000)]
    await subscription.close()
    assert [message.sequence for message in found] == sorted(m.sequence for m in found)
    return [int(message.body.rpartition(b'"number":')[2].rstrip(b"}")) for message in found]


async def test_events_reach_the_topic_in_the_order_of_their_commits(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        async with running(relay):
            await asyncio.gather(*(orders.place_order(n) for n in range(1200)))
            await until_quiet([relay], stage.activity)
        committed = await orders.store.all(int, "select number from placed order by rowid")
        assert sorted(await published(stage)) == sorted(committed)
        assert relay.published == 1200


async def test_what_was_in_the_outbox_before_the_start_is_moved(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        for number in range(3):
            await orders.place_order(number)
        relay = stage.relay(orders)
        async with running(relay):
            await until_quiet([relay], stage.activity)
        assert await published(stage) == [0, 1, 2]


async def test_events_are_counted_by_topic(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        for number in range(5):
            await orders.place_order(number)
        async with orders.store.transaction() as tx:
            await tx.execute(
                "update borough_outbox set topic = $1 where sequence <= 2", "orders.Other"
            )
        relay = stage.relay(orders)
        async with running(relay):
            await until_quiet([relay], stage.activity)
            await orders.place_order(5)
            await until_quiet([relay], stage.activity)
        assert relay.published_by_topic == {"orders.Other": 2, TOPIC: 4}


async def test_stopping_moves_what_is_there(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        async with running(relay):
            await until_quiet([relay], stage.activity)
            await orders.place_order(1)
        assert await published(stage) == [1]


class FlakyBroker(EmbeddedBroker):
    """Fails its first publishes, after having appended or before."""

    def __init__(self, stage: Stage, failures: int, *, after: bool) -> None:
        super().__init__(stage.folder / "events", stage.clock)
        self.left = failures
        self.after = after

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.after:
            await super().publish(messages)
        if self.left:
            self.left -= 1
            raise BrokerError("no connection")
        await super().publish(messages)


@pytest.mark.parametrize("after", [False, True])
async def test_a_failing_broker_leaves_events_in_the_outbox_until_it_takes_them(
    tmp_path: Path, after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        broker = FlakyBroker(stage, 3, after=after)
        await broker.open()
        relay = stage.relay(orders, broker)
        async with running(relay):
            for number in range(5):
                await orders.place_order(number)
            await until_quiet([relay], stage.activity)
        await broker.close()
        assert await published(stage) == [0, 1, 2, 3, 4]
        assert relay.failed == 3
        assert "events wait in the outbox" in caplog.text


class Batches(EmbeddedBroker):
    """Notes how many bytes it was given at once."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.folder / "events", stage.clock)
        self.sizes: list[list[int]] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        self.sizes.append([len(message.body) for message in messages])
        await super().publish(messages)


@pytest.mark.parametrize(("limit", "longest"), [(1, 1), (1000, 9), (8 << 20, 20)])
async def test_a_batch_is_bounded_by_bytes_and_an_event_above_them_goes_alone(
    tmp_path: Path, limit: int, longest: int
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        for number in range(20):
            await orders.place_order(number)
        broker = Batches(stage)
        await broker.open()
        relay = stage.relay(orders, broker, RelayTerms(batch_bytes=limit))
        async with running(relay):
            await until_quiet([relay], stage.activity)
        await broker.close()
        assert all(sum(batch[:-1]) < limit for batch in broker.sizes)
        assert 1 <= max(map(len, broker.sizes)) <= longest
        assert len(broker.sizes) >= 20 // longest
        assert await published(stage) == list(range(20))


class PausedBroker(EmbeddedBroker):
    """Stands still before it publishes, as a process that the machine has paused."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.folder / "events", stage.clock)
        self.reached = asyncio.Event()
        self.resume = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> None:
        self.reached.set()
        await self.resume.wait()
        await super().publish(messages)


async def test_a_relay_that_lost_its_lease_deletes_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        broker = PausedBroker(stage)
        await broker.open()
        paused = stage.relay(orders, broker)
        await orders.place_order(1)
        lease = await orders.leases.take("relay")
        assert lease is not None
        moving = asyncio.create_task(paused._relay(lease))
        await broker.reached.wait()
        await _take_over(orders, stage)
        broker.resume.set()
        with pytest.raises(LeaseLost):
            await moving
        assert await orders.store.all(int, "select 1 from borough_outbox") == [1]
        await broker.close()
        next_one = stage.relay(orders)
        async with running(next_one):
            async with orders.store.transaction() as tx:
                await tx.execute("update borough_leases set until = 0")
            await until_quiet([next_one], stage.activity)
        assert await published(stage) == [1]


async def test_an_event_that_has_taken_anothers_number_meanwhile_is_sent_as_well(
    tmp_path: Path,
) -> None:
    """A promoted standby gives numbers once more of events that it never had."""
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        broker = PausedBroker(stage)
        await broker.open()
        relay = stage.relay(orders, broker)
        await orders.place_order(1)
        async with running(relay):
            await broker.reached.wait()
            async with orders.store.transaction() as tx:
                await tx.execute("update borough_outbox set id = 'another'")
            broker.resume.set()
            await until_quiet([relay], stage.activity)
        await broker.close()
        assert await published(stage) == [1, 1]


async def _take_over(place: Place, stage: Stage) -> None:
    async with place.store.transaction() as tx:
        await tx.execute("update borough_leases set until = 0")
    assert await Leases(place.store, stage.clock, "other").take("relay") is not None


async def test_a_beat_between_looking_and_waiting_is_not_missed() -> None:
    pulse = Pulse()
    seen = pulse.count
    pulse.beat()
    assert await pulse.wait(seen, 0.0)
    assert not await pulse.wait(pulse.count, 0.0)


class PickyBroker(EmbeddedBroker):
    """Never takes an event with a certain number, nor a batch that it is in."""

    def __init__(self, stage: Stage, number: int) -> None:
        super().__init__(stage.folder / "events", stage.clock)
        self.refused = f'"number":{number}}}'.encode()
        self.keys: list[str | None] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        if any(self.refused in message.body for message in messages):
            raise BrokerError("it is too long")
        self.keys += [message.key for message in messages]
        await super().publish(messages)


async def test_an_event_that_the_broker_never_takes_is_named_and_holds_up_none_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        broker = PickyBroker(stage, 20)
        await broker.open()
        for number in range(1, 31):
            await orders.place_order(number)
        relay = stage.relay(orders, broker)
        (named,) = await orders.store.all(
            str, "select id from borough_outbox where sequence = $1", 20
        )
        async with running(relay), asyncio.timeout(20):
            while f": event {named} (orders.Orders.Placed, " not in caplog.text:
                await stage.activity.wait(stage.activity.count, 0.05)
            assert relay.published == 19
            assert str(relay.trouble).endswith(" bytes): it is too long")
            broker.refused = b"none"
            await until_quiet([relay], stage.activity)
        assert relay.published == 30
        assert relay.trouble is None
        await broker.close()


async def test_a_key_that_an_earlier_version_took_is_sent_as_its_digest(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        broker = PickyBroker(stage, 0)
        await broker.open()
        await orders.place_order(1)
        async with orders.db.transaction() as tx:
            await tx.execute("update borough_outbox set key = $1", "k" * 140_000)
        relay = stage.relay(orders, broker)
        async with running(relay), asyncio.timeout(20):
            await until_quiet([relay], stage.activity)
        (key,) = broker.keys
        assert key is not None
        assert key.startswith("sha256:")
        await broker.close()
