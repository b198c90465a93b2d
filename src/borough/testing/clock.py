"""A clock that stands until a test moves it, with ids and randomness from a seed."""

from __future__ import annotations

import asyncio
import heapq
import random  # noqa: TID251 - a seeded source of its own is what this clock is for
from datetime import UTC, datetime, timedelta
from uuid import UUID

from borough.clock import uuid7

__all__ = ["ManualClock"]


class ManualClock:
    """A `Clock` for tests: `advance` moves it and wakes who slept; equal seeds give equal ids.

    Raises `ValueError` for a start without a time zone: no clock tells such a time.
    """

    def __init__(self, start: datetime | None = None, *, seed: int = 0) -> None:
        if start is not None and start.utcoffset() is None:
            raise ValueError(f"{start!r} has no time zone; write datetime(..., tzinfo=UTC)")
        self.random = random.Random(seed)
        self._now = start or datetime(2030, 1, 1, tzinfo=UTC)
        self._monotonic = 0.0
        self._minted = 0
        self._slept = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def epoch_s(self) -> float:
        return self._now.timestamp()

    def monotonic(self) -> float:
        return self._monotonic

    def new_id(self) -> UUID:
        # The count keeps ids of one standing moment in the order in which they were minted.
        self._minted += 1
        entropy = (self._minted % 2**18) << 62 | self.random.getrandbits(62)
        return uuid7(int(self.epoch_s() * 1000), entropy.to_bytes(10, "big"))

    def token(self, length: int) -> bytes:
        return self.random.randbytes(length)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1  # who slept first wakes first
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._slept, waiter))
        await waiter

    def advance(self, by: float | timedelta) -> None:
        """Move both clocks on, by seconds or a `timedelta`; what slept until then wakes in the order of its time."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                waiter.set_result(None)
