"""Adapters in which one guarantee is switched off, from outside: `ALL` says which, on whom.

Each wraps a real adapter. The suites run on it in full, and exactly that guarantee must be found broken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, cast

from borough.contracts.retention import Retention
from borough.ports import Broker, Delivery, Message, Store, Trimmed
from borough.testing.conformance import BrokerConformance, StoreConformance
from borough.testing.conformance.guarantees import Part
from tests.guarantees.chosen import ChosenAdapters, Pair

__all__ = ["ALL", "Planted", "hasty_system"]

LATE_S = 0.4
LATER_S = 1e6
IMPATIENT_S = 15.0


class Wrapped:
    """An adapter like the one inside."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class ForgetsEvents(Wrapped):
    """A store that commits the rows without what was published with them."""

    @contextlib.asynccontextmanager
    async def transaction(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        async with self.inner.transaction(*arguments, **options) as tx:
            yield tx
            tx.outbox.clear()


class BodiesInterleave(Wrapped):
    """A store whose transactions see each what others commit meanwhile."""

    def transaction(self, companion: Any = None, **_: Any) -> Any:
        return self.inner.transaction(companion, serializable=False)


class ConfirmsEarly(Wrapped):
    """A broker that says that it has an event, and puts it away a little later. Only a crash shows it."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._last: asyncio.Task[None] | None = None

    async def publish(self, messages: Sequence[Message]) -> None:
        self._last = asyncio.create_task(self._later(self._last, messages))

    async def _later(self, before: asyncio.Task[None] | None, messages: Sequence[Message]) -> None:
        await asyncio.sleep(LATE_S)
        if before is not None:
            await before
        await self.inner.publish(messages)

    async def end(self, topic: str) -> int:
        """Whoever asks where a topic ends waits for it."""
        if self._last is not None:
            await self._last
        end: int = await self.inner.end(topic)
        return end

    async def close(self) -> None:
        if self._last is not None:
            await self._last
        await self.inner.close()


class RemovesAll(Wrapped):
    """A broker that retains nothing longer than until it is tidied."""

    async def trim(self, topic: str, _retention: Retention, now_s: float) -> Trimmed:
        trimmed: Trimmed = await self.inner.trim(topic, Retention("age", 1), now_s + LATER_S)
        return trimmed


class AcknowledgesEarly(Wrapped):
    """A broker to which each event is handed back as done when it is taken."""

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        return DoneWhenTaken(await self.inner.subscribe(group, topic, position))


class DoneWhenTaken(Wrapped):
    """A reading without memory of what is still at work."""

    async def take(self, limit: int) -> Sequence[Delivery]:
        taken: Sequence[Delivery] = await self.inner.take(limit)
        for delivery in taken:
            await self.inner.done(delivery.position)
        return taken

    async def done(self, position: int) -> None:
        """It is done already."""


class WrongStore(StoreConformance):
    """A store as borough.toml chooses it, wrapped."""

    def __init__(self, chosen: ChosenAdapters, wrong: Callable[[Any], Any]) -> None:
        self._chosen, self._wrong = chosen, wrong

    async def make_store(self, folder: Path) -> Store:
        return cast(Store, self._wrong(await self._chosen.make_store(folder, "shop")))


class WrongBroker(BrokerConformance):
    """A broker as borough.toml chooses it, wrapped."""

    patience_s = IMPATIENT_S

    def __init__(self, chosen: ChosenAdapters, wrong: Callable[[Any], Any]) -> None:
        self._chosen, self._wrong = chosen, wrong

    async def make_broker(self, folder: Path) -> Broker:
        return cast(Broker, self._wrong(await self._chosen.make_broker(folder)))


class BrokerOfOneLife(BrokerConformance):
    """A broker that begins with nothing whenever it is opened."""

    patience_s = IMPATIENT_S

    def __init__(self, chosen: ChosenAdapters) -> None:
        self._chosen = chosen
        self._lives = count(1)

    async def make_broker(self, folder: Path) -> Broker:
        own = folder / f"{folder.name}-{next(self._lives)}"
        own.mkdir()
        return await self._chosen.make_broker(own)


class HastySystem(ChosenAdapters):
    """A whole system on a broker that confirms before it keeps; its processes have the same."""

    patience_s = IMPATIENT_S

    async def make_broker(self, folder: Path) -> Broker:
        return cast(Broker, ConfirmsEarly(await super().make_broker(folder)))


class Planted(NamedTuple):
    """A suite on a wrong adapter, made on a pair of engines, and the one guarantee that it breaks."""

    adapter: str
    pair: Pair
    part: Part
    broken: str
    suite: Callable[[ChosenAdapters], object]


def hasty_system(chosen: ChosenAdapters) -> HastySystem:
    """On the same engines."""
    suite = HastySystem()
    suite.flags = chosen.flags
    return suite


ALL = (
    Planted(
        "sqlite",
        Pair("sqlite", "embedded"),
        "store",
        "outbox-commits",
        lambda chosen: WrongStore(chosen, ForgetsEvents),
    ),
    Planted(
        "postgres",
        Pair("postgres", "embedded"),
        "store",
        "serializable",
        lambda chosen: WrongStore(chosen, BodiesInterleave),
    ),
    Planted(
        "embedded",
        Pair("sqlite", "embedded"),
        "broker",
        "retention",
        lambda chosen: WrongBroker(chosen, RemovesAll),
    ),
    Planted(
        "rabbitmq",
        Pair("sqlite", "rabbitmq"),
        "broker",
        "undone-comes-again",
        lambda chosen: WrongBroker(chosen, AcknowledgesEarly),
    ),
    Planted(
        "kafka",
        Pair("sqlite", "kafka"),
        "broker",
        "publish-lasts",
        BrokerOfOneLife,
    ),
)
