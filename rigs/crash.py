"""Kills the shop under traffic at random moments and restarts it on the same data, again and again.

Each life is a process that is forked from one which has imported the code and does nothing else.
A round begins on an empty folder, so that its first kills hit the first start and its migrations;
with `--store postgres` on a server of its own, which lives on while the shop dies.
After its kills traffic stops, the shop must become quiet, and what customers were told is compared
with all databases and ledgers. Only then are the round's episodes, each a kill, good or bad.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from borough.engines.started import started
from borough.transports.http.client import HttpClient
from rigs.customers import (
    HASHES_AT_ONCE,
    PatientCustomer,
    PatientShop,
    ended,
    write_notes,
)
from rigs.episodes import Episode, Fault, Rig
from rigs.shop import RiggedShop, Server, ServerFailed
from shop.demo.journal import Journal
from shop.demo.tally import Tally

CUSTOMERS = 48
LATECOMERS = 1 / 8
"""Sign up between the kills, and not before them."""
WRITERS = 4
ADMITTED_S = 300.0
"""How long they may take to sign up: a busy machine is slow to hash so many passwords."""
KILLS_PER_ROUND = 100
PLANTED_KILLS_PER_ROUND = 16
PLANTED_CUSTOMERS = 16
FIRST_START_KILLS = 6
"""So many kills of a round fall into the start on an empty folder and what follows it."""
LIVES_S = 0.6
"""How long a life may be from ready on."""
TYPICAL_START_S = 0.6
STARTING_SHARE = 0.4
LONG_LIFE_EACH = 10
LONG_LIVES_S = 2.5
"""Now and then a life is long enough for whole orders."""
QUIET_S = 45.0


class Round:
    """One folder, its kills, and its judgement."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        customers: int,
        launcher: Sequence[str],
        arguments: Sequence[str],
    ) -> None:
        self._known_at_first = customers - int(customers * LATECOMERS)
        self._shop = RiggedShop(folder, launcher, arguments, forks=True)
        self._tally = Tally()
        self._client = HttpClient()
        self._door = PatientShop(self._client, self._shop.origin, self._tally)
        self._journal = Journal(self._shop.places.answers)
        self._stopping = asyncio.Event()
        self._start_s = TYPICAL_START_S
        self._kills = 0
        self._known = asyncio.Semaphore(0)
        run = os.urandom(3).hex()
        hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._traffic = [
            asyncio.ensure_future(
                PatientCustomer(self._door, self._journal, seed, run, number).live(
                    self._stopping, hashing, self._known
                )
            )
            for number in range(customers)
        ] + [
            asyncio.ensure_future(
                write_notes(self._door, self._journal, f"{run}-{number}", self._stopping)
            )
            for number in range(WRITERS)
        ]

    async def admit_customers(self) -> None:
        """Let the shop live until most have signed up; the others do so between the kills."""
        server = await self._shop.start_server()
        await server.until_ready()
        self._is_ready(server)
        known = asyncio.ensure_future(self._know(self._known_at_first))
        await asyncio.wait(
            [known, *self._traffic], timeout=ADMITTED_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not known.done():
            known.cancel()
            raise ServerFailed(f"customers cannot sign up: {self._tally.sentences}")
        self._door.dies()
        await server.kill()

    async def _know(self, count: int) -> None:
        for _ in range(count):
            await self._known.acquire()

    async def kill(self, seed: int) -> dict[str, Any]:
        """One life of the server and its end; returns what was going on. Raises `ServerFailed`."""
        chance = random.Random(seed)
        self._kills += 1
        is_first = self._kills <= FIRST_START_KILLS
        server = await self._shop.start_server()
        is_long = self._kills % LONG_LIFE_EACH == 0
        if is_first or (not is_long and chance.random() < STARTING_SHARE):
            phase, moment_s = "start", self._start_s * chance.uniform(0.0, 1.1)
            done, _ = await asyncio.wait([server.ready], timeout=moment_s)
            if done:
                self._is_ready(server)
        else:
            longest_s = LONG_LIVES_S if is_long else LIVES_S
            phase, moment_s = "ready", chance.uniform(0.0, longest_s)
            await server.until_ready()
            self._is_ready(server)
            await asyncio.sleep(moment_s)
        in_flight = self._door.checkouts
        self._door.dies()
        await server.kill()
        return {"phase": phase, "moment_ms": round(moment_s * 1000), "in_flight": in_flight}

    def _is_ready(self, server: Server) -> None:
        self._start_s += 0.3 * (server.ready.result() - self._start_s)
        self._door.opens()

    async def judge(self) -> list[str]:
        """Let all that is under way end, and compare; returns what is wrong."""
        server = await self._shop.start_server()
        await server.until_ready()
        self._door.opens()
        self._stopping.set()
        wrong = await ended(self._traffic, self._tally)
        unfinished = await self._shop.until_quiet(QUIET_S)
        if unfinished:
            wrong.append(f"stuck: after {QUIET_S:.0f} s {'; '.join(unfinished)}")
        await server.stop()
        return wrong + await asyncio.to_thread(self._shop.breaches)

    @property
    def figures(self) -> dict[str, Any]:
        """What has come of the round."""
        tally = self._tally
        return {"orders": tally.orders, "paid": tally.paid, "tried_again": self._door.tried_again}

    async def close(self) -> None:
        """End everything."""
        for task in self._traffic:
            task.cancel()
        await asyncio.gather(*self._traffic, return_exceptions=True)
        await self._client.close()
        await self._journal.close()
        await self._shop.close()


async def play(
    folder: Path,
    seeds: Sequence[int],
    customers: int,
    arguments: Sequence[str],
    planted: str | None,
) -> list[Episode]:
    """One round."""
    launcher = ("-m", "borough") if planted is None else ("-m", "rigs.planted", planted)
    trial = Round(folder, seeds[0], customers, launcher, arguments)
    facts: dict[int, dict[str, Any]] = {}
    try:
        for number, seed in enumerate(seeds):
            if number == FIRST_START_KILLS:
                await trial.admit_customers()
            facts[seed] = await trial.kill(seed)
        wrong = await trial.judge()
    except ServerFailed as error:
        wrong = [f"stuck: {error}"]
    finally:
        await trial.close()
    facts.setdefault(seeds[-1], {}).update(trial.figures)
    told = [f"the round of seeds {seeds[0]}-{seeds[-1]} is wrong: see its last"] if wrong else []
    episodes = [Episode(seed, told, facts.get(seed, {})) for seed in seeds[:-1]]
    return [*episodes, Episode(seeds[-1], wrong, facts[seeds[-1]])]


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """Round after round; a bad one leaves its folder."""
    size, customers = PLANTED_KILLS_PER_ROUND, PLANTED_CUSTOMERS
    if planted is None:
        size, customers = options.round, options.customers
    engines = ["postgres"] if options.store == "postgres" else []
    for first in range(0, len(seeds), size):
        folder = Path(tempfile.mkdtemp(prefix="borough-crash-"))
        folder.chmod(0o755)  # a server's account has its data there
        part = seeds[first : first + size]
        is_bad = True
        try:
            with (
                started(engines, folder) as found,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                arguments = ["--store", options.store]
                for name, value in found.items():
                    arguments += ["--set", f"{name}={value}"]
                episodes = runner.run(play(folder, part, customers, arguments, planted))
            is_bad = any(episode.wrong for episode in episodes) and planted is None
        finally:
            if not is_bad:
                shutil.rmtree(folder, ignore_errors=True)
        if is_bad:
            print(f"crash: everything is kept in {folder}", flush=True)
        yield from episodes


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", choices=("sqlite", "postgres"), default="sqlite", help="of all services (sqlite)"
    )
    parser.add_argument(
        "--round", type=int, default=KILLS_PER_ROUND, help=f"kills per folder ({KILLS_PER_ROUND})"
    )
    parser.add_argument(
        "--customers", type=int, default=CUSTOMERS, help=f"who buy at once ({CUSTOMERS})"
    )


PLANTED = {"inbox": Fault(64, "doubled: "), "acknowledged": Fault(64, "lost: note ")}
RIG = Rig("kills", run, PLANTED, variant="store", add_arguments=_add_arguments)
