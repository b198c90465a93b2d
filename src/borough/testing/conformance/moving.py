"""Moving events for later to the outbox while somebody else commits, wherever a store lets him.

A store whose writers take turns lets him in when the move has ended; another between any two of its statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, cast

from borough.clock import SystemClock
from borough.ports import Store
from borough.runtime.leases import Leases
from borough.runtime.pulse import Pulse
from borough.runtime.reruns import rerun
from borough.runtime.scheduled import CANCEL_SCHEDULED, ScheduledEvents
from borough.stores.schema import INSERT_SCHEDULED

__all__ = ["moved_while", "schedule", "take_back"]

_LET_IN_S = 0.3
"""How long a move waits for the other to commit; he who must wait for its end needs longer."""


class _Wrapped:
    """Like the one inside, in all that is not written here."""

    def __init__(self, inner: Any, between: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._between = between

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _OpenStore(_Wrapped):
    """A store into whose transactions somebody comes."""

    @asynccontextmanager
    async def transaction(self, *args: Any, **options: Any) -> AsyncGenerator[_OpenTransaction]:
        async with self._inner.transaction(*args, **options) as tx:
            yield _OpenTransaction(tx, self._between)


class _OpenTransaction(_Wrapped):
    """A transaction after each of whose changes somebody may commit."""

    async def execute(self, sql: str, *args: Any) -> int:
        changed: int = await self._inner.execute(sql, *args)
        if "borough_scheduled" in sql:
            await self._between()
        return changed


async def moved_while(store: Store, act: Callable[[], Awaitable[bool]] | None) -> bool:
    """Move all that is due, with `act` begun after the first change of the first move; returns what it gave."""
    acting: list[asyncio.Task[bool]] = []

    async def begin() -> None:
        if act is not None and not acting:
            acting.append(asyncio.create_task(_awaited(act), context=Context()))
            await asyncio.wait(acting, timeout=_LET_IN_S)

    clock = SystemClock()
    lease = await Leases(store, clock, "mover").take("relay")
    assert lease is not None
    opened = cast(Store, _OpenStore(store, begin))
    while await ScheduledEvents(opened, clock, Pulse(), Pulse()).move(lease):
        if acting:
            await acting[0]
    return bool(acting) and acting[0].result()


async def _awaited(act: Callable[[], Awaitable[bool]]) -> bool:
    return await act()


async def schedule(store: Store, due: float, event_id: str) -> bool:
    """Have an event wait for its time, which has long passed."""
    async with store.transaction() as tx:
        await tx.execute(
            INSERT_SCHEDULED, due, event_id, "shop.Shop", "shop.Shop.Sold", None, b"{}"
        )
    return True


async def take_back(store: Store, event_id: str) -> bool:
    """Whether there was still time."""

    async def once() -> bool:
        async with store.transaction() as tx:
            return bool(await tx.execute(CANCEL_SCHEDULED, event_id))

    return await rerun(once)
