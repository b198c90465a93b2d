"""Kills a traced process with -9 under traffic: of what it had answered, at most the last second is not kept.

Each request has a trace id of the rig's own. Odd seeds kill the shop as one process, which is also its keeper; even
ones kill a replica of a fleet, whose supervisor keeps. Then the store is asked for every trace that was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from borough.errors import CallError
from borough.observing.store import FILE, TelemetryFile
from borough.transports.http.client import HttpClient
from rigs.episodes import ROOT, Episode, Fault, Rig
from rigs.launching import module_path
from rigs.pair.system import any_port
from rigs.shop import Server

VICTIM = "search"
TARGET = "/search/items?limit=5"
PER_S = 100.0
LIVES_S = (2.0, 5.0)
SHARE_S = 1.0
"""What may be lost: all that was recorded within the last second."""
SLACK_S = 0.5
"""A second that begins late, because others use the machine, too."""
SELDOM = {"BOROUGH_TELEMETRY_EVERY_S": "60"}
"""The planted fault: what was recorded stays in the process for a minute."""
_SPANS = "select distinct trace_id from spans where service = ?"


class Answered(NamedTuple):
    """A request that was answered."""

    trace_id: str
    at_s: float


class Victim:
    """The shop, and the one of its processes that is killed."""

    def __init__(self, folder: Path, topology: str, options: dict[str, str]) -> None:
        self.data = folder / "data"
        self._log = folder / "server.log"
        self._topology = topology
        self._origin = ("127.0.0.1", any_port())
        self._client = HttpClient()
        self._server: Server | None = None
        self._environment = dict(os.environ) | {
            "PYTHONPATH": module_path(),
            "BOROUGH_EDGE_PORT": str(self._origin[1]),
            "BOROUGH_EDGE_RATE_LIMIT": "",
            "BOROUGH_DATA_FOLDER": str(self.data),
            **options,
        }

    async def start(self) -> int:
        """Start it; returns the pid of who will be killed. Raises `ServerFailed`."""
        shop, words = ROOT / "examples" / "shop", ("--topology", self._topology)
        server = self._server = await Server.begin(shop, self._log, self._environment, words)
        await server.until_ready()
        replicas = json.loads(server.announced).get("replicas", ())
        pids = [each["pid"] for each in replicas if each["deployable"] == VICTIM]
        return int(pids[0]) if pids else server.pid

    async def visit(self, seed: int, seconds: float) -> list[Answered]:
        """Requests at random times; returns those that were answered, with the time of the answer."""
        chance, loop = random.Random(seed), asyncio.get_running_loop()
        answered: list[Answered] = []
        due = began = loop.time()
        async with asyncio.TaskGroup() as group:
            while due < began + seconds:
                await asyncio.sleep(max(0.0, due - loop.time()))
                group.create_task(self._ask(chance.getrandbits(128) | 1, answered))
                due += chance.expovariate(PER_S)
        return answered

    async def _ask(self, number: int, answered: list[Answered]) -> None:
        trace_id = f"{number:032x}"
        fields = ((b"traceparent", f"00-{trace_id}-{'1' * 16}-01".encode()),)
        deadline = asyncio.get_running_loop().time() + 10.0
        with contextlib.suppress(CallError):
            answer = await self._client.send(self._origin, "GET", TARGET, fields, b"", deadline)
            if answer.status == 200:
                answered.append(Answered(trace_id, time.monotonic()))

    async def stop(self) -> None:
        """Stop what still runs."""
        if self._server is not None and not self._server.has_ended:
            await self._server.stop()

    async def close(self) -> None:
        """End it."""
        await self._client.close()
        if self._server is not None:
            await self._server.discard()

    def kept(self) -> set[str]:
        """The traces that the store has of the victim."""
        file = TelemetryFile(self.data / FILE)
        try:
            file.settle("traces", most_bytes=1 << 40)
            return {trace_id for (trace_id,) in file.rows(_SPANS, (VICTIM,))}
        finally:
            file.close()


async def play(seed: int, fault: str | None) -> Episode:
    """One kill."""
    topology = "one" if seed % 2 else "fleet"
    with tempfile.TemporaryDirectory(prefix="borough-span-loss-") as folder:
        victim = Victim(Path(folder), topology, SELDOM if fault else {})
        try:
            pid = await victim.start()
            answered = await victim.visit(seed, random.Random(seed).uniform(*LIVES_S))
            killed_s = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            if topology == "fleet":
                await victim.stop()
            else:
                await victim.close()
            kept = await asyncio.to_thread(victim.kept)
        finally:
            await victim.close()
    ages = sorted(killed_s - each.at_s for each in answered if each.trace_id not in kept)
    facts = {
        "topology": topology,
        "load": round(os.getloadavg()[0], 1),
        "answered": len(answered),
        "not_kept": len(ages),
        "oldest_s": round(ages[-1], 3) if ages else 0.0,
    }
    return Episode(seed, list(judge(len(answered), ages)), facts)


def judge(answered: int, ages: Sequence[float]) -> Iterator[str]:
    """What is wrong, in words. `ages` says how long before the kill each answer that is not kept had come."""
    if not answered:
        yield "nothing was answered"
    early = [age for age in ages if age > SHARE_S + SLACK_S]
    if early:
        yield f"lost: {len(early)} spans of up to {max(early):.1f} s before the kill"


def run(_options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One kill for each seed."""
    for seed in seeds:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            yield runner.run(play(seed, planted))


RIG = Rig("kills", run, {"seldom": Fault(1, "lost: ")})
