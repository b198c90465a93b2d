"""The pair as a system on a folder: its processes, what it acknowledged, and what it has heard."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rigs.launching import launch, module_path
from rigs.shop import MANY_LIVES, PORTS, Server
from shop.demo.places import Rows
from shop.demo.processes import free_port

SYSTEM = """
[system]
name = "pair"

[services.source]
module = "rigs.pair.source.service"

[services.sink]
module = "rigs.pair.sink.service"
"""
Note = tuple[str, int]


class Pair:
    """One data folder, on which any number of processes run the whole system."""

    def __init__(
        self, folder: Path, lease_s: float, options: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self.data = folder / "data"
        self.ledger = folder / "ledger"
        self._system = folder / "pair_system"
        self._system.mkdir()
        (self._system / "borough.toml").write_text(SYSTEM)
        self._environment = dict(os.environ) | {
            "BOROUGH_EDGE_RATE_LIMIT": "1000000/s",
            "BOROUGH_DATA_FOLDER": str(self.data),
            "BOROUGH_EVENTS_LEASE_S": str(lease_s),
            "BOROUGH_SINK_LEDGER": str(self.ledger),
            **MANY_LIVES,
            **(options or {}),
        }
        self._environment["PYTHONPATH"] = module_path()
        self.servers: list[Server] = []
        """What runs, and is ended by `close`."""

    async def start(self, port: int, launcher: Sequence[str]) -> Server:
        """Start a process; it is not ready yet."""
        log = self._folder / f"server-{port}.log"
        words = ("--port", str(port))
        return await Server.begin(self._system, log, self._environment, words, launcher)

    async def ask(self, *arguments: str) -> tuple[int, str]:
        """Run a command of `borough` about this system; returns its status and what it said."""
        process = await launch(
            *("-m", "borough", *arguments, "--system", str(self._system), "--data", str(self.data)),
            environment=self._environment,
            errors=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode(errors="replace")

    def said(self, sentence: str) -> int:
        """How often the processes have said something in their logs."""
        logs = self._folder.glob("server-*.log")
        return sum(path.read_text(errors="replace").count(sentence) for path in logs)

    def unfinished(self) -> list[str]:
        """What is still under way, in words."""
        with Rows(self.data / "source.db") as rows:
            kept = rows("select count(*) from notes")[0][0]
            left = rows("select count(*) from borough_outbox")[0][0]
        with Rows(self.data / "sink.db") as rows:
            done = rows("select handler, count(*) from borough_inbox group by handler")
        found = [f"{left} events are in the outbox"] if left else []
        heard = dict(done)
        return found + [
            f"{handler} has handled {heard.get(handler, 0)} of {kept} events"
            for handler in ("sink.hear", "sink.tell")
            if heard.get(handler, 0) < kept
        ]

    async def until_quiet(self, within_s: float) -> list[str]:
        """Wait until nothing is under way; returns what still is."""
        ends = asyncio.get_running_loop().time() + within_s
        while unfinished := self.unfinished():
            if asyncio.get_running_loop().time() > ends:
                return unfinished
            await asyncio.sleep(0.05)
        return []

    def breaches(self, acknowledged: Sequence[Note]) -> Iterator[str]:
        """What is lost, doubled or out of order, in words. Ask once all is quiet."""
        with Rows(self.data / "source.db") as rows:
            kept = {(writer, number) for writer, number in rows("select * from notes")}
        with Rows(self.data / "sink.db") as rows:
            heard = [(w, n) for w, n in rows("select writer, number from heard order by place")]
        told = list(self._told())
        for note in sorted(set(acknowledged) - kept):
            yield f"lost: note {note} (it was acknowledged)"
        for name, found in (("heard", heard), ("told", told)):
            for note in sorted(kept - set(found)):
                yield f"lost: note {note} was not {name}"
            for note in sorted(set(found) - kept):
                yield f"doubled: note {note} was {name} and not kept"
            yield from _disorder(found, name)
        for note, times in Counter(heard).items():
            if times > 1:
                yield f"doubled: note {note} was heard {times} times"

    def _told(self) -> Iterator[Note]:
        text = self.ledger.read_text() if self.ledger.exists() else ""
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):
                writer, number = line.split()
                yield writer, int(number)

    async def close(self) -> None:
        """End what still runs."""
        for server in self.servers:
            await server.discard()


def _disorder(found: Sequence[Note], name: str) -> Iterator[str]:
    """Notes of a writer whose first effect came after that of a later note."""
    last: dict[str, int] = defaultdict(int)
    seen: set[Note] = set()
    for writer, number in found:
        if (writer, number) in seen:
            continue
        seen.add((writer, number))
        if number < last[writer]:
            yield f"disorder: note {number} of {writer} was {name} after note {last[writer]}"
        last[writer] = number


def any_port() -> int:
    """A free port."""
    return free_port(random.randrange(*PORTS))
