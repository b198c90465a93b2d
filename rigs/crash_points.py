"""Kills the shop before, within and after each point of its I/O, once each.

A recorded run of one short script (sign up, buy, give back, a note) says which points there are: in
the first start on an empty folder, at work, and in the stop. Then the process dies at each of them,
is started anew, the customer goes on, and what is left is compared as in the crash rig.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from borough.transports.http.client import HttpClient
from rigs.customers import PatientCustomer, PatientShop
from rigs.dying import Plan, read_points
from rigs.episodes import Episode, Fault, Rig
from rigs.shop import RiggedShop, Server, ServerFailed
from shop.demo.customer import GOOD, Unexpected
from shop.demo.journal import Acknowledged, Journal
from shop.demo.tally import Tally

PHASES = ("first start", "work", "stop")
SEVERAL = ("commit", "pwrite", "fdatasync", "send", "ask", "hear")
"""What passes for many reasons: it dies at more than the first of them."""
MOST_EACH = 16
SURE_SHARE = 0.7
"""Leases are renewed by the clock: a run may pass a point less often than the recorded one."""
TRIES = 3
QUIET_S = 30.0
SCRIPT_S = 60.0
LATE_S = 2.0
"""How long a point may be passed after the script: relays, consumers and leases go on."""
AT_ONCE = 3
"""Most of a life is waiting for leases."""


class Point(NamedTuple):
    """Where to die."""

    phase: str
    name: str
    number: int
    side: str

    def __str__(self) -> str:
        return f"{self.side} {self.name} #{self.number} ({self.phase})"


class Script(PatientCustomer):
    """One customer's day: sign up, buy, give back, write a note."""

    async def play(self) -> None:
        await self.sign_up()
        note = {"writer": self._name, "number": 1}
        await self._shop.ask("POST", "/witness/notes", 201, body=note)
        await self._journal.append(Acknowledged("note", self._name, "1"))
        _, found = await self._shop.ask("GET", "/search/items?q=kettle&limit=1", 200)
        await self._put_in_basket(found["items"][0]["sku"], 1)
        order_id, state = await self._check_out_once("a")
        if state == "paid":
            await self._cancel(order_id)
        while self.unfinished:
            await asyncio.sleep(0.05)
            await self.look_after_orders(10)

    async def _check_out_once(self, attempt: str) -> tuple[str, str]:
        order_id, state = await self._sent(f"{self._name}-{attempt}", GOOD)
        self.unfinished[order_id] = None
        return order_id, state


class Life:
    """One folder, one customer, one death."""

    def __init__(self, folder: Path, base: Path | None, fault: str = "") -> None:
        self.folder = folder
        launcher = ("-m", "rigs.planted", fault) if fault else ("-m", "borough")
        self.shop = RiggedShop(folder, launcher)
        if base is not None:
            shutil.copytree(base, self.shop.places.data)
        self._tally = Tally()
        self._client = HttpClient()
        self.door = PatientShop(self._client, self.shop.origin, self._tally)
        self._journal = Journal(self.shop.places.answers)
        customer = Script(self.door, self._journal, 1, os.urandom(3).hex(), 0)
        self.script = asyncio.ensure_future(customer.play())
        self.flag = folder / "armed"

    def plan(self, **what: Any) -> tuple[str, ...]:
        """The launcher that dies, or records."""
        plan = Plan(str(self.flag), str(self.folder.resolve()), **what)
        return ("-m", "rigs.dying", json.dumps(plan._asdict()))

    async def finish(self, server: Server) -> list[str]:
        """Let the customer and all events come to their end; returns what is not at rest."""
        await server.until_ready()
        self.door.opens()
        done, _ = await asyncio.wait([self.script], timeout=SCRIPT_S)
        if not done:
            return [f"stuck: the customer has no end after {SCRIPT_S:.0f} s"]
        error = self.script.exception()
        if error is not None and not isinstance(error, Unexpected):
            return [f"the customer failed: {error!r}"]
        unfinished = await self.shop.until_quiet(QUIET_S)
        return self._tally.sentences + [f"stuck: {what}" for what in unfinished]

    async def judge(self) -> list[str]:
        """Start anew, let everything end, compare."""
        server = await self.shop.start_server()
        wrong = await self.finish(server)
        await server.stop()
        return wrong + await asyncio.to_thread(self.shop.breaches)

    async def close(self) -> None:
        self.script.cancel()
        await asyncio.gather(self.script, return_exceptions=True)
        await self._client.close()
        await self._journal.close()
        await self.shop.close()


