"""The crowd of a flash sale, and the conductor who has search scaled by `borough scale`.

What is seen while the number of replicas changes counts for errors, and not for the rates of a phase.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shop.demo.customer import WORDS, Shop, Unexpected
from shop.demo.flash_sale import PHASES, Phase, Seen, verdict

BETWEEN_S = 0.02
"""Between two searches of one who searches."""
SETTLE_S = 0.5
"""Between a change and the measured part of a phase."""


class SaleShop(Shop):
    """A shop that also notes, for the phase at hand, how long searches and paid orders took."""

    seen: Seen | None = None

    async def ask(
        self,
        method: str,
        path: str,
        *expected: int,
        body: Any = None,
        token: str = "",
        key: str = "",
    ) -> tuple[int, Any]:
        """See `Shop.ask`."""
        loop = asyncio.get_running_loop()
        began_s, seen = loop.time(), self.seen
        status, document = await super().ask(
            method, path, *expected, body=body, token=token, key=key
        )
        if seen is not None and path == "/orders" and status == 201:
            seen.checkouts.append(loop.time() - began_s)
        return status, document

    async def search(self, word: str) -> None:
        """One search. Raises `Unexpected`."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        _, found = await self.ask("GET", f"/search/items?q={word}&limit=3", 200)
        if not found["items"]:
            self.refuse(f"nothing was found for {word}")
        if self.seen is not None:
            self.seen.searches.append(loop.time() - began_s)


class Scale:
    """`borough scale search=COUNT`, as anybody would say it. Failures go where `fail` leads."""

    def __init__(self, data: Path, fail: Callable[[str], None]) -> None:
        self._data = data
        self._fail = fail

    async def __call__(self, replicas: int) -> None:
        """Returns once so many take calls, and the others have ended."""
        command = ("scale", f"search={replicas}", "--data", str(self._data))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "borough", *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            self._fail(f"borough {' '.join(command)}: {said.decode(errors='replace').strip()}")


class Rush:
    """The phases one after the other, and those who search."""

    def __init__(self, shop: SaleShop, scale: Scale, seconds: float) -> None:
        self._shop = shop
        self._scale = scale
        self._each_s = seconds / len(PHASES)
        self._seen: list[Seen] = []
        self._searchers = 0
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """No further phase."""
        self._stop.set()

    async def run(self, visits: Coroutine[Any, Any, None], end_visits: Callable[[], None]) -> None:
        """All phases, while customers visit. What fails is counted as an error."""
        async with asyncio.TaskGroup() as group:
            group.create_task(visits)
            replicas = 1
            try:
                for phase in PHASES:
                    if phase.replicas != replicas:
                        await self._scale(phase.replicas)
                    replicas = phase.replicas
                    self._gather(phase.searchers, group)
                    await self._lasts(SETTLE_S)
                    with self._watched(phase):
                        await self._lasts(self._each_s)
                    if self._stop.is_set():
                        break
            finally:
                self._searchers = 0
                end_visits()

    def report(self, failed: int) -> dict[str, Any]:
        """What it has come to so far."""
        now_s = asyncio.get_running_loop().time()
        return verdict([seen.report(now_s) for seen in self._seen], failed)

    def _gather(self, searchers: int, group: asyncio.TaskGroup) -> None:
        for number in range(self._searchers, searchers):
            group.create_task(self._search(number))
        self._searchers = searchers

    async def _search(self, number: int) -> None:
        while number < self._searchers:
            with suppress(Unexpected):
                await self._shop.search(WORDS[number % len(WORDS)])
            await asyncio.sleep(BETWEEN_S)

    @contextmanager
    def _watched(self, phase: Phase) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        seen = Seen(phase, loop.time())
        self._seen.append(seen)
        self._shop.seen = seen
        try:
            yield
        finally:
            seen.end(loop.time())
            self._shop.seen = None

    async def _lasts(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
