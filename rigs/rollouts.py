"""Rolls out random services of a fleet, back and forth, under open-loop traffic at 70 % of what it can do.

What it can do is measured before each rollout: releases differ, and so does what others leave of the
machine. Clients ask once and never again. The two releases differ in contract, migration and answer, and both must
have been seen answering in each rollout. A round ends with the comparison of what was acknowledged with
what the services keep.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from borough.errors import CallError
from borough.testing import free_port
from borough.transports.http.client import ClientResponse, HttpClient
from borough.transports.http.limits import ClientLimits
from rigs.episodes import Episode, Fault, Rig
from rigs.launching import launch, module_path
from rigs.machine import Usage, usage
from rigs.market import RELEASES, SERVICES, breaches, unfinished, write_release

PER_ROUND = 10
WATCH_S = 1.0
LOAD = 0.7
WARM_S = 0.5
MEASURED_S = 2.0
CLIENTS = 32
MOST_IN_FLIGHT = 1000
"""The public door takes 1,024 connections of one address."""
ANSWER_S = 20.0
PAGE_EACH = 10
"""Each so many-th request asks `books`, which no order shows."""
READY_S = 60.0
QUIET_S = 60.0
CALM_S = 2.0
"""Nothing is rolled out that long under the load, which tells how the machine does by itself."""
JSON = [(b"content-type", b"application/json")]


class Market:
    """The fleet under traffic. It is ended by `close`."""

    def __init__(self, folder: Path, launcher: Sequence[str]) -> None:
        self.data = folder / "data"
        self.roots = {each: write_release(folder / each, each) for each in RELEASES}
        self.running = dict.fromkeys(SERVICES, "a")
        self.failures: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self.seen: dict[str, Counter[str]] = {name: Counter() for name in SERVICES}
        self._log = folder / "fleet.log"
        self._environment = {**os.environ, "PYTHONPATH": module_path()}
        self._launcher = launcher
        self._process: asyncio.subprocess.Process | None = None
        self._origin = ("127.0.0.1", free_port())
        self._client = HttpClient(ClientLimits(connections_per_origin=MOST_IN_FLIGHT))
        self._asked = 0
        self.unsent = 0
        self.slowest_s = 0.0
        self.most_in_flight = 0

    async def start(self) -> None:
        """Start the first release. Raises `RuntimeError`."""
        where = ("--data", str(self.data), "--port", str(self._origin[1]))
        with self._log.open("ab") as errors:
            self._process = await launch(
                *self._launcher,
                *("run", str(self.roots["a"]), "--topology", "fleet", "--json"),
                *("--set", f"fleet.watch_s={WATCH_S}"),
                *where,
                environment=self._environment,
                errors=errors,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_S):
            if not await self._process.stdout.readline():
                raise RuntimeError(f"the fleet did not start: {self._log.read_text()[-2000:]}")

    async def roll_out(self, service: str, release: str) -> tuple[int, str]:
        """Run `borough rollout`; its exit status and all that it said."""
        words = ("rollout", service, "--from", str(self.roots[release]), "--data", str(self.data))
        process = await launch(
            *("-m", "borough", *words),
            environment=self._environment,
            errors=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode(errors="replace")

    # --- traffic -----------------------------------------------------------------------------------

    async def ask(self) -> None:
        """One request, once."""
        self._asked += 1
        name = f"order-{self._asked}"
        if self._asked % PAGE_EACH == 0:
            found = await self._answer("GET", "/books/page", b"", 200)
        else:
            body = json.dumps({"name": name}).encode()
            found = await self._answer("POST", "/orders/orders", body, 201)
            if found is not None:
                self.acknowledged.append(name)
        for service in SERVICES:
            if found is not None and service in found:
                self.seen[service][found[service]] += 1

    async def _answer(self, method: str, target: str, body: bytes, wanted: int) -> Any:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            answer: ClientResponse = await self._client.send(
                self._origin, method, target, JSON, body, began + ANSWER_S
            )
        except CallError as error:
            self.failures[f"{target}: {type(error).__name__}"] += 1
            return None
        self.slowest_s = max(self.slowest_s, loop.time() - began)
        if answer.status != wanted:
            said = answer.body[:200].decode(errors="replace")
            self.failures[f"{target}: {answer.status} {said}"] += 1
            return None
        return json.loads(answer.body)

    async def capacity(self) -> float:
        """Requests a second that it answers to clients who never pause."""
        loop = asyncio.get_running_loop()

        async def go_on(until: float) -> None:
            while loop.time() < until:
                await self.ask()

        await asyncio.gather(*(go_on(loop.time() + WARM_S) for _ in range(CLIENTS)))
        before, began = self._asked, loop.time()
        await asyncio.gather(*(go_on(began + MEASURED_S) for _ in range(CLIENTS)))
        return (self._asked - before) / (loop.time() - began)

    async def offer(self, rate: float, over: asyncio.Event) -> None:
        """So many requests a second, whether answers come or not."""
        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()
        due = loop.time()
        while not over.is_set():
            due += 1 / rate
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if len(running) >= MOST_IN_FLIGHT:
                self.unsent += 1
                continue
            task = asyncio.ensure_future(self.ask())
            running.add(task)
            self.most_in_flight = max(self.most_in_flight, len(running))
            task.add_done_callback(running.discard)
        if running:
            await asyncio.wait(running)

    def usage(self) -> Usage:
        """How much of the processors has been used so far."""
        assert self._process is not None
        return usage(self._process.pid)

    def begin_episode(self) -> None:
        """What goes wrong from now on is of another episode."""
        self.failures.clear()
        self.unsent = 0
        self.look_anew()

    def look_anew(self) -> None:
        """What is seen from now on is of another part of the episode."""
        self.most_in_flight, self.slowest_s = 0, 0.0
        for seen in self.seen.values():
            seen.clear()

    # --- the end -----------------------------------------------------------------------------------

    async def judge(self) -> list[str]:
        """What is wrong once all is quiet, in sentences."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + QUIET_S
        while found := unfinished(self.data):
            if loop.time() > ends:
                return [f"stuck: {each}" for each in found]
            await asyncio.sleep(0.05)
        return list(breaches(self.data, self.acknowledged))

    async def close(self) -> None:
        """End everything."""
        await self._client.close()
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(READY_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def one(market: Market, seed: int) -> Episode:
    """One rollout of a random service to its other release."""
    chance = random.Random(seed)
    service = chance.choice(SERVICES)
    after = next(each for each in RELEASES if each != market.running[service])
    started = market.usage()
    rate = LOAD * await market.capacity()
    measured = market.usage()
    market.begin_episode()
    over = asyncio.Event()
    offering = asyncio.ensure_future(market.offer(rate, over))
    try:
        await asyncio.sleep(CALM_S)
        calm = {"calm_slowest_s": round(market.slowest_s, 3), "calm_most": market.most_in_flight}
        market.look_anew()
        before, answered = market.usage(), len(market.acknowledged)
        status, said = await market.roll_out(service, after)
        ended = market.usage()
    finally:
        over.set()
        await offering  # with the last answers of the old one
    wrong = [] if status == 0 else [f"not rolled out: {said}"]
    if status == 0:
        market.running[service] = after
    others = (round(measured.others_since(started), 2), round(ended.others_since(before), 2))
    facts = {
        "service": service,
        "to": after,
        "seconds": round(ended.at_s - before.at_s, 2),
        "answered": len(market.acknowledged) - answered,
        "seen": dict(market.seen[service]),
        "rate": round(rate),
        "slowest_s": round(market.slowest_s, 3),
        "most_in_flight": market.most_in_flight,
        "others": others,
        **calm,
    }
    return Episode(seed, [*wrong, *_faults(market, service, others)], facts)


def _faults(market: Market, service: str, others: tuple[float, float]) -> Iterator[str]:
    """What is wrong with what clients were told. `others` used so many processors, before and meanwhile."""
    for what, count in market.failures.items():
        yield f"failed: {what} ({count} times)"
    if (
        market.unsent
    ):  # no fault is proven, but nor is anything else: the load was not what it should be
        yield (
            f"unsent: {market.unsent} requests, {MOST_IN_FLIGHT} others were unanswered; of the machine's "
            f"processors, others used {others[1]}, and {others[0]} when its capacity was measured"
        )
    for each in RELEASES:
        if not market.seen[service][each]:
            yield f"unseen: {service} has not answered as {each} during its rollout"


async def play(folder: Path, seeds: Sequence[int], planted: str | None) -> list[Episode]:
    """One round: a fleet, and a rollout for each seed."""
    launcher = ("-m", "borough") if planted is None else ("-m", "rigs.planted", planted)
    market = Market(folder, launcher)
    try:
        await market.start()
        episodes = [await one(market, seed) for seed in seeds]
        last = episodes.pop()
        episodes.append(Episode(last.seed, [*last.wrong, *await market.judge()], last.facts))
    finally:
        await market.close()
    return episodes


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """Round after round; a bad one leaves its folder."""
    for first in range(0, len(seeds), options.round):
        folder = Path(tempfile.mkdtemp(prefix="borough-rollouts-"))
        is_bad = True
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                episodes = runner.run(play(folder, seeds[first : first + options.round], planted))
            is_bad = any(episode.wrong for episode in episodes) and planted is None
        finally:
            if not is_bad:
                shutil.rmtree(folder, ignore_errors=True)
        if is_bad:
            print(f"rollouts: everything is kept in {folder}", flush=True)
        yield from episodes


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--round", type=int, default=PER_ROUND, help=f"rollouts of one fleet ({PER_ROUND})"
    )


# A machine that is too busy is answered with 503, and must not pass for the planted fault.
PLANTED = {"early-end": Fault(PER_ROUND, "failed: /orders/orders: 500")}
RIG = Rig("rollouts", run, PLANTED, add_arguments=_add_arguments)
