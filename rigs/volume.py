"""Sends a flood of events through outbox, relay, log, inbox and effect: each once, and all stays bounded.

An episode is 100,000 events through one process with housekeeping on. Its line says how large
outbox, inbox, log, databases and their WALs were at their largest, and how fast it went. The files
stay from episode to episode, so that what grows without end is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from borough.transports.http.client import HttpClient
from rigs.episodes import Episode, Fault, Rig
from rigs.launching import module_path
from rigs.pair.system import any_port
from rigs.shop import Server
from shop.demo.places import Rows

PER_EPISODE = 100_000
PER_FLOOD = 5_000
FLOOD_S = 120.0
QUIET_S = 60.0
LOOK_S = 0.25
INBOX_FOR = "10s"
SWEPT_EACH_S = 3
SYSTEM = """
[system]
name = "flood"

[services.source]
module = "rigs.flood.source.service"

[services.sink]
module = "rigs.flood.sink.service"
"""
MIB = 1024 * 1024
BOUNDS = {
    "outbox_rows": 50_000,
    "inbox_rows": 200_000,
    "log_bytes": 256 * MIB,
    "wal_bytes": 160 * MIB,
    "database_bytes": 400 * MIB,
}
"""What each may be at most, however many events have gone through."""


class Flood:
    """The system on a folder that lives as long as the run."""

    def __init__(self, folder: Path, *, swept: bool) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._system = folder / "flood"
        self._system.mkdir()
        (self._system / "borough.toml").write_text(SYSTEM)
        self._environment = dict(os.environ) | {
            "BOROUGH_EDGE_RATE_LIMIT": "1000000/s",
            "BOROUGH_DATA_FOLDER": str(self._data),
            "BOROUGH_EVENTS_INBOX_FOR": INBOX_FOR,
            "BOROUGH_EVENTS_HOUSEKEEPING_EVERY_S": str(SWEPT_EACH_S if swept else 86_400),
            "PYTHONPATH": module_path(),
        }
        self._client = HttpClient()
        self._server: Server | None = None
        self._port = any_port()
        self._sent = 0
        self.largest: dict[str, int] = {}

    async def start(self) -> None:
        """Start the process."""
        log = self._folder / "server.log"
        words = ("--port", str(self._port))
        self._server = await Server.begin(self._system, log, self._environment, words)
        await self._server.until_ready()

    async def episode(self, seed: int) -> Episode:
        """Send the events of an episode, wait until all have had their effect, and judge."""
        self.largest = dict.fromkeys(BOUNDS, 0)
        began_s = time.monotonic()
        looking = asyncio.create_task(self._look())
        wrong: list[str] = []
        try:
            for _ in range(PER_EPISODE // PER_FLOOD):
                wrong += await self._send()
            wrong += await self._until_heard()
        finally:
            looking.cancel()
            await asyncio.wait([looking])
        took_s = time.monotonic() - began_s
        wrong += [
            f"unbounded: {name} was {self.largest[name]}, at most {most} may be"
            for name, most in BOUNDS.items()
            if self.largest[name] > most
        ]
        facts = self.largest | {"through": self._sent, "per_s": round(PER_EPISODE / took_s)}
        return Episode(seed, wrong, facts | self._memory())

    async def _send(self) -> list[str]:
        body = msgspec.json.encode({"first": self._sent, "count": PER_FLOOD})
        response = await self._client.send(
            ("127.0.0.1", self._port),
            "POST",
            "/source/floods",
            [(b"content-type", b"application/json")],
            body,
            asyncio.get_running_loop().time() + FLOOD_S,
        )
        self._sent += PER_FLOOD
        return [] if response.status < 300 else [f"a flood was answered {response.status}"]

    async def _until_heard(self) -> list[str]:
        """Wait for the sums that each event makes once, in order."""
        ends_s = time.monotonic() + QUIET_S
        wanted = self._sent, self._sent * (self._sent - 1) // 2
        while (found := self._sums()) != wanted:
            if time.monotonic() > ends_s or found[0] > wanted[0]:
                return [f"lost or doubled: the sums are {found} and should be {wanted}"]
            await asyncio.sleep(LOOK_S / 5)
        return []

    def _sums(self) -> tuple[int, int]:
        with Rows(self._data / "sink.db") as rows:
            times, total = rows(
                "select coalesce(sum(times), 0), coalesce(sum(total), 0) from tally"
            )[0]
        return times, total

    async def _look(self) -> None:
        while True:
            for name, size in self._sizes().items():
                self.largest[name] = max(self.largest[name], size)
            await asyncio.sleep(LOOK_S)

    def _sizes(self) -> dict[str, int]:
        with Rows(self._data / "source.db") as rows:
            outbox = rows("select count(*) from borough_outbox")[0][0]
        with Rows(self._data / "sink.db") as rows:
            inbox = rows("select count(*) from borough_inbox")[0][0]
        return {
            "outbox_rows": outbox,
            "inbox_rows": inbox,
            "log_bytes": _size(self._data.glob("events/*/*.log*")),
            "wal_bytes": _size(self._data.glob("*.db-wal")),
            "database_bytes": _size(self._data.glob("*.db")),
        }

    def _memory(self) -> dict[str, int]:
        assert self._server is not None
        status = Path(f"/proc/{self._server.pid}/status")
        if not status.exists():
            return {}
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return {"resident_bytes": int(lines["VmRSS"].split()[0]) * 1024}

    async def close(self) -> None:
        """End the process."""
        await self._client.close()
        if self._server is not None:
            await self._server.discard()


def _size(paths: Iterator[Path]) -> int:
    size = 0
    for path in paths:
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # it was trimmed just now
            continue
    return size


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One process for all episodes; they are the same whatever the seed."""
    folder = Path(tempfile.mkdtemp(prefix="borough-volume-"))
    with asyncio.Runner() as runner:
        flood = Flood(folder, swept=planted != "housekeeping")
        try:
            runner.run(flood.start())
            for seed in seeds:
                yield runner.run(flood.episode(seed))
        finally:
            runner.run(flood.close())
            shutil.rmtree(folder, ignore_errors=True)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nothing of its own."""


PLANTED = {"housekeeping": Fault(3, "unbounded: ")}
RIG = Rig("events", run, PLANTED, per_episode=PER_EPISODE, add_arguments=_add_arguments)
