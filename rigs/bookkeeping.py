"""The system `rigs/booking` as a process under traffic, and the judgement of what it has left.

Authors make entries, each its own one after the other, and write down what was acknowledged. While
a disk fails the only other answer is a 503 that says when to come back. In the end every
acknowledged entry is there once, booked once, and each author's in the order of their making.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import apsw

from borough.errors import CallError
from borough.testing import free_port
from borough.transports.http.client import HttpClient
from rigs.episodes import ROOT

__all__ = ["Server", "Traffic", "judge", "open_server"]

BOOKING = ROOT / "rigs" / "booking"
READY_WITHIN_S = 30.0
STOP_WITHIN_S = 60.0
ANSWER_WITHIN_S = 20.0
LAST_WORDS = 4000


class Server:
    """A process that runs the system; its log stands outside of the disk that fails."""

    def __init__(self, data: Path, log: Path, launcher: Sequence[str] = ("-m", "borough")) -> None:
        self.origin = ("127.0.0.1", free_port())
        self.log = log
        ports = ("--port", str(self.origin[1]), "--internal-port", str(free_port()))
        command = (*launcher, "run", str(BOOKING), "--json", "--data", str(data), *ports)
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))},
            )

    async def is_ready(self) -> bool:
        """Wait for its word; False where it has ended instead, or does not get there."""
        out: IO[bytes] | None = self.process.stdout
        assert out is not None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                return bool(await loop.run_in_executor(None, out.readline))
        except TimeoutError:
            self.kill()
            return False

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def stop(self) -> int:
        """Ask it to stop; returns the exit status, -9 where it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, STOP_WITHIN_S)
        self.kill()
        return int(self.process.returncode)

    def kill(self) -> None:
        """End it now, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@asynccontextmanager
async def open_server(server: Server) -> AsyncIterator[Server]:
    """A server that is ready; killed at the end if it still runs. Raises `RuntimeError`."""
    try:
        if not await server.is_ready():
            raise RuntimeError(f"the server did not start: {server.said()[-LAST_WORDS:]}")
        yield server
    finally:
        server.kill()


class Traffic:
    """Authors who make entries through HTTP, and what each answer has promised."""

    def __init__(self, chance: random.Random, authors: int, filling: int) -> None:
        self._chance = chance
        self._authors = authors
        self._filling = filling
        self._made = [0] * authors
        self.acknowledged: list[str] = []
        self.refused: Counter[str] = Counter()
        """Sentences of 503 answers."""
        self.wrong: list[str] = []

    @asynccontextmanager
    async def flowing(self, server: Server) -> AsyncIterator[None]:
        """Let authors work on a server while the block lasts."""
        client = HttpClient()
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            async with asyncio.TaskGroup() as group:
                for author in range(self._authors):
                    group.create_task(self._work(client, server, author, stop))
                try:
                    yield
                finally:
                    stop.set()

    async def until(self, more: int, within_s: float) -> bool:
        """Wait until so many more entries are acknowledged; False when it takes too long."""
        wanted = len(self.acknowledged) + more
        ends = time.monotonic() + within_s
        while len(self.acknowledged) < wanted:
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(0.02)
        return True

    async def quiet(self, server: Server, within_s: float) -> bool:
        """Wait until all that was entered is booked; False when it takes too long."""
        client = HttpClient()
        ends = time.monotonic() + within_s
        try:
            while time.monotonic() < ends:
                entered = await _count(client, server, "/entries/count")
                if entered == await _count(client, server, "/books/count"):
                    return True
                await asyncio.sleep(0.05)
            return False
        finally:
            await client.close()

    async def _work(
        self, client: HttpClient, server: Server, author: int, stop: asyncio.Event
    ) -> None:
        while not stop.is_set():
            self._made[author] += 1
            name = f"{author}-{self._made[author]}"
            while not await self._enter(client, server, name, author):
                # Often the same once more: it must not be entered twice. Sometimes it is given up.
                if stop.is_set() or self._chance.random() < 0.2:
                    break
                await asyncio.sleep(0.05)

    async def _enter(self, client: HttpClient, server: Server, name: str, author: int) -> bool:
        document = {"name": name, "author": str(author), "filling": "x" * self._filling}
        headers = [(b"content-type", b"application/json")]
        body = json.dumps(document).encode()
        deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN_S
        try:
            response = await client.send(
                server.origin, "POST", "/entries/entries", headers, body, deadline
            )
        except CallError as error:
            state = server.process.poll()
            self.wrong.append(f"unanswered: entry {name} ({error}); the server: {state}")
            await asyncio.sleep(0.2)
            return False
        if response.status == 201 and json.loads(response.body)["name"] == name:
            self.acknowledged.append(name)
            return True
        if response.status == 409:  # its first try still holds the key
            return False
        self._judge_refusal(response, name)
        return False

    def _judge_refusal(self, response: Any, name: str) -> None:
        kind = response.headers.get("content-type")
        after = response.headers.get("retry-after")
        said = response.body[:300].decode(errors="replace")
        is_problem = kind == "application/problem+json" and after is not None and after.isdigit()
        if response.status == 503 and is_problem:
            self.refused[json.loads(response.body)["detail"]] += 1
        else:
            self.wrong.append(f"answered {response.status} {kind} {after} {said}, entry {name}")


async def _count(client: HttpClient, server: Server, target: str) -> int:
    deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN_S
    try:
        response = await client.send(server.origin, "GET", target, deadline=deadline)
    except CallError:
        return -1
    return int(response.body) if response.status == 200 else -1


def judge(data: Path, acknowledged: Sequence[str]) -> list[str]:
    """What is lost, doubled, disordered or stuck in the databases of a system that has stopped."""
    entered = _rows(data / "entries.db", "select name from entry order by place")
    booked = _rows(data / "books.db", "select name from booked order by place")
    wrong = [f"lost: {name} was acknowledged" for name in set(acknowledged) - set(entered)]
    wrong += [f"{name} was entered {n} times" for name, n in Counter(entered).items() if n > 1]
    wrong += [f"{name} was booked {n} times" for name, n in Counter(booked).items() if n > 1]
    wrong += [f"{name} was entered and not booked" for name in set(entered) - set(booked)]
    wrong += [f"{name} was booked and never entered" for name in set(booked) - set(entered)]
    for author in {name.partition("-")[0] for name in entered}:
        made = [name for name in entered if name.startswith(f"{author}-")]
        heard = [name for name in booked if name.startswith(f"{author}-")]
        if not wrong and made != heard:
            wrong.append(f"the entries of author {author} were booked in another order")
    for service in ("entries", "books"):
        wrong += _left_in(data / f"{service}.db")
    return sorted(wrong)


def _left_in(path: Path) -> list[str]:
    """What should be empty and is not, in one database."""
    wrong = [f"{path.name}: {said}" for said in _rows(path, "pragma quick_check") if said != "ok"]
    tables = _rows(path, "select name from sqlite_schema where type = 'table'")
    for table in tables:
        if table == "borough_outbox" or "dead" in table or "parked" in table:
            count = _rows(path, f"select count(*) from {table}")[0]
            if count:
                wrong.append(f"{path.name}: {count} rows are left in {table}")
    return wrong


def _rows(path: Path, sql: str) -> list[Any]:
    connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE)
    try:
        return [row[0] for row in connection.execute(sql)]
    finally:
        connection.close()
