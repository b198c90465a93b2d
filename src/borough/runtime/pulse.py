"""A wake-up that says "look again". It carries nothing: whoever is woken looks at the truth.

Each beat raises a count. A waiter names the count it has seen, so a beat between looking and
waiting is never missed, and many may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from borough.clock import Clock

__all__ = ["Pulse", "Quietable", "set_before", "set_within", "until_quiet"]

_LOOK_AGAIN_S = 0.05  # another process, or reading past another topic, beats nothing here


class Pulse:
    """A counter of beats that can be awaited, within one loop."""

    __slots__ = ("_waiters", "count")

    def __init__(self) -> None:
        self.count = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Wake everybody who waits."""
        self.count += 1
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def wait(self, seen: int, timeout_s: float | None = None) -> bool:
        """Wait for a beat after the `seen`-th; returns False when none came within `timeout_s`."""
        if self.count != seen:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return self.count != seen
        finally:
            self._waiters.discard(waiter)
        return True


class Quietable(Protocol):
    """A part of the running system that can say whether it has anything left to do."""

    async def quiet(self) -> bool: ...


async def until_quiet(parts: Sequence[Quietable], activity: Pulse) -> None:
    """Wait until no part has anything to do and none has done anything meanwhile.

    Every part beats `activity` when it does something, so a look without a beat saw one moment.
    """
    while True:
        seen = activity.count
        looks = [await part.quiet() for part in parts]
        if all(looks) and activity.count == seen:
            return
        if activity.count == seen:
            await activity.wait(seen, _LOOK_AGAIN_S)


async def set_within(event: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait on this clock until `event` is set or the time is over; returns whether it is set."""
    if seconds <= 0 or event.is_set():
        return event.is_set()
    return await set_before(event, clock.sleep(seconds))


async def set_before(event: asyncio.Event, end: Coroutine[Any, Any, None]) -> bool:
    """Wait until `event` is set or `end` has come; returns whether it is set."""
    sleep = asyncio.ensure_future(end)
    being_set = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([sleep, being_set], return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleep.cancel()
        being_set.cancel()
        await asyncio.wait([sleep, being_set])
    return event.is_set()
