"""A handler hears all that it is owed on another broker, and goes on where it was when it comes back."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from borough.brokers.memory import MemoryBroker
from borough.errors import TopicReplaced
from borough.ports import Delivery, Subscription
from borough.reliability.lease import Terms
from borough.reliability.origin import is_of, origin_noted, told_apart
from borough.runtime.history import HistoryPage, Past, PastEvent
from borough.runtime.positions import Noted, Positions, noted_in
from borough.runtime.pulse import until_quiet
from tests.runtime.stage import TOPIC, Place, Stage, remember, running, staged

EMBEDDED = 1_790_000_000 << 31


class Another(MemoryBroker):
    """A broker of another kind, whose positions count from zero, too."""

    async def origin(self, topic: str) -> str:
        return "another 7"


async def carry(
    stage: Stage, orders: Place, mail: Place, broker: MemoryBroker, *numbers: int
) -> int:
    """Publish on a broker, and then hear what is there; returns how many came again."""
    relay = stage.relay(orders, broker)
    for number in numbers:
        await orders.place_order(number)
    async with running(relay):
        await until_quiet([relay], stage.activity)
    consumer = stage.consumer(mail, remember(mail), takes_transaction=True, broker=broker)
    await consumer.register()
    async with running(consumer):
        await until_quiet([consumer], stage.activity)
    assert await consumer.quiet()
    return consumer.duplicates


async def test_a_handler_that_moves_to_another_broker_and_back_hears_each_event_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        one, other = MemoryBroker(stage.clock), Another(stage.clock)
        await one.open()
        await other.open()
        await stage.consumer(mail, remember(mail), takes_transaction=True, broker=one).register()
        await carry(stage, orders, mail, one, 0, 1, 2)
        await carry(stage, orders, mail, other, 3, 4, 5, 6)
        assert await mail.seen() == list(range(7))
        assert await noted_in(mail.store, "mail.hear", TOPIC, "another 7") == 4
        assert await noted_in(mail.store, "mail.hear", TOPIC, "memory") == 3
        assert await noted_in(mail.store, "mail.hear", TOPIC, "another 8") == 0
        assert await carry(stage, orders, mail, one, 7) == 0
        assert await mail.seen() == list(range(8))
        assert "is of another log (memory, now another 7)" in caplog.text


async def test_a_process_on_the_broker_of_before_is_not_quiet_by_the_position_of_another(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        other = Another(stage.clock)
        await other.open()
        await stage.consumer(mail, remember(mail), takes_transaction=True).register()
        relay = stage.relay(orders, other)
        await orders.place_order(1)
        async with running(relay):
            await until_quiet([relay], stage.activity)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True, broker=other)
        assert not await consumer.quiet()
        assert (await consumer.progress()).lag == 1


class Replacing(MemoryBroker):
    """A broker whose topics can be deleted and made anew below their readers."""

    log = 1

    async def origin(self, topic: str) -> str:
        return f"replacing {self.log}"

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        return FirstLooking(self, await super().subscribe(group, topic, position))

    def replace(self) -> None:
        self.log += 1
        self._topics = {}


class FirstLooking:
    """Looks whether its topic is there still."""

    def __init__(self, broker: Replacing, inner: Subscription) -> None:
        self._broker, self._inner, self._log = broker, inner, broker.log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def take(self, limit: int) -> Sequence[Delivery]:
        while self._broker.log == self._log:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    return await self._inner.take(limit)
        raise TopicReplaced("it was deleted, and made anew")


async def test_a_topic_that_is_made_anew_below_its_reader_is_read_from_its_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    terms = Terms(lasting_s=0.3, renewal_s=0.1)
    async with staged(tmp_path, terms=terms) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        broker = Replacing(stage.clock)
        await broker.open()
        relay = stage.relay(orders, broker)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True, broker=broker)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(0)
            await until_quiet([relay, consumer], stage.activity)
            broker.replace()
            for number in range(1, 4):
                await orders.place_order(number)
            async with asyncio.timeout(60):
                await until_quiet([relay, consumer], stage.activity)
            assert await mail.seen() == list(range(4))
    assert "it was deleted, and made anew" in caplog.text
    assert "it goes on with the earliest event there" in caplog.text


class Silent:
    """A publisher that has published nothing yet."""

    async def read(self, topic: str, after: int) -> HistoryPage:
        nothing: tuple[PastEvent, ...] = ()
        return HistoryPage(events=nothing, end=0)


async def test_who_comes_to_a_broker_without_history_is_owed_all_that_is_published_there(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        before = Positions("mail.hear", TOPIC, mail.db, stage.broker)
        assert not (await before.read()).is_known
        other, past = Another(stage.clock), Past(TOPIC, Silent())
        lease = await mail.leases.take("consume")
        assert lease is not None
        come = await Positions("mail.hear", TOPIC, mail.db, other, past=past).take(lease)
        assert (come.sequence, come.is_known) == (0, True)


@pytest.mark.parametrize(
    ("position", "places", "kind"),
    [
        (EMBEDDED + 7, "", "embedded"),
        (EMBEDDED + 7, "asked", "embedded"),
        (100, "100 0:40 1:60", "kafka"),
        (7, "100 0:40 1:60", "rabbitmq"),
        (7, "asked", "rabbitmq"),
        (7, "", ""),
    ],
)
def test_what_an_earlier_version_has_noted_tells_its_broker(
    position: int, places: str, kind: str
) -> None:
    noted = Noted(position, 0, 0.0, 0, places, "")
    assert noted.made_in == kind
    assert is_of(noted.made_in, f"{kind} 1")
    assert origin_noted("kafka 2", position, places) == "kafka 2"


def test_a_position_is_of_one_log_only() -> None:
    assert is_of("kafka 1", "kafka 1")
    assert not is_of("kafka 1", "kafka 2")
    # A cluster may not know a topic's id for a moment: that is no other topic.
    assert is_of("kafka 1", "kafka")
    assert told_apart("kafka 1", "kafka") == told_apart("kafka", "kafka 1") == "kafka 1"
    assert told_apart("", "kafka 1") == "kafka 1"
    assert not is_of("rabbitmq", "kafka 1")
