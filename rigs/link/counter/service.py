"""The counter. It remembers in memory: nobody kills it."""

from collections import Counter as Times
from typing import Any, final

from borough import Service
from rigs.link.counter.contract import Counter


@final
class CounterService(Service, Counter):
    """Counts how often it was asked for each number."""

    def __init__(self, **dependencies: Any) -> None:
        super().__init__(**dependencies)
        self._times: Times[int] = Times()

    async def mark(self, number: int, text: str) -> str:
        self._times[number] += 1
        return f"{number}:{text}"

    async def echo(self, number: int, text: str) -> str:
        return f"{number}:{text}"

    async def marks(self) -> tuple[tuple[int, int], ...]:
        times, self._times = self._times, Times()
        return tuple(times.items())
