"""Adapters in which one guarantee is switched off, from outside: `ALL` says which, on whom.

Each wraps a real adapter. The suites run on it in full, and exactly that guarantee must be found broken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from borough.clock import SystemClock
from borough.ports import Broker, Message, Store
from borough.stores.sqlite import SqliteStore
from borough.testing.conformance import StoreConformance
from borough.testing.conformance.guarantees import Part
from tests.guarantees.chosen import ChosenAdapters

__all__ = ["ALL", "Planted"]

LATE_S = 0.4
IMPATIENT_S = 8.0


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


class ConfirmsEarly(Wrapped):
    """A broker that says that it has an event, and puts it away a little later."""

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
        """Whoever asks where a topic ends waits for it, so that only a crash shows the fault."""
        if self._last is not None:
            await self._last
        end: int = await self.inner.end(topic)
        return end

    async def close(self) -> None:
        if self._last is not None:
            await self._last
        await self.inner.close()


class ForgetfulSqlite(StoreConformance):
    """SQLite without its outbox."""

    async def make_store(self, folder: Path) -> Store:
        inner = SqliteStore(folder / "shop.db", clock=SystemClock())
        return cast(Store, ForgetsEvents(inner))


class HastyBroker(ChosenAdapters):
    """A broker of our choice, that confirms before it keeps."""

    patience_s = IMPATIENT_S

    async def make_broker(self, folder: Path) -> Broker:
        return cast(Broker, ConfirmsEarly(await super().make_broker(folder)))


class HastyEmbedded(HastyBroker):
    """The embedded one."""

    flags = {"data.store": "sqlite", "events.broker": "embedded"}  # noqa: RUF012 - it is never changed


class Planted(NamedTuple):
    """A suite on a wrong adapter, and the one guarantee that it breaks."""

    adapter: str
    suite: Callable[[], object]
    part: Part
    broken: str


ALL = (
    Planted("sqlite", ForgetfulSqlite, "store", "outbox-commits"),
    Planted("embedded", HastyEmbedded, "whole", "survives-kill"),
)
