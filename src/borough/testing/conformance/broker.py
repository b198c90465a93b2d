"""What every `Broker` promises, whichever way it keeps events.

`make_broker` is the only thing that an adapter's author writes. `lasts` says whether a broker on the
same folder finds what an earlier one, or another one at the same time, has published.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from borough.contracts.retention import FOREVER, Retention
from borough.errors import BrokerError
from borough.ports import LONGEST_EVENT, Broker, Delivery, Message, Subscription
from borough.testing.conformance.suite import check, equal, raising

__all__ = ["BrokerConformance"]

_TOPIC = "orders.Orders"
_OTHER = "orders.Stock"
_LONG_S = 10 * 365 * 86_400.0


def _message(number: int, topic: str = _TOPIC, body: bytes | None = None) -> Message:
    return Message(
        f"{topic}-{number}",
        topic,
        f"{topic}.Placed",
        None if number % 5 == 0 else f"k\N{SNOWMAN}{number % 3}",
        number + 1,
        b'{"n":%d}' % number if body is None else body,
        number,
    )


def _messages(first: int, last: int, topic: str = _TOPIC) -> list[Message]:
    return [_message(number, topic) for number in range(first, last)]


class BrokerConformance:
    """Subclass it as `Test...`, and say how a broker is made."""

    lasts: bool = True
    """Whether events outlive the broker's object and are seen by a second one on the same folder."""

    patience_s: float = 20.0
    """How long a reader waits for what must come."""

    async def make_broker(self, folder: Path) -> Broker:
        """A broker that is not open yet."""
        raise NotImplementedError("a suite says how its broker is made")

    @asynccontextmanager
    async def _opened(self, folder: Path) -> AsyncGenerator[Broker]:
        broker = await self.make_broker(folder)
        await broker.open()
        try:
            yield broker
        finally:
            await broker.close()

    @asynccontextmanager
    async def _broker(self) -> AsyncGenerator[Broker]:
        with tempfile.TemporaryDirectory(prefix="borough-broker-") as name:
            async with self._opened(Path(name)) as broker:
                yield broker

    async def _take(self, subscription: Subscription, count: int) -> list[Delivery]:
        """So many deliveries. Raises `AssertionError` where they do not come."""
        found: list[Delivery] = []
        try:
            async with asyncio.timeout(self.patience_s):
                while len(found) < count:
                    found += await subscription.take(count - len(found))
        except TimeoutError:
            raise AssertionError(f"{len(found)} of {count} messages have come") from None
        return found

    async def _takes_all(self, broker: Broker, what: str) -> None:
        """A new reading has all that is published from now on."""
        subscription = await broker.subscribe("one", _TOPIC, 0)
        await broker.publish(_messages(0, 50))
        found = await self._take(subscription, 50)
        equal(sorted(_numbers(found)), list(range(50)), what)

    # --- what is published is read ---------------------------------------------------------------

    async def test_messages_come_back_whole(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            await broker.publish(_messages(0, 10))
            found = await self._take(subscription, 10)
            by_id = {delivery.message.id: delivery.message for delivery in found}
            equal(by_id, {message.id: message for message in _messages(0, 10)}, "messages")

    async def test_messages_come_in_the_order_of_publishing(self) -> None:
        async with self._broker() as broker:
            if not broker.keeps_order:
                return
            subscription = await broker.subscribe("one", _TOPIC, 0)
            for first in range(0, 300, 30):
                await broker.publish(_messages(first, first + 30))
            found = await self._take(subscription, 300)
            equal(_numbers(found), list(range(300)), "the order of messages")
            positions = [delivery.position for delivery in found]
            check(positions == sorted(set(positions)), "positions do not grow along the topic")

    async def test_the_longest_event_is_carried_and_a_longer_one_refused(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            longest = _message(0, body=b"x" * LONGEST_EVENT)
            await broker.publish([longest])
            equal((await self._take(subscription, 1))[0].message.body, longest.body, "the body")
            async with raising(BrokerError, "publishing a longer one"):
                await broker.publish([_message(1, body=b"x" * (LONGEST_EVENT + 1))])
            await broker.publish([_message(2)])
            equal(_numbers(await self._take(subscription, 1)), [2], "what follows the refused one")

    async def test_a_waiting_reader_gets_what_is_published(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            waiting = asyncio.ensure_future(self._take(subscription, 1))
            await asyncio.sleep(0.01)
            check(not waiting.done(), "a reader of an empty topic does not wait")
            await broker.publish([_message(0)])
            equal(_numbers(await waiting), [0], "what the waiting reader got")

    async def test_a_cancelled_reader_loses_nothing(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            found: list[int] = []
            for number in range(10):
                waiting = asyncio.ensure_future(subscription.take(5))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
                if not waiting.cancelled():  # it was quicker
                    found += _numbers(waiting.result())
                await broker.publish([_message(number)])
            found += _numbers(await self._take(subscription, 10 - len(found)))
            equal(sorted(found), list(range(10)), "what came after the cancelled readings")

    async def test_a_reading_that_was_given_up_as_it_began_takes_nothing(self) -> None:
        async with self._broker() as broker:
            for wait_s in (0.0, 0.001, 0.002, 0.003, 0.005, 0.008, 0.013):
                beginning = asyncio.ensure_future(broker.subscribe("one", _TOPIC, 0))
                await asyncio.wait([beginning], timeout=wait_s)
                beginning.cancel()
                await asyncio.wait([beginning])
                if not beginning.cancelled():  # it was quicker
                    await beginning.result().close()
            await self._takes_all(broker, "what came behind the ones given up")

    async def test_a_reading_whose_closing_was_cancelled_takes_nothing(self) -> None:
        async with self._broker() as broker:
            for times in (1, 2, 3):
                subscription = await broker.subscribe("one", _TOPIC, 0)
                closing = asyncio.ensure_future(subscription.close())
                for _ in range(times):
                    await asyncio.sleep(0)
                    closing.cancel()
                await asyncio.wait([closing])
            await self._takes_all(broker, "what came behind the closed ones")

    async def test_a_reader_takes_no_more_than_it_asks_for(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            await broker.publish(_messages(0, 20))
            async with asyncio.timeout(self.patience_s):
                taken = await subscription.take(3)
            check(1 <= len(taken) <= 3, f"{len(taken)} were taken where 3 were asked for")
            rest = await self._take(subscription, 20 - len(taken))
            equal(len({*_numbers(taken), *_numbers(rest)}), 20, "different messages in all")

    async def test_topics_are_read_apart(self) -> None:
        async with self._broker() as broker:
            one = await broker.subscribe("one", _TOPIC, 0)
            other = await broker.subscribe("one", _OTHER, 0)
            mixed = [
                message
                for pair in zip(_messages(0, 5), _messages(0, 5, _OTHER), strict=True)
                for message in pair
            ]
            await broker.publish(mixed)
            for subscription, topic in ((one, _TOPIC), (other, _OTHER)):
                found = await self._take(subscription, 5)
                equal({d.message.topic for d in found}, {topic}, "topics of a subscription")
                equal(sorted(_numbers(found)), list(range(5)), f"messages of {topic}")

    async def test_every_group_gets_every_message(self) -> None:
        async with self._broker() as broker:
            groups = [await broker.subscribe(group, _TOPIC, 0) for group in ("a", "b", "c")]
            await broker.publish(_messages(0, 10))
            for subscription in groups:
                found = await self._take(subscription, 10)
                equal(sorted(_numbers(found)), list(range(10)), "messages of a group")

    async def test_publishing_again_is_harmless(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            await broker.publish(_messages(0, 5))
            await broker.publish(_messages(2, 8))
            await broker.publish([_message(99)])
            found: list[int] = []
            while 99 not in found:
                found += _numbers(await self._take(subscription, 1))
            first = [number for at, number in enumerate(found) if number not in found[:at]]
            wanted = [*range(8), 99]
            if not broker.keeps_order:
                first.sort()
            equal(first, wanted, "messages in the order of their first coming")

    # --- positions -------------------------------------------------------------------------------

    async def test_a_new_handler_starts_at_the_end(self) -> None:
        async with self._broker() as broker:
            equal(await broker.end(_TOPIC), 0, "the end of a topic that never had an event")
            await broker.publish(_messages(0, 5))
            if broker.keeps_positions:
                return
            subscription = await broker.subscribe("new", _TOPIC, await broker.end(_TOPIC))
            await broker.publish([_message(5)])
            equal(_numbers(await self._take(subscription, 1)), [5], "what a new handler hears")

    async def test_a_reading_goes_on_where_it_was(self) -> None:
        async with self._broker() as broker:
            first = await broker.subscribe("one", _TOPIC, 0)
            await broker.publish(_messages(0, 10))
            taken = await self._take(first, 4)
            done = await _tell_done(broker, first, taken)
            await first.close()
            second = await broker.subscribe("one", _TOPIC, done)
            left = [number for number in range(10) if number not in _numbers(taken)]
            equal(sorted(_numbers(await self._take(second, 6))), left, "what was left")

    async def test_a_position_tells_that_all_before_it_has_been_read(self) -> None:
        async with self._broker() as broker:
            if broker.keeps_positions:
                return
            subscription = await broker.subscribe("one", _TOPIC, 0)
            await broker.publish(_messages(0, 10))
            await self._take(subscription, 10)
            equal(subscription.position, await broker.end(_TOPIC), "the position behind the last")
            equal(subscription.missed, 0, "what was missed")

    async def test_all_that_is_retained_is_read_from_the_earliest(self) -> None:
        async with self._broker() as broker:
            await broker.publish(_messages(0, 10))
            if broker.keeps_positions:
                return
            subscription = await broker.subscribe("one", _TOPIC, await broker.earliest(_TOPIC))
            equal(_numbers(await self._take(subscription, 10)), list(range(10)), "what is retained")
            facts = await broker.facts(_TOPIC)
            equal(facts.records, 10, "records in the facts")
            equal(facts.end, await broker.end(_TOPIC), "the end in the facts")

    async def test_a_trim_removes_nothing_that_is_retained(self) -> None:
        async with self._broker() as broker:
            await broker.publish(_messages(0, 10))
            facts = await broker.facts(_TOPIC)
            if facts.oldest_s is None:
                return
            await broker.trim(_TOPIC, FOREVER, facts.oldest_s + _LONG_S)
            await broker.trim(_TOPIC, Retention("age", 3600), facts.oldest_s + 1800)
            subscription = await broker.subscribe("one", _TOPIC, 0)
            equal(_numbers(await self._take(subscription, 10)), list(range(10)), "what is retained")

    async def test_a_handler_is_owed_what_is_published_after_it_has_joined(self) -> None:
        async with self._broker() as broker:
            await broker.publish(_messages(0, 3))
            end = await broker.end(_TOPIC)
            await broker.join("late", _TOPIC)
            await broker.join("late", _TOPIC)
            await broker.publish(_messages(3, 8))
            if broker.keeps_positions:
                equal(await broker.waiting("late", _TOPIC), 5, "what waits at the broker")
            subscription = await broker.subscribe("late", _TOPIC, end)
            found = await self._take(subscription, 5)
            equal(sorted(_numbers(found)), list(range(3, 8)), "what it is owed")

    async def test_what_was_not_handed_back_comes_again(self) -> None:
        async with self._broker() as broker:
            if not broker.keeps_positions:
                return
            first = await broker.subscribe("one", _TOPIC, 0)
            await broker.publish(_messages(0, 6))
            taken = await self._take(first, 6)
            if not broker.keeps_order:
                await first.done(taken[3].position)
                await first.close()
                second = await broker.subscribe("one", _TOPIC, 0)
                left = [n for n in range(6) if n != _numbers(taken)[3]]
                equal(sorted(_numbers(await self._take(second, 5))), left, "what comes again")
                return
            await first.close()
            second = await broker.subscribe("one", _TOPIC, 0)
            equal(len(await self._take(second, 6)), 6, "what comes again")

    # --- closing, and who comes after ------------------------------------------------------------

    async def test_a_closed_subscription_gives_nothing(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            waiting = asyncio.ensure_future(subscription.take(1))
            await asyncio.sleep(0)
            await subscription.close()
            async with raising(BrokerError, "a reading whose subscription was closed"):
                async with asyncio.timeout(self.patience_s):
                    await waiting
            await broker.publish([_message(0)])

    async def test_a_closed_broker_ends_its_readers_and_takes_nothing(self) -> None:
        async with self._broker() as broker:
            subscription = await broker.subscribe("one", _TOPIC, 0)
            waiting = asyncio.ensure_future(subscription.take(1))
            await asyncio.sleep(0)
            await broker.close()
            await broker.close()
            async with raising(BrokerError, "a reading whose broker was closed"):
                async with asyncio.timeout(self.patience_s):
                    await waiting
            async with raising(BrokerError, "publishing after close"):
                await broker.publish([_message(0)])

    async def test_what_was_published_outlives_the_broker(self) -> None:
        if not self.lasts:
            return
        with tempfile.TemporaryDirectory(prefix="borough-broker-") as name:
            async with self._opened(Path(name)) as broker:
                first = await broker.subscribe("one", _TOPIC, 0)
                await broker.publish(_messages(0, 10))
                taken = await self._take(first, 4)
                done = await _tell_done(broker, first, taken)
            async with self._opened(Path(name)) as broker:
                await broker.publish(_messages(10, 12))
                second = await broker.subscribe("one", _TOPIC, done)
                found = _numbers(await self._take(second, 8))
                left = [number for number in range(12) if number not in _numbers(taken)]
                equal(sorted(found), left, "what was left")

    async def test_a_reader_follows_what_another_process_publishes(self) -> None:
        if not self.lasts:
            return
        with tempfile.TemporaryDirectory(prefix="borough-broker-") as name:
            async with (
                self._opened(Path(name)) as writing,
                self._opened(Path(name)) as reading,
            ):
                subscription = await reading.subscribe("one", _TOPIC, 0)
                for number in range(3):
                    await writing.publish([_message(number)])
                    equal(
                        _numbers(await self._take(subscription, 1)), [number], "what was followed"
                    )


async def _tell_done(broker: Broker, subscription: Subscription, taken: Sequence[Delivery]) -> int:
    """Hand back what was taken, one by one where there is no order; returns the last position."""
    for delivery in taken if not broker.keeps_order else taken[-1:]:
        await subscription.done(delivery.position)
    return taken[-1].position


def _numbers(found: Sequence[Delivery]) -> list[int]:
    return [delivery.message.sequence - 1 for delivery in found]
