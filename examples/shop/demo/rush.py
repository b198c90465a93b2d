"""The conductor of a flash sale: sends the crowd, and has search scaled by `borough scale`.

The crowd is a process of its own (`crowd.py`): customers who buy do not wait for it in theirs. What is
seen while the number of replicas changes counts for errors, and not for the rates of a phase.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shop.demo.customer import Shop
from shop.demo.flash_sale import PHASES, Phase, Seen, verdict

LONGEST_LINE = 1024 * 1024
SETTLE_S = 0.5
"""Between a change and the measured part of a phase."""


class SaleShop(Shop):
    """A shop that also notes, for the phase at hand, how long paid orders took."""

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
    """The phases one after the other, and what the crowd at `edge` sees in each."""

    def __init__(self, shop: SaleShop, scale: Scale, seconds: float, edge: str) -> None:
        self._shop = shop
        self._scale = scale
        self._edge = edge
        self._each_s = seconds / len(PHASES)
        self._seen: list[Seen] = []
        self._stop = asyncio.Event()
        self._word = asyncio.Event()
        self._is_gone = False

    def stop(self) -> None:
        """No further phase."""
        self._stop.set()

    async def run(self, visits: Coroutine[Any, Any, None], end_visits: Callable[[], None]) -> None:
        """All phases, while customers visit. What fails is counted as an error."""
        crowd = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "shop.demo.crowd", "--edge", self._edge),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,  # whose share of the processor it may lower
        )
        assert crowd.stdin is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(visits)
            group.create_task(self._hear(crowd))
            replicas = 1
            try:
                await self._next_word()
                for phase in PHASES:
                    if phase.replicas != replicas:
                        await self._scale(phase.replicas)
                    replicas = phase.replicas
                    crowd.stdin.write(b"%d\n" % phase.searchers)
                    await self._lasts(SETTLE_S)
                    await self._next_word()  # what comes after it is of this phase
                    with self._watched(phase):
                        await self._lasts(self._each_s)
                        await self._next_word()
                    if self._stop.is_set():
                        break
            finally:
                crowd.stdin.close()
                end_visits()

    def report(self, failed: int) -> dict[str, Any]:
        """What it has come to so far."""
        now_s = asyncio.get_running_loop().time()
        return verdict([seen.report(now_s) for seen in self._seen], failed)

    async def _hear(self, crowd: asyncio.subprocess.Process) -> None:
        """Count what the crowd tells, until it has gone."""
        assert crowd.stdout is not None
        tally = self._shop.tally
        async for line in crowd.stdout:
            told = json.loads(line)
            for took_s in told["took_s"]:
                tally.latencies.add(took_s)
            if self._shop.seen is not None:
                self._shop.seen.searches += told["took_s"]
            for sentence in told["sentences"]:
                tally.fail(sentence)
            tally.errors += told["errors"] - len(told["sentences"])
            self._word.set()
        self._is_gone = True
        self._word.set()
        if await crowd.wait():
            tally.fail(f"the crowd has ended with status {crowd.returncode}")

    async def _next_word(self) -> None:
        """Wait until the crowd has told what it saw until now; one that has gone tells no more."""
        if not self._is_gone:
            self._word.clear()
            await self._word.wait()

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
