"""The shop on a disk that fails under it: one process before, during and after.

Customers ask again what was answered 503, with the same key. In the end five databases, three ledgers
and the witness are compared, as after a crash.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from borough.transports.http.client import HttpClient
from rigs.customers import HASHES_AT_ONCE, PatientCustomer, PatientShop, ended, write_notes
from rigs.disks import failing_disk, small_disk
from rigs.shop import RiggedShop, Server, ServerFailed
from shop.demo.journal import Journal
from shop.demo.tally import Tally

__all__ = ["ShopTrial"]

CUSTOMERS = 16
DISK_MIB = 256
"""Far more than the shop writes in an episode: only the fault fills it."""
WRITERS = 2
WORTH_S = 4.0
FAULT_S = 3.0
SIGN_UP_S = 60.0
QUIET_S = 45.0
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
Act = Callable[[], object]


class ShopTrial:
    """One shop, its customers, and what was wrong."""

    def __init__(self, folder: Path, chance: random.Random, stack: ExitStack) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._chance = chance
        self._stack = stack
        self._server: Server | None = None
        self.tally = Tally()
        self.wrong: list[str] = []

    def make_disk(self) -> tuple[Act, Act]:
        """Mount the shop's disk; how it is made to fail, and how it is mended."""
        how = self._chance.choice(("full", "unsynced", "limited"))
        if how == "unsynced":
            failing = self._stack.enter_context(failing_disk(self._data, DISK_MIB))
            return failing.fail_syncs, failing.mend
        small = self._stack.enter_context(small_disk(self._data, DISK_MIB))
        if how == "full":
            return small.fill, small.free
        return lambda: self._limit(True), lambda: self._limit(False)

    def _limit(self, on: bool) -> None:
        sizes = [path.stat().st_size for path in self._data.rglob("*") if path.is_file()]
        size = self._chance.randrange(max(sizes) + 1)
        assert self._server is not None
        limits = (size, UNLIMITED[1]) if on else UNLIMITED
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, limits)

    async def run(self) -> None:
        """From the first start to the judgement."""
        breaks, heals = self.make_disk()
        shop = RiggedShop(self._folder)
        try:
            await self._run(shop, breaks, heals)
        except ServerFailed as error:
            self.wrong.append(f"stuck: {error}")
        finally:
            await shop.close()

    async def _run(self, shop: RiggedShop, breaks: Act, heals: Act) -> None:
        self._server = server = await shop.start_server()
        await server.until_ready()
        client, journal = HttpClient(), Journal(shop.places.answers)
        door = PatientShop(client, shop.origin, self.tally)
        door.opens()
        stopping, known = asyncio.Event(), asyncio.Semaphore(0)
        traffic = self._open_doors(door, journal, stopping, known)
        try:
            async with asyncio.timeout(SIGN_UP_S):
                for _ in range(CUSTOMERS):
                    await known.acquire()
            for _ in range(self._chance.choice((1, 2, 3))):
                await asyncio.sleep(self._chance.uniform(0.5, WORTH_S))
                breaks()
                await asyncio.sleep(self._chance.uniform(0.2, FAULT_S))
                heals()
            await asyncio.sleep(WORTH_S)
            stopping.set()
            self.wrong += await ended(traffic, self.tally)
        finally:
            for task in traffic:
                task.cancel()
            await asyncio.gather(*traffic, return_exceptions=True)
            await client.close()
            await journal.close()
        unfinished = await shop.until_quiet(QUIET_S)
        if unfinished:
            self.wrong.append(f"stuck: after {QUIET_S:.0f} s {'; '.join(unfinished)}")
        await server.stop()
        self.wrong += await asyncio.to_thread(shop.breaches)

    def _open_doors(
        self,
        door: PatientShop,
        journal: Journal,
        stopping: asyncio.Event,
        known: asyncio.Semaphore,
    ) -> list[asyncio.Future[None]]:
        run, hashing = os.urandom(3).hex(), asyncio.Semaphore(HASHES_AT_ONCE)
        seed = self._chance.randrange(1 << 30)
        customers = [
            PatientCustomer(door, journal, seed, run, number).live(stopping, hashing, known)
            for number in range(CUSTOMERS)
        ]
        writers = [
            write_notes(door, journal, f"{run}-{number}", stopping) for number in range(WRITERS)
        ]
        return [asyncio.ensure_future(work) for work in (*customers, *writers)]