async def record(folder: Path) -> list[Point]:
    """Every point to die at; the data of a shop that was started once is left in `base`."""
    life = Life(folder / "recorded", None)
    passed: dict[str, list[str]] = {}
    log = folder / "points"
    seen = 0

    def end(phase: str) -> None:
        nonlocal seen
        found = read_points(log)
        passed[phase], seen = found[seen:], len(found)

    try:
        life.flag.touch()
        server = await life.shop.start_server(life.plan(record=str(log)))
        await server.until_ready()
        end("first start")
        wrong = await life.finish(server)
        await asyncio.sleep(LATE_S / 2)
        end("work")
        await server.stop()
        end("stop")
        if wrong:
            raise ServerFailed(f"the recorded run is wrong: {wrong}")
    finally:
        await life.close()
    await _make_base(folder)
    return [point for phase in PHASES for point in _chosen(phase, Counter(passed[phase]))]


async def _make_base(folder: Path) -> None:
    (folder / "made").mkdir()
    shop = RiggedShop(folder / "made")
    try:
        server = await shop.start_server()
        await server.until_ready()
        await server.stop()
        shop.places.data.rename(folder / "base")
    finally:
        await shop.close()


def _chosen(phase: str, passed: Counter[str]) -> Iterator[Point]:
    for name, count in sorted(passed.items()):
        if phase == "work" and name.startswith("connect"):
            continue  # a further reader: only when several read at the same moment
        most = 1
        if phase != "stop" and name.startswith(SEVERAL):
            most = max(1, min(MOST_EACH, int(count * SURE_SHARE)))
        sides = (
            ("before", "half", "after")
            if name.startswith(("pwrite", "write"))
            else ("before", "after")
        )
        for number in range(1, most + 1):
            yield from (Point(phase, name, number, side) for side in sides)


async def die(folder: Path, base: Path, point: Point, fault: str) -> tuple[bool, list[str]]:
    """Die there, go on; returns whether the point was passed, and what is wrong."""
    life = Life(folder, None if point.phase == "first start" else base, fault)
    try:
        plan = life.plan(point=point.name, number=point.number, side=point.side, fault=fault)
        if point.phase == "first start":
            life.flag.touch()
        server = await life.shop.start_server(plan)
        ended = asyncio.ensure_future(server.ended())
        if point.phase == "work":
            await server.until_ready()
            life.flag.touch()
            life.door.opens()
        elif point.phase == "stop":
            wrong = await life.finish(server)
            if wrong:
                return True, wrong
            life.flag.touch()
            server.signal(signal.SIGTERM)
        await asyncio.wait([ended, life.script], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([ended], timeout=LATE_S)
        if not ended.done() or ended.result() == 0:
            return False, []
        life.door.dies()
        if ended.result() != -signal.SIGKILL:
            return True, [f"the server ended with status {ended.result()}: {server.last_words()}"]
        life.flag.unlink()
        return True, await life.judge()
    finally:
        await life.close()


async def _try(folder: Path, point: Point, fault: str) -> list[str]:
    for attempt in range(1 if fault else TRIES):
        place = folder / f"life-{attempt}"
        place.mkdir()
        try:
            is_reached, wrong = await die(place, folder.parent / "base", point, fault)
        except ServerFailed as error:
            is_reached, wrong = True, [f"stuck: {error}"]
        if is_reached:
            return [f"{sentence} (died {point})" for sentence in wrong]
    return [f"never reached: {point}"]


async def _batch(folder: Path, tried: Mapping[int, Point], fault: str) -> list[Episode]:
    """Several points side by side, each on a folder and a port of its own."""

    async def one(seed: int, point: Point) -> Episode:
        place = folder / f"point-{seed}"
        place.mkdir()
        wrong = await _try(place, point, fault)
        if wrong and not fault:
            print(f"crash_points: everything is kept in {place}", flush=True)
        else:
            shutil.rmtree(place)
        return Episode(seed, wrong, point._asdict())

    return await asyncio.gather(*(one(seed, point) for seed, point in tried.items()))


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One point for each seed, from the first; a bad one leaves its folder."""
    folder = Path(tempfile.mkdtemp(prefix="borough-points-"))
    kept = False
    (folder / "recorded").mkdir()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            points = runner.run(record(folder))
            if planted is None:
                print(f"crash_points: there are {len(points)} points", flush=True)
            else:
                points = [PLANTED_AT[planted]._replace(number=seed) for seed in seeds]
            left = [seed for seed in seeds if seed <= len(points)]
            while left:
                tried = {seed: points[seed - 1] for seed in left[:AT_ONCE]}
                for episode in runner.run(_batch(folder, tried, planted or "")):
                    kept |= bool(episode.wrong) and planted is None
                    yield episode
                del left[:AT_ONCE]
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


PLANTED_AT = {
    "inbox": Point("work", "commit witness.db", 1, "after"),
    "acknowledged": Point("work", "commit witness.db", 1, "before"),
}
PLANTED = {"inbox": Fault(40, "doubled: "), "acknowledged": Fault(40, "lost: note ")}
RIG = Rig("points", run, PLANTED, is_finite=True)
