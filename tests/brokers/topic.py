"""What tests of the embedded broker do again and again: open it, read a topic, look at its files."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from borough.brokers.embedded import EmbeddedBroker
from borough.brokers.embedded.writer import FULL_SEGMENT
from borough.clock import Clock, SystemClock
from borough.contracts.retention import Retention
from borough.ports import Delivery, Message, Subscription, Trimmed
from borough.testing.clock import ManualClock

TOPIC = "orders.Orders"
EIGHT_HOURS = Retention("age", 8 * 3600)


@contextlib.asynccontextmanager
async def opened(
    folder: Path, clock: Clock | None = None, full: int = FULL_SEGMENT
) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(folder, clock or SystemClock(), full=full)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


async def take(subscription: Subscription, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += await subscription.take(count - len(found))
    return found


async def take_all(
    broker: EmbeddedBroker, subscription: Subscription, topic: str = TOPIC
) -> list[Delivery]:
    """All that a subscription has not read yet."""
    found: list[Delivery] = []
    end = await broker.end(topic)
    async with asyncio.timeout(10):
        while subscription.position < end:
            found += await subscription.take(500)
    return found


async def everything(broker: EmbeddedBroker, topic: str = TOPIC) -> list[Message]:
    """All that is in a topic now."""
    subscription = await broker.subscribe("all", topic, 0)
    found = await take_all(broker, subscription, topic)
    await subscription.close()
    return [delivery.message for delivery in found]


async def close_segment(broker: EmbeddedBroker, clock: ManualClock) -> None:
    """Let two hours pass, after which the last segment gets a successor; nothing is removed."""
    clock.advance(2 * 3600)
    assert await broker.trim(TOPIC, EIGHT_HOURS, clock.epoch_s()) == Trimmed()


def segments_of(folder: Path) -> list[Path]:
    """The topic's segments, oldest first."""
    return sorted((folder / TOPIC).glob("*.log"))


def log_of(folder: Path) -> Path:
    """The topic's last segment."""
    return segments_of(folder)[-1]


def keyed(number: int, key: str, kind: str = "orders.Orders.Priced", size: int = 40) -> Message:
    """An event about a key."""
    return Message(f"id-{number}", TOPIC, kind, key, number, b'{"n":%d}' % number + b" " * size)


def latest(messages: list[Message]) -> list[Message]:
    """The newest of each type and key, in order."""
    newest = {(message.type, message.key): message for message in messages}
    return [message for message in messages if newest[message.type, message.key] is message]
