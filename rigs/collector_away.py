"""Takes the OpenTelemetry collector away from a shop under load: nobody notices, and memory stays flat.

Two shops run beside each other and are asked in turns; only one exports. For a third of the time its collector
takes everything and never answers, for a third it answers 503, for a third it refuses connections. What counts:
every request is answered, as soon as by the other shop; the exporting process grows by no more than its queue may
hold, and not at all once that is full; what is dropped is counted at `/metrics`, and that nobody takes it is told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from borough.errors import CallError
from borough.transports.http.client import HttpClient
from rigs.episodes import ROOT, Episode, Fault, Rig
from rigs.launching import module_path
from rigs.pair.system import any_port
from rigs.shop import Server
from shop.demo.processes import pss_mib

WAYS = ("never answers", "answers 503", "refuses")
PLANTED_S = 12.0
WARM_S = 3.0
"""Code, connections and caches are new: it is not counted."""
LOOK_S = 1.0
ANSWER_S = 10.0
TARGETS = ("/search/items?q=kettle", "/search/items?q=lamp", "/search/items?limit=50")
QUEUE_MIB = 8.0
SLACK_MIB = 8.0
"""What the allocator may keep of batches that have gone."""
FLAT_MIB_PER_MINUTE = 0.25
MEDIAN, MEDIAN_MORE_S = 1.15, 0.001
P99, P99_MORE_S = 1.3, 0.010
ENOUGH = 5_000
"""Of fewer answers the 99th percentile says nothing."""
LONG_S = 300.0
"""In so long a time the queue is full, so something must have been dropped, and the second half is flat."""
FIRST_MARK = "takes no telemetry now"
_DROPPED = re.compile(
    r'borough_telemetry_dropped(?:_total)?\{[^}]*where="the collector"[^}]*\} ([0-9.e+]+)'
)


class Collector:
    """Takes no telemetry, in one of three ways."""

    def __init__(self) -> None:
        self.port = any_port()
        self.connections = 0
        self._way = "refuses"
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def be(self, way: str) -> None:
        """Be away so from now on; who is connected is cut off."""
        await self.close()
        self._way = way
        if way != "refuses":
            self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Listen no more. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for writer in list(self._open):
                writer.transport.abort()
            await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while await reader.read(65_536):
                if self._way == "answers 503":
                    writer.write(
                        b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    )
                    break
        except ConnectionError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()


class Shop:
    """One process of the shop, what it answered and how large it was."""

    def __init__(self, folder: Path, collector: str | None, launcher: Sequence[str]) -> None:
        self.took_s: list[float] = []
        self.failures: list[str] = []
        self.sizes: list[tuple[float, float]] = []
        """Seconds and MiB (PSS)."""
        self.log = folder / "server.log"
        self._origin = ("127.0.0.1", any_port())
        self._launcher = launcher
        self._client = HttpClient()
        self._server: Server | None = None
        self._environment = dict(os.environ) | {
            "PYTHONPATH": module_path(),
            "BOROUGH_EDGE_PORT": str(self._origin[1]),
            "BOROUGH_EDGE_RATE_LIMIT": "",
            "BOROUGH_DATA_FOLDER": str(folder / "data"),
            "BOROUGH_TELEMETRY_KEEP": "false",
            "BOROUGH_TELEMETRY_PUBLIC_METRICS": "true",
        }
        if collector is not None:
            self._environment["BOROUGH_TELEMETRY_ENDPOINT"] = collector

    async def start(self) -> None:
        """Start it. Raises `ServerFailed`."""
        shop = ROOT / "examples" / "shop"
        self._server = await Server.begin(shop, self.log, self._environment, (), self._launcher)
        await self._server.until_ready()

    async def ask(self, target: str) -> None:
        """One request; its time is noted."""
        deadline = asyncio.get_running_loop().time() + ANSWER_S
        began = time.perf_counter()
        try:
            answer = await self._client.send(self._origin, "GET", target, (), b"", deadline)
        except CallError as error:
            self.failures.append(str(error))
            return
        self.took_s.append(time.perf_counter() - began)
        if answer.status != 200:
            self.failures.append(f"{answer.status} {answer.body[:100]!r}")

    async def dropped(self) -> int:
        """How many spans, lines and points it says that it has dropped on their way to the collector."""
        answer = await self._client.send(self._origin, "GET", "/metrics")
        return int(sum(float(found) for found in _DROPPED.findall(answer.body.decode())))

    async def look(self) -> None:
        """Note its size."""
        assert self._server is not None
        now = asyncio.get_running_loop().time()
        self.sizes.append((now, await asyncio.to_thread(pss_mib, self._server.pid)))

    def percentile_s(self, part: float) -> float:
        """Of the times that answers took."""
        found = sorted(self.took_s)
        return found[int(len(found) * part)] if found else 0.0

    def growth_mib(self) -> float:
        """How much larger it is than at first."""
        return self.sizes[-1][1] - self.sizes[0][1]

    def slope(self) -> float:
        """MiB a minute over the second half, by least squares."""
        half = self.sizes[len(self.sizes) // 2 :]
        mid_s = sum(at for at, _ in half) / len(half)
        mid = sum(size for _, size in half) / len(half)
        spread = sum((at - mid_s) ** 2 for at, _ in half)
        return (
            60 * sum((at - mid_s) * (size - mid) for at, size in half) / spread if spread else 0.0
        )

    async def close(self) -> None:
        """End it."""
        await self._client.close()
        if self._server is not None:
            await self._server.discard()


async def play(seed: int, seconds: float, per_s: float, fault: str | None) -> Episode:
    """One absence."""
    launcher = ("-m", "borough") if fault is None else ("-m", "rigs.planted", fault)
    collector = Collector()
    with tempfile.TemporaryDirectory(prefix="borough-collector-") as name:
        folders = [Path(name) / each for each in ("alone", "exporting")]
        for folder in folders:
            folder.mkdir()
        alone = Shop(folders[0], None, ("-m", "borough"))
        exporting = Shop(folders[1], f"http://127.0.0.1:{collector.port}", launcher)
        shops = (alone, exporting)
        try:
            for shop in shops:
                await shop.start()
            await _traffic(shops, WARM_S, per_s, random.Random(seed))
            for shop in shops:
                shop.took_s.clear()
                shop.sizes.clear()
            for number, way in enumerate(WAYS):
                await collector.be(way)
                await _traffic(shops, seconds / 3, per_s, random.Random(seed * 3 + number))
            dropped = await exporting.dropped()
            said = exporting.log.read_text()
            facts = {
                "seconds": seconds,
                "load": round(os.getloadavg()[0], 1),
                "requests": sum(len(shop.took_s) for shop in shops),
                "median_ms": [round(shop.percentile_s(0.5) * 1000, 2) for shop in shops],
                "p99_ms": [round(shop.percentile_s(0.99) * 1000, 2) for shop in shops],
                "growth_mib": [round(shop.growth_mib(), 2) for shop in shops],
                "mib_per_minute": [round(shop.slope(), 3) for shop in shops],
                "pss_mib": [round(shop.sizes[-1][1], 1) for shop in shops],
                "dropped": dropped,
                "connections": collector.connections,
            }
            wrong = [*judge(alone, exporting, seconds, dropped, said)]
            return Episode(seed, wrong, facts)
        finally:
            await collector.close()
            for shop in shops:
                await shop.close()


async def _traffic(
    shops: Sequence[Shop], seconds: float, per_s: float, chance: random.Random
) -> None:
    """Requests at random times to one shop and the other in turns; who is how large is noted meanwhile."""
    loop = asyncio.get_running_loop()
    due = began = loop.time()
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(_look(shops))
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - loop.time()))
            for shop in chance.sample(shops, 2):
                group.create_task(shop.ask(chance.choice(TARGETS)))
                due += chance.expovariate(per_s)
                await asyncio.sleep(max(0.0, due - loop.time()))
        looking.cancel()


async def _look(shops: Sequence[Shop]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            for shop in shops:
                await shop.look()
            await asyncio.sleep(LOOK_S)


def judge(alone: Shop, exporting: Shop, seconds: float, dropped: int, said: str) -> Iterator[str]:
    """What is wrong, in words."""
    for failure in exporting.failures[:3]:
        yield f"failed: {failure}"
    most_mib = QUEUE_MIB + SLACK_MIB
    grown = exporting.growth_mib() - max(0.0, alone.growth_mib())
    if grown > most_mib:
        yield f"memory: it has grown by {grown:.1f} MiB more than the other, {most_mib:.0f} may be"
    usual_s, its_s = alone.percentile_s(0.5), exporting.percentile_s(0.5)
    if its_s > usual_s * MEDIAN + MEDIAN_MORE_S:
        yield f"slowed: the median is {its_s * 1000:.2f} ms, the other's {usual_s * 1000:.2f} ms"
    usual_s, its_s = alone.percentile_s(0.99), exporting.percentile_s(0.99)
    if len(exporting.took_s) >= ENOUGH and its_s > usual_s * P99 + P99_MORE_S:
        yield f"slowed: the p99 is {its_s * 1000:.2f} ms, the other's {usual_s * 1000:.2f} ms"
    if FIRST_MARK not in said:
        yield "silent: the log does not tell that the collector takes nothing"
    if seconds < LONG_S:
        return
    slope = exporting.slope() - max(0.0, alone.slope())
    if slope > FLAT_MIB_PER_MINUTE:
        yield f"memory: it still grows by {slope:.2f} MiB a minute more than the other"
    if not dropped:
        yield "silent: nothing is counted as dropped"


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One absence for each seed."""
    seconds = min(options.seconds, PLANTED_S) if planted else options.seconds
    for seed in seeds:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            yield runner.run(play(seed, seconds, options.rate, planted))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this rig takes."""
    parser.add_argument("--seconds", type=float, default=600.0, help="of each absence (600)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second in all (100)")


PLANTED = {"hoarding": Fault(1, "memory: "), "waited-for": Fault(1, "slowed: ")}
RIG = Rig("absences", run, PLANTED, add_arguments=add_arguments)
