"""Serves good traffic beside thousands of slow and idle clients, and stays small.

An episode starts the shop, measures good requests at a steady rate alone, then beside a crowd
(rigs/slow_crowd.py). Half of the good requests come on a connection of their own. An episode is bad where
more than one in a thousand is not answered well in time, or the server grows beyond what it may hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from borough.testing import free_port
from rigs.episodes import ROOT, Episode, Fault, Rig

CALM_S = 5.0
GATHERING_S = 3.0
PATIENCE_S = 5.0
READY_S = 30.0
GOOD = b"GET /search/items HTTP/1.1\r\nHost: x\r\n\r\n"
LEAST_SHARE = 0.999
LEAST_CROWD = 0.6
"""So much of the crowd must be connected at its peak; the others are on their way back."""
HELD_KIB = 64 * 1024
"""What may be held for all slow clients together."""
CLIENT_KIB = 48
"""What a connection may cost besides: its objects and its buffers, and what the allocator keeps."""
PLANTED: dict[str, tuple[str, ...]] = {
    "unbounded": ("edge.limits.held_bytes=100000000000",),
    "patient": (
        "edge.limits.connections=150",
        "edge.limits.header_s=3600",
        "edge.limits.keep_alive_s=3600",
    ),
}


class Shop:
    """The shop's process, on data of its own."""

    def __init__(self, folder: Path, settings: Sequence[str]) -> None:
        self.port = free_port()
        self._log = folder / "server.log"
        command = [sys.executable, "-m", "borough", "run", str(ROOT / "examples" / "shop")]
        command += ["--port", str(self.port), "--data", str(folder / "data")]
        for setting in ("edge.rate_limit=1000000/s", *settings):
            command += ["--set", setting]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, env=os.environ
            )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"the shop did not start: {self.log()}")

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")

    def memory_kib(self, what: str = "VmRSS") -> int:
        """How much of it is in memory; `VmHWM`: at its peak."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0])

    def worked_s(self) -> float:
        """How much processor time it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wrong(self) -> list[str]:
        """What is wrong with the process itself."""
        if self._process.poll() is not None:
            return [f"the shop ended with status {self._process.returncode}: {self.log()[-2000:]}"]
        return (
            [f"the shop failed inside: {self.log()[-2000:]}"] if "Traceback" in self.log() else []
        )

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Good:
    """Good requests at a steady rate, whatever becomes of those before."""

    def __init__(self, port: int, rate: float) -> None:
        self._target = "127.0.0.1", port
        self._rate = rate
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.took_s: list[float] = []
        self.failed: list[str] = []

    async def send_for(self, seconds: float) -> None:
        """Send for so long, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * self._rate)):
                await asyncio.sleep(max(0.0, began_s + number / self._rate - loop.time()))
                group.create_task(self._one(is_new=number % 2 == 0))

    async def _one(self, *, is_new: bool) -> None:
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, body = await self._ask(is_new=is_new)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.failed.append(repr(error))
            return
        if status != 200:
            self.failed.append(f"status {status}: {body[:300]!r}")
        else:
            self.took_s.append(time.perf_counter() - began_s)

    async def _ask(self, *, is_new: bool) -> tuple[int, bytes]:
        kept = self._kept.pop() if self._kept and not is_new else None
        reader, writer = kept or await asyncio.open_connection(*self._target)
        try:
            writer.write(GOOD)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            body = await reader.readexactly(int(length))
        except BaseException:
            writer.close()
            raise
        if is_new or len(self._kept) >= 32:
            writer.close()
        else:
            self._kept.append((reader, writer))
        return int(head[9:12]), body

    def close(self) -> None:
        """Give up what is kept."""
        for _, writer in self._kept:
            writer.close()

    def figures(self) -> dict[str, Any]:
        """Counts and times."""
        took_ms = sorted(each * 1000 for each in self.took_s)
        sent = len(took_ms) + len(self.failed)
        at = {
            f"p{share}_ms": round(took_ms[int(len(took_ms) * share / 100)], 2) if took_ms else None
            for share in (50, 99)
        }
        share = len(took_ms) / sent if sent else 0.0
        return {"sent": sent, "failed": len(self.failed), "share": share, **at}


class Crowd:
    """The crowd's process, and what it says of itself."""

    def __init__(self, port: int, count: int, seed: int) -> None:
        self._arguments = [str(port), str(count), str(seed)]
        self.peak: dict[str, int] = {"connected": 0, "came": 0}

    async def __aenter__(self) -> Crowd:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rigs.slow_crowd", *self._arguments,
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._listening = asyncio.ensure_future(self._listen())
        return self

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if told["connected"] >= self.peak["connected"]:
                self.peak = told
            self.peak["came"] = told["came"]

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._listening


async def _try(options: argparse.Namespace, seed: int, shop: Shop) -> Episode:
    calm, beside = Good(shop.port, options.rate), Good(shop.port, options.rate)
    with contextlib.closing(calm), contextlib.closing(beside):
        before_s = shop.worked_s()
        await calm.send_for(CALM_S)
        before_kib, calm_s = shop.memory_kib(), shop.worked_s() - before_s
        async with Crowd(shop.port, options.clients, seed) as crowd:
            await asyncio.sleep(GATHERING_S)
            before_s = shop.worked_s()
            await beside.send_for(options.seconds)
            beside_s = shop.worked_s() - before_s
        peak_kib = shop.memory_kib("VmHWM")
    figures = beside.figures()
    wrong = shop.wrong()
    if figures["share"] < LEAST_SHARE:
        wrong.append(
            f"good requests failed: {figures['failed']} of {figures['sent']}, such as "
            f"{beside.failed[:3]}"
        )
    if peak_kib - before_kib > HELD_KIB + CLIENT_KIB * options.clients:
        wrong.append(f"the server grew: by {(peak_kib - before_kib) // 1024} MiB")
    if crowd.peak["connected"] < options.clients * LEAST_CROWD:
        wrong.append(f"the crowd was not there: {crowd.peak} of {options.clients}")
    facts = {
        "clients": options.clients,
        "crowd": crowd.peak,
        "calm": calm.figures(),
        "beside": figures,
        "busy_calm": round(calm_s / CALM_S, 3),
        "busy_beside": round(beside_s / options.seconds, 3),
        "memory_before_kib": before_kib,
        "memory_peak_kib": peak_kib,
        "memory_after_kib": shop.memory_kib(),
    }
    return Episode(seed, wrong, facts)


def run(
    options: argparse.Namespace, seeds: Sequence[int], planted: str | None
) -> Iterator[Episode]:
    """An episode for each seed, each with a shop of its own."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(Path(folder), PLANTED[planted] if planted else ())
            try:
                yield uvloop.run(_try(options, seed, shop))
            finally:
                shop.stop()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this rig takes."""
    parser.add_argument("--clients", type=int, default=2_000, help="slow clients at once (2000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="beside the crowd (30)")
    parser.add_argument("--rate", type=float, default=200.0, help="good requests a second (200)")


RIG = Rig(
    counts="trials",
    run=run,
    planted={
        "unbounded": Fault(1, "the server grew"),
        "patient": Fault(1, "good requests failed"),
    },
    add_arguments=add_arguments,
)
