"""Calls between two processes across a bad link: each ends in time, with a right outcome, sent once.

Between a caller and a counter stands the toxic proxy. In each episode both directions go bad in
several ways, one after the other. What counts: every call ends by its deadline; an answer is its own;
who was told that nothing was sent finds that nothing has happened; no unsafe request happens twice;
on a clean link all goes well again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from borough.transports.http.client import HttpClient
from rigs.episodes import Episode, Fault, Rig
from rigs.launching import module_path
from rigs.link.caller import Task
from rigs.pair.system import any_port
from rigs.shop import Server
from rigs.toxic import CLEAN, ToxicProxy, Toxics

SYSTEM = """
[system]
name = "link"

[services.counter]
module = "rigs.link.counter.service"
"""
TIMEOUT_S = 0.8
SLACK_S = 1.0
"""How late a call may end on a machine that has other things to do."""
PHASES = 3
PHASE_S = 0.7
LONGEST_S = 60.0
UNSENT = "Unavailable"
OUTCOMES = frozenset({"answered", UNSENT, "DeadlineExceeded", "ServiceFailure"})


def any_toxics(chance: random.Random) -> Toxics:
    """One way in which a direction goes bad, or none."""
    kinds: Sequence[Toxics] = (
        CLEAN,
        Toxics(latency_s=chance.uniform(0.0, 0.5), jitter_s=chance.uniform(0.0, 0.5)),
        Toxics(bytes_per_s=chance.uniform(1_000, 50_000)),
        Toxics(slow_close_s=chance.uniform(0.0, 1.0)),
        Toxics(is_black_hole=True),
        Toxics(reset_after=chance.randrange(1, 3_000)),
        Toxics(slice_bytes=chance.randrange(1, 100), slice_pause_s=chance.uniform(0.0, 0.005)),
        Toxics(limit_bytes=chance.randrange(1, 3_000)),
    )
    return chance.choice(kinds)


class Trial:
    """A counter that lives on, and what an episode does to the link before it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = any_port()
        self._server: Server | None = None
        self._environment = dict(os.environ) | {
            "BOROUGH_EDGE_RATE_LIMIT": "1000000/s",
            "PYTHONPATH": module_path(),
        }

    async def start(self) -> None:
        """Start the counter."""
        system = self._folder / "link_system"
        system.mkdir()
        (system / "borough.toml").write_text(SYSTEM)
        log = self._folder / "server.log"
        words = ("--port", str(self._port), "--data", str(self._folder / "data"))
        self._server = await Server.begin(system, log, self._environment, words)
        await self._server.until_ready()

    async def play(self, seed: int, fault: str) -> Episode:
        """One episode."""
        chance = random.Random(seed)
        proxy = ToxicProxy(("127.0.0.1", self._port), chance)
        await proxy.open(any_port())
        task = Task(proxy.port, seed, TIMEOUT_S, fault)
        caller = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "rigs.link.caller", json.dumps(task._asdict())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        spoiling = asyncio.ensure_future(self._spoil(proxy, caller, chance))
        try:
            async with asyncio.timeout(LONGEST_S):
                assert caller.stdout is not None
                told = [json.loads(line) async for line in caller.stdout]
                await spoiling
        except TimeoutError:
            return Episode(seed, [f"late: calls have no end after {LONGEST_S:.0f} s"])
        finally:
            spoiling.cancel()
            if caller.returncode is None:
                caller.kill()
            await caller.wait()
            await proxy.close()
        marks = await self._marks()
        wrong = list(judge(told, marks))
        facts: dict[str, Any] = {"connections": proxy.connections}
        facts |= Counter(call["outcome"] for call in told if "outcome" in call)
        return Episode(seed, wrong, facts)

    async def _spoil(
        self, proxy: ToxicProxy, caller: asyncio.subprocess.Process, chance: random.Random
    ) -> None:
        loop = asyncio.get_running_loop()
        while not proxy.connections:  # noqa: ASYNC110 - the caller starts
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        for _ in range(PHASES):
            ends = loop.time() + PHASE_S
            if chance.random() < 0.15:
                await proxy.go_down()
            else:
                proxy.up, proxy.down = any_toxics(chance), any_toxics(chance)
            await asyncio.sleep(ends - loop.time())
            await proxy.open()
        proxy.up = proxy.down = CLEAN
        assert caller.stdin is not None
        caller.stdin.write(b"clean\n")

    async def _marks(self) -> Mapping[int, int]:
        """How often each number was marked, asked on a clean link of its own."""
        await asyncio.sleep(TIMEOUT_S)  # what is still on its way is too late by then
        client = HttpClient()
        try:
            deadline = asyncio.get_running_loop().time() + 10.0
            response = await client.send(
                ("127.0.0.1", self._port), "GET", "/counter/marks", deadline=deadline
            )
            return dict(msgspec.json.decode(response.body, type=list[tuple[int, int]]))
        finally:
            await client.close()

    async def close(self) -> None:
        """End the counter."""
        if self._server is not None:
            await self._server.discard()


def judge(told: Sequence[Mapping[str, Any]], marks: Mapping[int, int]) -> Iterator[str]:
    """What is wrong with these calls, in words."""
    if not told or not told[-1].get("recovered"):
        yield "not recovered: calls still fail on a clean link"
    for call in told:
        if "outcome" not in call:
            continue
        number, outcome, took_s = call["number"], call["outcome"], call["took_s"]
        times = marks.get(number, 0)
        if took_s > TIMEOUT_S + SLACK_S:
            yield f"late: call {number} took {took_s} s of {TIMEOUT_S} s"
        if outcome not in OUTCOMES:
            yield f"wrong outcome: call {number}: {outcome}"
        if times > 1:
            yield f"twice: call {number} was sent {times} times ({outcome})"
        if not call["safe"] and outcome == "answered" and times != 1:
            yield f"lost: call {number} was answered and has happened {times} times"
        if outcome == UNSENT and times:
            yield f"wrong outcome: call {number} has happened, its caller was told it was not sent"


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One link for each seed."""
    with (
        tempfile.TemporaryDirectory(prefix="borough-links-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        trial = Trial(Path(folder))
        try:
            runner.run(trial.start())
            for seed in seeds:
                yield runner.run(trial.play(seed, planted or ""))
        finally:
            runner.run(trial.close())


PLANTED = {"twice": Fault(12, "twice: "), "deadline": Fault(12, "late: ")}
RIG = Rig("links", run, PLANTED)
