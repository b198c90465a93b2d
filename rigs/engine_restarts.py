"""Restarts the broker, or the database server, under the shop's traffic; the ledgers must agree.

A broker is stopped and killed with -9 in turn, and the shop goes on taking orders meanwhile: its events
wait in outboxes. PostgreSQL is shut down immediately each time, and while it is away the shop answers
503, seldom 504, and nothing worse. Each restart is judged by how long it takes, from the moment when the engine
takes connections again, until publishers publish; ten seconds are the most. At the end of a round all
is compared as in every rig of the shop.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from borough.transports.http.client import HttpClient
from rigs.customers import (
    HASHES_AT_ONCE,
    SETTLE_S,
    PatientCustomer,
    PatientShop,
    ended,
    write_notes,
)
from rigs.episodes import Episode, Fault, Rig
from rigs.shop import RiggedShop, Server, ServerFailed
from shop.demo.journal import Journal
from shop.demo.places import Places, rows_of
from shop.demo.tally import Tally

CUSTOMERS = 12
WRITERS = 2
RESTARTS_PER_ROUND = 25
LIVES_S = 2.0
"""How long the broker lives between two restarts, at most."""
AWAY_S = 1.5
"""How long it is away before it is started again, at most."""
LONG_AWAY_EACH = 5
LONG_AWAY_S = 5.0
"""Now and then it is longer than a call has time."""
RESUMES_WITHIN_S = 10.0
LATE_AT_LEAST = 10
LATE_SHARE = 0.25
LEASE_S = "3"
"""Nobody takes a role from the shop, which does not die; and a busy machine is late with a renewal."""
LOOK_S = 0.02
QUIET_S = 60.0


class Kind(NamedTuple):
    """An engine: its class, the options that say where it is and that it is to be used, its ends."""

    module: str
    name: str
    address: str
    choice: str
    ends: Sequence[str] = ("kill", "stop")


ENGINES = {
    "rabbitmq": Kind(
        "rabbitmq", "RabbitmqServer", "BOROUGH_EVENTS_RABBITMQ_URL", "BOROUGH_EVENTS_BROKER"
    ),
    "kafka": Kind("kafka", "KafkaServer", "BOROUGH_EVENTS_KAFKA_SERVERS", "BOROUGH_EVENTS_BROKER"),
    "postgres": Kind(
        "postgres",
        "PostgresServer",
        "BOROUGH_DATA_POSTGRES_URL",
        "BOROUGH_DATA_STORE",
        ("stop_at_once",),
    ),
}


class Door(PatientShop):
    """The edge of a shop whose engine dies: what it answers meanwhile, and when it writes again."""

    timeout_s = 4.0

    def __init__(self, client: HttpClient, origin: tuple[str, int], tally: Tally) -> None:
        super().__init__(client, origin, tally)
        self.asked_again: Counter[int] = Counter()
        self.asked_again_before: Counter[int] = Counter()
        self.written = asyncio.Event()
        """A write is acknowledged; to be cleared by who waits for the next one."""

    async def ask(self, method: str, path: str, *expected: int, **more: Any) -> tuple[int, Any]:
        """See `PatientShop`."""
        status, document = await super().ask(method, path, *expected, **more)
        if method == "POST" and status < 300:
            self.written.set()
        return status, document

    def is_final(self, status: int, document: Any) -> bool:
        """Count what is not."""
        is_final = super().is_final(status, document)
        if not is_final:
            self.asked_again[status] += 1
        return is_final


class Round:
    """One folder, its restarts, and its judgement."""

    def __init__(self, folder: Path, seed: int, options: Any, launcher: Sequence[str]) -> None:
        self._folder = folder
        self._kind = ENGINES[options.engine]
        # A server ends with the thread that has started it: this one lives as long as the round.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._engine: Any = None
        self._launcher = launcher
        self._seed = seed
        self._customers = options.customers
        self._shop: RiggedShop | None = None
        self._server: Server | None = None
        self._tally = Tally()
        self._client = HttpClient()
        self._door: Door | None = None
        self._stopping = asyncio.Event()
        self._traffic: list[asyncio.Future[Any]] = []
        self._journal: Journal | None = None
        self._count = 0

    async def open(self) -> None:
        """Start the engine, the shop and its customers."""
        kind = self._kind
        own = self._folder / "engines" / kind.module
        own.mkdir(parents=True)
        start = getattr(importlib.import_module(f"borough.engines.{kind.module}"), kind.name).start
        self._engine = await self._in_thread(start, own)
        (own / "address").write_text(self._engine.address, encoding="utf-8")  # for the ledgers
        options = {
            kind.address: self._engine.address,
            kind.choice: kind.module,
            "BOROUGH_EVENTS_LEASE_S": LEASE_S,
        }
        self._shop = RiggedShop(self._folder, self._launcher, options=options)
        self._journal = Journal(self._shop.places.answers)
        self._server = await self._shop.start_server()
        await self._server.until_ready()
        if hasattr(self._engine, "settle"):  # what is young there may not outlive a kill
            await self._in_thread(self._engine.settle)
        door = self._door = Door(self._client, self._shop.origin, self._tally)
        door.opens()
        run, hashing = os.urandom(3).hex(), asyncio.Semaphore(HASHES_AT_ONCE)
        known = asyncio.Semaphore(0)
        for number in range(self._customers):
            customer = PatientCustomer(door, self._journal, self._seed, run, number)
            life = customer.live(self._stopping, hashing, known)
            self._traffic.append(asyncio.ensure_future(life))
        for number in range(WRITERS):
            notes = write_notes(door, self._journal, f"{run}-{number}", self._stopping)
            self._traffic.append(asyncio.ensure_future(notes))

    async def restart(self, seed: int) -> tuple[list[str], Mapping[str, Any]]:
        """One end of the engine and its return; what is wrong, and how long it took to go on."""
        assert self._shop is not None
        assert self._door is not None
        chance = random.Random(seed)
        ends = self._kind.ends
        how = ends[self._count % len(ends)]
        self._count += 1
        await asyncio.sleep(chance.uniform(0.0, LIVES_S))
        self._door.asked_again_before += self._door.asked_again
        self._door.asked_again.clear()
        await self._in_thread(getattr(self._engine, how))
        is_long = self._count % LONG_AWAY_EACH == 0
        await asyncio.sleep(LONG_AWAY_S if is_long else chance.uniform(0.0, AWAY_S))
        await self._in_thread(self._engine.restart)
        self._door.opens()  # nobody's patience counts while it was away
        publishing = asyncio.ensure_future(asyncio.to_thread(_until_published, self._shop.places))
        written_s = await self._until_written()
        took_s = await publishing
        wrong = []
        if took_s > RESUMES_WITHIN_S:
            wrong = [f"late: publishing took {took_s:.1f} s to resume after a {how}"]
        return wrong, {
            "how": how,
            "away": "long" if is_long else "short",
            "written_ms": round(written_s * 1000),
            "resumed_ms": round(took_s * 1000),
            "asked_again": dict(self._door.asked_again),
        }

    async def _until_written(self) -> float:
        """How long it takes until a write is acknowledged."""
        assert self._door is not None
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._door.written.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._door.written.wait()
        return loop.time() - began_s

    async def judge(self) -> list[str]:
        """Let all that is under way end, and compare; returns what is wrong."""
        assert self._shop is not None
        assert self._server is not None
        self._stopping.set()
        wrong = await ended(self._traffic, self._tally)
        unfinished = await self._shop.until_quiet(QUIET_S)
        if unfinished:
            wrong.append(f"stuck: after {QUIET_S:.0f} s {'; '.join(unfinished)}")
        await self._server.stop()
        return [*wrong, *self._unkind(), *await asyncio.to_thread(self._shop.breaches)]

    def _unkind(self) -> Iterator[str]:
        """Who may ask again at once should be told so; a busy machine is now and then too late for it."""
        assert self._door is not None
        asked_again = self._door.asked_again + self._door.asked_again_before
        late, all_of_them = asked_again[504], asked_again.total()
        if late > LATE_AT_LEAST + LATE_SHARE * all_of_them:
            yield f"unkind: {late} of {all_of_them} answers were 504 where 503 would have been right"

    @property
    def figures(self) -> dict[str, Any]:
        """What has come of the round."""
        return {"orders": self._tally.orders, "paid": self._tally.paid}

    async def close(self) -> None:
        """End everything."""
        for task in self._traffic:
            task.cancel()
        await asyncio.gather(*self._traffic, return_exceptions=True)
        await self._client.close()
        if self._journal is not None:
            await self._journal.close()
        if self._shop is not None:
            await self._shop.close()
        if self._engine is not None:
            await self._in_thread(self._engine.stop)
        self._thread.shutdown()

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)


def _until_published(places: Places) -> float:
    """How long it takes until a publisher's outbox moves on. In a thread."""
    began_s = time.monotonic()
    with rows_of(places, "witness") as rows:
        before = rows("select coalesce(max(sequence), 0) from borough_topics")
        while time.monotonic() - began_s < SETTLE_S:
            if rows("select coalesce(max(sequence), 0) from borough_topics") != before:
                break
            time.sleep(LOOK_S)
    return time.monotonic() - began_s


