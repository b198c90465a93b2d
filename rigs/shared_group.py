"""Kills and pauses two processes that share every role: their ledger is right, past holders are fenced.

Both run the same source and sink on one data folder. Of each four episodes three are a kill at a
random moment, and one is a pause by SIGSTOP that lasts longer than a lease. A round ends with the
comparison, and must have seen that a write of a past holder was refused.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from borough.errors import CallError
from borough.transports.http.client import HttpClient
from rigs.episodes import Episode, Fault, Rig
from rigs.pair.system import Note, Pair, any_port
from rigs.shop import ServerFailed

PROCESSES = 2
WRITERS = 16
LEASE_S = 0.6
PER_ROUND = 40
PAUSE_EACH = 4
PAUSES_IN_LEASES = (1.1, 2.5)
SURE_PAUSES = 8
"""After so many, a past holder has tried to write."""
LIVES_S = 0.4
NOTE_S = 5.0
QUIET_S = 45.0
REFUSED = "went to another process"
"""What the product says when a past holder's write was refused."""


class Writers:
    """Write notes to whichever process answers; each note until it is acknowledged."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._client = HttpClient()
        self._stopping = False
        self.acknowledged: list[Note] = []
        self.unexpected: list[str] = []
        self._tasks = [
            asyncio.ensure_future(self._write(f"writer-{number}", number))
            for number in range(WRITERS)
        ]

    async def _write(self, writer: str, turn: int) -> None:
        loop = asyncio.get_running_loop()
        headers = [(b"content-type", b"application/json")]
        number = 0
        while not self._stopping:
            number += 1
            body = msgspec.json.encode({"writer": writer, "number": number})
            while True:
                origin = ("127.0.0.1", self._ports[turn % len(self._ports)])
                try:
                    response = await self._client.send(
                        origin, "POST", "/source/notes", headers, body, loop.time() + NOTE_S
                    )
                except CallError:
                    turn += 1
                    await asyncio.sleep(0.05)
                    continue
                if response.status == 201:
                    break
                if response.status not in (503, 504):
                    self.unexpected.append(f"a note was answered {response.status}")
                turn += 1
                await asyncio.sleep(0.05)
            self.acknowledged.append((writer, number))
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Let every note that was begun be acknowledged. Raises `TimeoutError`."""
        self._stopping = True
        async with asyncio.timeout(QUIET_S):
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()


class Round:
    """One folder and its two processes."""

    def __init__(self, folder: Path, launcher: Sequence[str]) -> None:
        self._pair = Pair(folder, LEASE_S)
        self._launcher = launcher
        self._ports = [any_port() for _ in range(PROCESSES)]
        self._writers: Writers | None = None
        self._pauses = 0

    async def start(self) -> None:
        """Start both, and the traffic."""
        for port in self._ports:
            server = await self._pair.start(port, self._launcher)
            self._pair.servers.append(server)
            await server.until_ready()
        self._writers = Writers(self._ports)

    async def upset(self, seed: int) -> dict[str, Any]:
        """Kill one of them and start it anew, or pause it; returns what was done."""
        chance = random.Random(seed)
        place = chance.randrange(PROCESSES)
        server = self._pair.servers[place]
        await asyncio.sleep(chance.uniform(0.0, LIVES_S))
        if seed % PAUSE_EACH == 0:
            await server.until_ready()
            pause_s = LEASE_S * chance.uniform(*PAUSES_IN_LEASES)
            self._pauses += 1
            server.signal(signal.SIGSTOP)
            await asyncio.sleep(pause_s)
            server.signal(signal.SIGCONT)
            return {"did": "pause", "ms": round(pause_s * 1000)}
        await server.kill()
        self._pair.servers[place] = await self._pair.start(self._ports[place], self._launcher)
        return {"did": "kill"}

    async def judge(self) -> tuple[list[str], dict[str, Any]]:
        """Let everything end, and compare."""
        assert self._writers is not None
        wrong: list[str] = []
        for server in self._pair.servers:
            await server.until_ready()
        try:
            await self._writers.stop()
        except TimeoutError:
            wrong.append(f"stuck: notes are not acknowledged after {QUIET_S:.0f} s")
        wrong += [f"stuck: {what}" for what in await self._pair.until_quiet(QUIET_S)]
        for server in self._pair.servers:
            await server.stop()
        wrong += self._writers.unexpected
        wrong += self._pair.breaches(self._writers.acknowledged)
        refused = self._pair.said(REFUSED)
        if not refused and self._pauses >= SURE_PAUSES:
            wrong.append("unfenced: no write of a past holder was refused")
        return wrong, {"notes": len(self._writers.acknowledged), "refused": refused}

    async def close(self) -> None:
        """End everything."""
        if self._writers is not None:
            await self._writers.close()
        await self._pair.close()


async def play(folder: Path, seeds: Sequence[int], planted: str | None) -> list[Episode]:
    """One round."""
    launcher = ("-m", "borough") if planted is None else ("-m", "rigs.planted", planted)
    trial = Round(folder, launcher)
    facts: dict[int, dict[str, Any]] = {seed: {} for seed in seeds}
    try:
        await trial.start()
        for seed in seeds:
            facts[seed] = await trial.upset(seed)
        wrong, figures = await trial.judge()
        facts[seeds[-1]].update(figures)
    except ServerFailed as error:
        wrong = [f"stuck: {error}"]
    finally:
        await trial.close()
    told = [f"the round of seeds {seeds[0]}-{seeds[-1]} is wrong: see its last"] if wrong else []
    episodes = [Episode(seed, told, facts[seed]) for seed in seeds[:-1]]
    return [*episodes, Episode(seeds[-1], wrong, facts[seeds[-1]])]


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """Round after round; a bad one leaves its folder."""
    for first in range(0, len(seeds), options.round):
        folder = Path(tempfile.mkdtemp(prefix="borough-group-"))
        is_bad = True
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                part = seeds[first : first + options.round]
                episodes = runner.run(play(folder, part, planted))
            is_bad = any(episode.wrong for episode in episodes) and planted is None
        finally:
            if not is_bad:
                shutil.rmtree(folder, ignore_errors=True)
        if is_bad:
            print(f"shared_group: everything is kept in {folder}", flush=True)
        yield from episodes


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--round", type=int, default=PER_ROUND, help=f"episodes per folder ({PER_ROUND})"
    )


PLANTED = {"inbox": Fault(PER_ROUND, "doubled: "), "fence": Fault(PER_ROUND, "unfenced: ")}
RIG = Rig("kills and pauses", run, PLANTED, add_arguments=_add_arguments)
