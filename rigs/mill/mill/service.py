"""The mill. Two stones stand for a pool of connections to something slow."""

import asyncio
import time
from typing import Any, final

from borough import Service
from rigs.mill.mill.contract import Mill

WORK_S = 0.005
STONES = 2


@final
class MillService(Service, Mill):
    """Answers with the next number."""

    def __init__(self, **dependencies: Any) -> None:
        super().__init__(**dependencies)
        self._stones = asyncio.Semaphore(STONES)

    async def grind(self, number: int) -> int:
        until = time.thread_time() + WORK_S
        while time.thread_time() < until:
            pass
        return number + 1

    async def fetch(self, number: int) -> int:
        async with self._stones:
            await asyncio.sleep(WORK_S)
        return number + 1
