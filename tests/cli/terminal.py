"""Runs `borough` as a user does: a process of its own, with its output and its signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from borough.testing import free_port

PATIENCE_S = 60

HOLD_CONTRACT = '''
from collections.abc import AsyncIterator
from typing import Protocol
from borough import ANYONE, Problem, Struct, contract, get, post

class Note(Struct):
    id: int
    text: str

class NoSuchNote(Problem, status=404):
    """There is no such note."""
    id: int

@contract("notes", version="1.0")
class Notes(Protocol):
    """Keeps notes."""

    @post("/notes", allow=ANYONE, status=201, example={"text": "milk", "return": {"id": 7, "text": "milk"}})
    async def write(self, text: str) -> Note:
        """Write a note."""
        ...

    @get("/notes/{id}", allow=ANYONE, raises=[NoSuchNote])
    async def read(self, id: int) -> Note:
        """Read a note."""
        ...

    @get("/all", allow=ANYONE)
    def all(self) -> AsyncIterator[Note]:
        """Every note."""
        ...

    @get("/hold/{place}", allow=ANYONE)
    async def hold(self, place: str) -> str:
        """Wait until somebody writes into the pipe at this place."""
        ...

    @get("/internal")
    async def internal(self) -> str:
        """Only for services."""
        ...
'''

HOLD_SERVICE = """
from pathlib import Path
from typing import final
from borough import Database, Service, current_call, in_thread
from {package}.notes.contract import Note, Notes, NoSuchNote

@final
class NoteService(Service, Notes):
    db: Database
    folder: Path

    async def write(self, text):
        async with self.db.transaction() as tx:
            return await tx.one(
                Note, "insert into notes (text) values ($1) returning id, text", text
            )

    async def read(self, id):
        note = await self.db.maybe(Note, "select id, text from notes where id = $1", id)
        if note is None:
            raise NoSuchNote(id=id)
        return note

    async def all(self):
        for note in await self.db.all(Note, "select id, text from notes order by id"):
            yield note

    async def hold(self, place):
        return await in_thread((self.folder / place).read_text)

    async def internal(self):
        return f"for {current_call().caller}"
"""

HELD = {"notes/contract.py": HOLD_CONTRACT, "notes/service.py": HOLD_SERVICE}


class Ran:
    """A `borough run --json` that says it is ready."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready

    @property
    def pipe(self) -> Path:
        """Where `hold` of the service notes waits for somebody to write."""
        path = Path(self.ready["data"]) / "notes" / "pipe"
        if not path.exists():
            os.mkfifo(path)
        return path

    def request(self, target: str) -> tuple[int, Any]:
        """GET at the edge; blocking."""
        connection = http.client.HTTPConnection(self.ready["edge"][7:], timeout=PATIENCE_S)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def said(self, words: str) -> str:
        """Standard error up to a line with these words."""
        assert self.process.stderr is not None
        heard = ""
        for line in self.process.stderr:
            heard += line
            if words in line:
                return heard
        raise AssertionError(f"{words!r} was never said, but: {heard}")

    def ended(self) -> tuple[int, str]:
        """Exit status, and the rest of standard error."""
        _, error = self.process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in error
        return self.process.returncode, error

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; exit status and the rest of standard error."""
        self.process.send_signal(number)
        return self.ended()


def borough(*words: str) -> list[str]:
    """The command line of the command."""
    return [sys.executable, "-m", "borough", *words]


@contextmanager
def spawned(*words: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """`borough` with these words; killed at the end if it still runs."""
    process = subprocess.Popen(
        borough(*words), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def running(root: Path, *words: str, port: int | None = None) -> Iterator[Ran]:
    """A system that runs and is ready; killed at the end if it still runs."""
    ports = ["--port", str(port or free_port()), "--internal-port", str(free_port())]
    with spawned("run", str(root), "--json", *ports, *words) as process:
        yield Ran(process, ready_line(process))


def ready_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process says when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=PATIENCE_S)[1]
    found: dict[str, Any] = json.loads(line)
    return found
