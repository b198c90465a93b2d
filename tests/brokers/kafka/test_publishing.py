"""What becomes of a batch when the producer that all services of a process share fails for good."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from borough.brokers.kafka.publishing import Publishing
from borough.brokers.kafka.terms import KafkaTerms
from borough.errors import BrokerError
from borough.ports import Message

FATAL = KafkaError(KafkaError._FATAL, "out of order", fatal=True)
PURGED = KafkaError(KafkaError._PURGE_QUEUE, "purged")
Told = Callable[[KafkaError | None, Any], None]


class LostPlace:
    """A producer that fails for good with an event of `a`, and says nothing of others until it is purged."""

    def __init__(self, _settings: dict[str, Any]) -> None:
        self.waiting: list[tuple[str, Told]] = []
        self.is_purged = False
        self.has_come = threading.Event()

    def produce(self, topic: str, *_: Any, on_delivery: Told, **__: Any) -> None:
        self.waiting.append((topic, on_delivery))
        self.has_come.set()

    def poll(self, seconds: float) -> None:
        self.has_come.wait(seconds)
        self.has_come.clear()
        for topic, told in list(self.waiting):
            if topic == "a":
                self.waiting.remove((topic, told))
                told(FATAL, None)

    def purge(self) -> None:
        self.is_purged = True

    def flush(self, _seconds: float) -> None:
        for _, told in self.waiting if self.is_purged else ():
            told(PURGED, None)


class Silent(LostPlace):
    """A producer that never says anything of an event."""

    def poll(self, seconds: float) -> None:
        self.has_come.wait(seconds)


def event(topic: str) -> Message:
    return Message("1", topic, "t", None, 1, b"x", 0)


async def test_a_batch_is_given_up_when_another_ends_the_producer_of_both() -> None:
    publishing = Publishing(KafkaTerms(("nowhere:9",)), LostPlace)
    async with asyncio.timeout(5):
        sent = [publishing.send([event(topic)]) for topic in ("b", "a")]
        ended = await asyncio.gather(*sent, return_exceptions=True)
    assert [type(each) for each in ended] == [BrokerError, BrokerError]
    await publishing.close()


async def test_a_producer_that_says_nothing_is_not_waited_for_beyond_its_time() -> None:
    publishing = Publishing(KafkaTerms(("nowhere:9",), publish_s=0.01), Silent, grace_s=0.01)
    with pytest.raises(BrokerError, match="has said nothing of 1 events of b"):
        await publishing.send([event("b")])
    await publishing.close()


class Refusing(LostPlace):
    """A producer that takes nothing."""

    def produce(self, topic: str, *_: Any, on_delivery: Told, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC, "Local: Unknown topic"))


async def test_what_the_client_does_not_take_is_told_in_its_words() -> None:
    publishing = Publishing(KafkaTerms(("nowhere:9",)), Refusing)
    with pytest.raises(BrokerError) as raised:
        await publishing.send([event("a")])
    assert str(raised.value) == "Kafka took 0 of 1 events: Local: Unknown topic"
    await publishing.close()
