"""How long a search takes where the engine is a server of its own: to be tried, off by default."""

import asyncio
from typing import Annotated

from borough import Clock, Meta, Settings


class SearchSettings(Settings):
    """An engine that answers each search after `engine_ms`, no more than `engine_slots` at a time."""

    engine_ms: Annotated[float, Meta(ge=0)] = 0.0
    engine_slots: Annotated[int, Meta(ge=1)] = 8


class Engine:
    """What a search waits for before the database answers it."""

    def __init__(self, settings: SearchSettings, clock: Clock) -> None:
        self._seconds = settings.engine_ms / 1000
        self._slots = asyncio.Semaphore(settings.engine_slots)
        self._clock = clock

    async def answered(self) -> None:
        """Wait for a slot, and then as long as the engine takes."""
        if self._seconds:
            async with self._slots:
                await self._clock.sleep(self._seconds)
