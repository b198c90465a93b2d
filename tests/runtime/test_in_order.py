"""On a broker that gives no order, each key still sees its events in order, each once."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.ports import Broker, Delivery, Message, Subscription
from borough.runtime.consumer import Consumer
from borough.runtime.event_handler import EventHandler
from borough.runtime.history import AFTER_ALL, HistoryPage, Past, PastEvent
from borough.runtime.in_order import InOrder
from borough.runtime.pulse import until_quiet
from borough.testing.clock import ManualClock
from tests.runtime.stage import PLACED, TOPIC, Place, Stage, remember, running, staged


class Shuffled:
    """A subscription that delivers each message one to three times, within a reach in any order."""

    def __init__(self, broker: "Shuffling") -> None:
        self._broker = broker
        self._waiting: list[Message] = []
        self._receipts = 0
        self.open_receipts: set[int] = set()
        self.position = 0
        self.missed = 0

    async def take(self, limit: int) -> Sequence[Delivery]:
        while not (self._waiting or self._broker.published):
            self._broker.come.clear()
            await self._broker.come.wait()
        source = self._broker.random
        while self._broker.published:
            self._waiting += [self._broker.published.pop(0)] * source.randint(1, 3)
        found: list[Delivery] = []
        while self._waiting and len(found) < limit:
            at = source.randrange(min(self._broker.reach, len(self._waiting)))
            self._receipts += 1
            self.open_receipts.add(self._receipts)
            found.append(Delivery(self._waiting.pop(at), self._receipts))
        return found

    async def done(self, position: int) -> None:
        self.open_receipts.remove(position)

    async def close(self) -> None:
        """Nothing is held."""


class Shuffling:
    """A broker that remembers nothing but what it has to deliver."""

    keeps_positions = True
    keeps_order = False
    keeps_history = True
    tells_types_apart = True

    def __init__(self, seed: int, reach: int) -> None:
        self.random = random.Random(seed)
        self.reach = reach
        self.published: list[Message] = []
        self.come = asyncio.Event()
        self.subscription: Shuffled | None = None

    async def publish(self, messages: Sequence[Message]) -> None:
        self.published += messages
        self.come.set()

    async def subscribe(self, group: str, topic: str, position: int) -> Subscription:
        self.subscription = Shuffled(self)
        return self.subscription

    async def join(self, group: str, topic: str, *, anew: bool = False) -> None:
        pass

    async def waiting(self, group: str, topic: str) -> int:
        return 0

    async def bury(self, group: str, message: Message, attempts: int, cause: str) -> None:
        pass

    async def end(self, topic: str) -> int:
        return 0

    async def origin(self, topic: str) -> str:
        return "shuffling"


def consumer_of(stage: Stage, place: Place, broker: Broker) -> Consumer:
    handler = EventHandler("mail.hear", "mail", remember(place), True, (PLACED,))
    return Consumer(handler, TOPIC, place.db, broker, place.leases, stage.clock, stage.activity)


@pytest.mark.parametrize("seed", range(3))
async def test_shuffled_and_repeated_deliveries_take_effect_once_and_in_order(
    tmp_path: Path, seed: int
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        broker = Shuffling(seed, reach=100)
        relay = stage.relay(orders, broker)  # type: ignore[arg-type]
        consumer = consumer_of(stage, mail, broker)  # type: ignore[arg-type]
        await consumer.register()
        async with running(relay, consumer):
            for number in range(400):
                await orders.place_order(number, f"c{number % 7}")
            while len(await mail.seen()) < 400:
                await stage.activity.wait(stage.activity.count, 0.05)
            async with asyncio.timeout(20):
                await until_quiet([relay, consumer], stage.activity)
        for customer in range(7):
            mine = await mail.store.all(
                int, "select number from seen where customer = $1 order by place", f"c{customer}"
            )
            assert mine == list(range(customer, 400, 7))
        assert consumer.duplicates > 0
        assert broker.subscription is not None
        assert broker.subscription.open_receipts == set()
        assert await mail.store.one(int, "select sequence from borough_positions") == 400


async def test_a_restart_goes_on_behind_the_last_event_that_was_done(tmp_path: Path) -> None:
    # Patience with an unknown beginning never ends on this clock.
    async with staged(tmp_path, ManualClock()) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        broker = Shuffling(1, reach=1)
        relay = stage.relay(orders, broker)  # type: ignore[arg-type]
        first = consumer_of(stage, mail, broker)  # type: ignore[arg-type]
        await first.register()
        async with running(relay, first):
            await orders.place_order(1)
            while await mail.seen() != [1]:
                await stage.activity.wait(stage.activity.count, 0.05)
        relay = stage.relay(orders, broker)  # type: ignore[arg-type]
        second = consumer_of(stage, mail, broker)  # type: ignore[arg-type]
        async with running(relay, second):
            for number in (2, 3):
                await orders.place_order(number)
            async with asyncio.timeout(20):
                while await mail.seen() != [1, 2, 3]:
                    await stage.activity.wait(stage.activity.count, 0.05)


async def test_an_event_names_the_one_before_it_in_its_topic_also_after_a_new_start(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        broker = Shuffling(1, reach=1)
        for number in range(4):
            relay = stage.relay(orders, broker)  # type: ignore[arg-type]
            async with running(relay):
                await orders.place_order(number)
                await until_quiet([relay], stage.activity)
        chain = [(message.previous, message.sequence) for message in broker.published]
        assert chain == [(0, 1), (1, 2), (2, 3), (3, 4)]


class Fed:
    """A subscription that gives batches, then nothing."""

    position = 0
    missed = 0

    def __init__(self, *batches: Sequence[tuple[int, int]]) -> None:
        self.batches = list(batches)

    async def take(self, limit: int) -> Sequence[Delivery]:
        if not self.batches:
            await asyncio.Event().wait()
        return [
            Delivery(Message(str(number), TOPIC, "t", None, number, b"", previous), number)
            for number, previous in self.batches.pop(0)
        ]

    async def done(self, position: int) -> None: ...

    async def close(self) -> None: ...


async def numbers_of(reading: InOrder, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += [delivery.message.sequence for delivery in await reading.take(count)]
    return found


@asynccontextmanager
async def waiting(reading: InOrder) -> AsyncIterator[None]:
    """Somebody waits for the next event, in vain."""
    taking = asyncio.create_task(reading.take(1))
    try:
        yield
    finally:
        taking.cancel()
        await asyncio.wait([taking])
    assert taking.cancelled()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_came_while_nobody_read_is_looked_at_before_a_gap_is_passed_over() -> None:
    clock = ManualClock()
    reading = InOrder(Fed([(4, 3), (2, 1)], [(5, 4)], [(3, 2)]), "mail.hear", 1, clock)
    assert await numbers_of(reading, 1) == [2]
    clock.advance(3600.0)  # a handler was slow
    assert await numbers_of(reading, 3) == [3, 4, 5]


async def test_a_gap_that_is_never_filled_is_passed_over() -> None:
    reading = InOrder(Fed([(4, 3), (2, 1)]), "mail.hear", 1, SystemClock(), patience_s=0.3)
    assert await numbers_of(reading, 2) == [2, 4]


class Retained:
    """A publisher that still has some events."""

    def __init__(self, *numbers: int, end: int = 0) -> None:
        self.numbers = numbers
        self._end = max(numbers, default=end)
        self.asked: list[int] = []

    async def read(self, topic: str, after: int) -> HistoryPage:
        self.asked.append(after)
        found = [
            PastEvent(sequence=number, id=str(number), type="t", key=None, body=b"")
            for number in self.numbers
            if number > after
        ]
        return HistoryPage(events=tuple(found), end=self._end)


async def test_each_gap_is_asked_for_before_it_is_passed_over() -> None:
    batches = [(2, 1), (4, 3), (6, 5), (8, 7)]  # of every second event nothing is heard
    past = Past(TOPIC, Retained(2, 3, 4, 5, 6, 8))
    reading = InOrder(Fed(batches), "mail.hear", 1, SystemClock(), past, patience_s=0.3)
    assert await numbers_of(reading, 6) == [2, 3, 4, 5, 6, 8]


@pytest.mark.parametrize("last", [0, 1])
async def test_what_a_lost_queue_held_at_its_end_is_taken_from_the_publisher(last: int) -> None:
    past = Past(TOPIC, Retained(1, 2, 3))
    reading = InOrder(Fed(), "mail.hear", last, SystemClock(), past, patience_s=0.2)
    assert not reading.is_level
    assert await numbers_of(reading, 3 - last) == [1, 2, 3][last:]
    assert reading.is_level


async def test_what_a_queue_still_holds_is_not_asked_of_the_publisher() -> None:
    retained = Retained(1, 2, 3)
    past = Past(TOPIC, retained)
    reading = InOrder(Fed([(1, 0), (2, 1), (3, 2)]), "mail.hear", 0, SystemClock(), past, 0.2)
    assert await numbers_of(reading, 3) == [1, 2, 3]
    async with waiting(reading):
        await until(lambda: reading.is_level)
        await asyncio.sleep(0.3)  # longer than its patience
    assert retained.asked == [AFTER_ALL]


async def test_what_the_publisher_does_not_retain_either_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    past = Past(TOPIC, Retained(end=7))
    reading = InOrder(Fed(), "mail.hear", 4, SystemClock(), past, patience_s=0.1)
    async with waiting(reading):
        await until(lambda: reading.is_level)
    assert "events after 4, up to 7, did not come" in caplog.text


async def test_a_queue_that_gives_nothing_settles_where_an_unknown_beginning_was() -> None:
    retained, fed = Retained(1, 2, 3), Fed()
    past = Past(TOPIC, retained)
    reading = InOrder(fed, "mail.hear", None, SystemClock(), past, patience_s=0.1)
    async with waiting(reading):
        await until(lambda: reading._resequencer.last == 3)
    retained.numbers = (1, 2, 3, 4, 5)
    fed.batches.append([(5, 4)])
    assert await numbers_of(reading, 2) == [4, 5]


class Lingering(Fed):
    """A subscription whose end takes a while."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read, self.is_closing = asyncio.Event(), asyncio.Event()
        self.may_close = asyncio.Event()
        self.is_closed = False

    async def take(self, limit: int) -> Sequence[Delivery]:
        self.is_read.set()
        return await super().take(limit)

    async def close(self) -> None:
        self.is_closing.set()
        await self.may_close.wait()
        self.is_closed = True


class LingeringBroker(Shuffling):
    """A broker with one reading, which lingers."""

    def __init__(self) -> None:
        super().__init__(1, reach=1)
        self.reading = Lingering()

    async def subscribe(self, group: str, topic: str, position: int) -> Subscription:
        return self.reading


async def test_a_reading_is_closed_to_its_end_however_often_its_role_is_cancelled(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        broker = LingeringBroker()
        consumer = consumer_of(stage, mail, broker)  # type: ignore[arg-type]
        await consumer.register()
        lease = await mail.leases.take("consume")
        assert lease is not None
        consuming = asyncio.create_task(consumer._consume(lease))
        await broker.reading.is_read.wait()
        consuming.cancel()
        async with asyncio.timeout(10):
            await broker.reading.is_closing.wait()
        for _ in range(3):
            consuming.cancel()
            await asyncio.sleep(0)
        broker.reading.may_close.set()
        await asyncio.wait([consuming])
        assert broker.reading.is_closed
        assert consuming.cancelled()
