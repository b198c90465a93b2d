"""Our brokers keep what every broker promises."""

from pathlib import Path

from borough.brokers.embedded import EmbeddedBroker
from borough.brokers.memory import MemoryBroker
from borough.clock import SystemClock
from borough.contracts.retention import LATEST_PER_KEY, Retention
from borough.ports import Broker, Message
from borough.testing.clock import ManualClock
from borough.testing.conformance import BrokerConformance


class TestEmbeddedBroker(BrokerConformance):
    """In files."""

    async def make_broker(self, folder: Path) -> Broker:
        return EmbeddedBroker(folder / "events", SystemClock())


class TestEmbeddedBrokerInSmallSegments(BrokerConformance):
    """In many files."""

    async def make_broker(self, folder: Path) -> Broker:
        return EmbeddedBroker(folder / "events", SystemClock(), full=700)


class TestMemoryBroker(BrokerConformance):
    """In memory."""

    lasts = False

    async def make_broker(self, folder: Path) -> Broker:
        return MemoryBroker(SystemClock())


def keyed(number: int, key: str | None) -> Message:
    return Message(f"e{number}", "a.A", "a.A.B", key, number, b"{}")


async def test_the_memory_broker_trims_and_tells_what_was_missed() -> None:
    clock = ManualClock()
    broker = MemoryBroker(clock)
    await broker.open()
    early = await broker.subscribe("early", "a.A", 0)
    await broker.publish([keyed(1, "x"), keyed(2, "y")])
    clock.advance(4000)
    await broker.publish([keyed(3, "x"), keyed(4, "x")])
    trimmed = await broker.trim("a.A", Retention("age", 3600), clock.epoch_s())
    assert trimmed.records == 2
    assert (await broker.earliest("a.A"), await broker.end("a.A")) == (2, 4)
    assert (await broker.trim("a.A", LATEST_PER_KEY, clock.epoch_s())).records == 1
    assert [d.message.sequence for d in await early.take(9)] == [4]
    assert (early.position, early.missed) == (4, 3)
    await broker.close()