async def play(
    folder: Path, seeds: Sequence[int], options: Any, planted: str | None
) -> list[Episode]:
    """One round."""
    launcher = ("-m", "borough") if planted is None else ("-m", "rigs.planted", planted)
    trial = Round(folder, seeds[0], options, launcher)
    found: list[Episode] = []
    try:
        await trial.open()
        for seed in seeds:
            late, facts = await trial.restart(seed)
            found.append(Episode(seed, late, facts))
        wrong = await trial.judge()
    except ServerFailed as error:
        wrong = [f"stuck: {error}"]
    finally:
        await trial.close()
    if wrong or len(found) < len(seeds):
        # What is lost is lost by the round; none of its restarts is good.
        late = [sentence for episode in found for sentence in episode.wrong]
        told = [*late, *wrong, f"the round of seeds {seeds[0]}-{seeds[-1]} is wrong"]
        return [Episode(seed, told, {}) for seed in seeds]
    last = found[-1]
    return [*found[:-1], Episode(last.seed, last.wrong, {**last.facts, **trial.figures})]


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """Round after round; a bad one leaves its folder."""
    size = options.round if planted is None else 1
    for first in range(0, len(seeds), size):
        folder = Path(tempfile.mkdtemp(prefix="borough-restarts-"))
        folder.chmod(0o755)  # the account of PostgreSQL has its data there
        is_bad = True
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                part = seeds[first : first + size]
                episodes = runner.run(play(folder, part, options, planted))
            is_bad = any(episode.wrong for episode in episodes) and planted is None
        finally:
            if not is_bad:
                shutil.rmtree(folder, ignore_errors=True)
        if is_bad:
            print(f"engine_restarts: everything is kept in {folder}", flush=True)
        yield from episodes


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", choices=sorted(ENGINES), default="rabbitmq", help="which one (rabbitmq)"
    )
    parser.add_argument(
        "--round",
        type=int,
        default=RESTARTS_PER_ROUND,
        help=f"restarts per folder ({RESTARTS_PER_ROUND})",
    )
    parser.add_argument(
        "--customers", type=int, default=CUSTOMERS, help=f"who buy at once ({CUSTOMERS})"
    )


PLANTED = {"never-moved-again": Fault(3, "stuck: ")}
RIG = Rig("restarts", run, PLANTED, variant="engine", add_arguments=_add_arguments)
