"""A reading that begins in the past: first what the publisher retains, then what the broker brings.

The handler has joined the topic before, so what is published meanwhile waits at the broker. What
comes from both is known by its id, and dropped. One question is open at a time, and its answer outlives
whoever gives up waiting for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from borough.ports import Delivery, Message, Subscription
from borough.runtime.history import Past

__all__ = ["PastFirst"]


class PastFirst:
    """A `Subscription` over that of a broker without history. Receipts of past events are below zero."""

    def __init__(self, subscription: Subscription, past: Past, after: int) -> None:
        self._inner = subscription
        self._past = past
        self._after = after
        self._ready: deque[Message] = deque()
        self._given = 0
        self._is_over = False
        self._reading: asyncio.Task[tuple[list[Message], int]] | None = None

    @property
    def position(self) -> int:
        """That of the broker."""
        return self._inner.position

    @property
    def missed(self) -> int:
        """What retention has removed, as the broker says."""
        return self._inner.missed

    async def take(self, limit: int) -> Sequence[Delivery]:
        """The next ones, at least one. Raises `BrokerError`."""
        while not self._is_over:
            if self._ready:
                return [self._delivery() for _ in range(min(limit, len(self._ready)))]
            if self._reading is None:
                self._reading = asyncio.create_task(self._past.read(self._after))
            await asyncio.wait([self._reading])
            reading, self._reading = self._reading, None
            events, _ = reading.result()
            if events:
                self._after = events[-1].sequence
            self._ready.extend(events)
            self._is_over = not events
        return await self._inner.take(limit)

    async def done(self, position: int) -> None:
        """What the broker gave is handed back to it."""
        if position >= 0:
            await self._inner.done(position)

    async def close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        await self._inner.close()

    def _delivery(self) -> Delivery:
        self._given -= 1
        return Delivery(self._ready.popleft(), self._given)
