"""A small system on disk, run as a fleet: a ledger that is written, a clerk who writes it and hears of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from borough.testing import free_port
from tests.cli.terminal import PATIENCE_S, borough, ready_line, spawned

__all__ = ["Village", "is_alive", "run_village", "until", "write_elsewhere", "write_village"]

LEDGER_CONTRACT = '''
from typing import Protocol
from borough import ANYONE, Event, Key, Struct, contract, get, post

class Entry(Struct):
    id: int
    text: str

class Added(Event):
    id: Key[int]

@contract("ledger", version="1.3", publishes=[Added])
class Ledger(Protocol):
    """Keeps entries."""

    @post("/entries", allow=ANYONE, status=201)
    async def add(self, text: str) -> Entry:
        """Add an entry."""
        ...

    @get("/pid", allow=ANYONE)
    async def pid(self) -> int:
        """The process that answers."""
        ...

    @get("/hold/{place}", allow=ANYONE)
    async def hold(self, place: str) -> str:
        """Wait until somebody writes into the pipe at this place."""
        ...

    @get("/secret")
    async def secret(self) -> int:
        """Only for services."""
        ...
'''

LEDGER_SERVICE = """
import os
from pathlib import Path
from typing import final
from borough import Database, Service, in_thread
from village.ledger.contract import Added, Entry, Ledger

@final
class LedgerService(Service, Ledger):
    db: Database
    folder: Path

    async def open(self):
        print("the ledger is open")

    async def add(self, text):
        async with self.db.transaction() as tx:
            entry = await tx.one(
                Entry, "insert into entries (text) values ($1) returning id, text", text
            )
            tx.publish(Added(id=entry.id))
        return entry

    async def pid(self):
        return os.getpid()

    async def hold(self, place):
        return await in_thread((self.folder / place).read_text)

    async def secret(self):
        return 42
"""

CLERK_CONTRACT = '''
from typing import Protocol
from borough import ANYONE, Struct, contract, get, post

class Heard(Struct):
    id: int
    pid: int

class Pids(Struct):
    clerk: int
    ledger: int

@contract("clerk", version="1.0")
class Clerk(Protocol):
    """Writes the ledger."""

    @post("/write", allow=ANYONE)
    async def write(self, text: str) -> int:
        """Have an entry added."""
        ...

    @get("/heard", allow=ANYONE)
    async def heard(self) -> list[Heard]:
        """Which entries were heard of, and by which process."""
        ...

    @get("/pids", allow=ANYONE)
    async def pids(self) -> Pids:
        """Who answers, and whom it calls."""
        ...
'''

CLERK_SERVICE = """
import os
from typing import final
from borough import Database, Service, on
from village.clerk.contract import Clerk, Heard, Pids
from village.ledger.contract import Added, Ledger

@final
class ClerkService(Service, Clerk):
    ledger: Ledger
    db: Database

    async def open(self):
        await self.ledger.secret()  # whom it needs is there before it

    async def write(self, text):
        return (await self.ledger.add(text)).id

    async def heard(self):
        return await self.db.all(Heard, "select id, pid from heard order by id")

    async def pids(self):
        return Pids(clerk=os.getpid(), ledger=await self.ledger.pid())

    @on(Added)
    async def note(self, event, tx):
        await tx.execute("insert into heard (id, pid) values ($1, $2)", event.id, os.getpid())
"""

TOML = """
[system]
name = "village"

[edge]
rate_limit = ""

[topologies.pairs]
ledger = { services = ["ledger"], replicas = 2 }
clerk = { services = ["clerk"], replicas = 2 }

[topologies.together]
all = { services = ["ledger", "clerk"] }
"""

FILES = {
    "__init__.py": "",
    "borough.toml": TOML,
    "ledger/__init__.py": "",
    "ledger/contract.py": LEDGER_CONTRACT,
    "ledger/service.py": LEDGER_SERVICE,
    "ledger/migrations/sqlite/0001_entries.sql": (
        "create table entries (id integer primary key, text text not null);\n"
    ),
    "clerk/__init__.py": "",
    "clerk/contract.py": CLERK_CONTRACT,
    "clerk/service.py": CLERK_SERVICE,
    "clerk/migrations/sqlite/0001_heard.sql": (
        "create table heard (id integer primary key, pid integer not null);\n"
    ),
}


CAMERA = """
from typing import Protocol
from borough import ANYONE, Service, contract, get
from {package}_deals import Deals

@contract("camera", version="1.0")
class Camera(Protocol):
    @get("/", allow=ANYONE)
    async def left(self) -> int: ...

class CameraService(Service, Camera):
    deals: Deals

    async def left(self) -> int:
        return await self.deals.left()
"""
DEALS = """
from typing import Protocol
from borough import contract, get

@contract("deals", version="1.0")
class Deals(Protocol):
    @get("/left")
    async def left(self) -> int: ...
"""


def write_elsewhere(folder: Path, package: str) -> Path:
    """A service that needs one elsewhere, where nobody listens; the contract is that of an installed package."""
    (folder / f"{package}_deals.py").write_text(DEALS)
    root = folder / package
    (root / "camera").mkdir(parents=True)
    (root / "camera/service.py").write_text(CAMERA.replace("{package}", package))
    (root / "borough.toml").write_text(
        f'[system]\nname = "{package}"\n[external.deals]\nurl = "http://127.0.0.1:{free_port()}"\n'
    )
    return root


def write_village(folder: Path, package: str = "village", **files: str) -> Path:
    """The system in `folder/package`; `files` replaces modules, with `__` for `/`."""
    root = folder / package
    replaced = {f"{name.replace('__', '/')}.py": text for name, text in files.items()}
    for name, text in {**FILES, **replaced}.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.replace("village.", f"{package}."), encoding="utf-8")
    return root


class Village:
    """A fleet that runs. Its standard error is read all the time, and kept."""

    def __init__(self, root: Path, process: subprocess.Popen[str], said: list[str]) -> None:
        self.root = root
        self.process = process
        self.ready = ready_line(process)
        self._said = said

    @property
    def said(self) -> str:
        """All of standard error so far."""
        return "".join(self._said)

    def hears(self, words: str) -> str:
        """All of standard error so far, once it has these words: they pass a pipe and a thread."""
        until(lambda: words in self.said)
        return self.said

    @property
    def data(self) -> Path:
        return Path(self.ready["data"])

    def pid(self, replica: str) -> int:
        """The process of a replica when the fleet became ready."""
        return next(int(r["pid"]) for r in self.ready["replicas"] if r["replica"] == replica)

    @property
    def pids(self) -> list[int]:
        """All processes when the fleet became ready."""
        return [int(replica["pid"]) for replica in self.ready["replicas"]]

    def ask(self, target: str, body: object = None) -> tuple[int, Any]:
        """One request at the public door; blocking."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.ready["edge"] + target, data, {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command about this fleet."""
        return subprocess.run(
            borough(*words, "--data", str(self.data)),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def run_village(root: Path, topology: str, *words: str) -> Iterator[Village]:
    """A village that is ready; ended at the end if it still runs."""
    command = ("run", str(root), "--topology", topology, "--json", "--port", str(free_port()))
    with spawned(*command, *words) as process:
        said: list[str] = []
        assert process.stderr is not None
        reading = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
        reading.start()
        try:
            try:
                village = Village(root, process, said)
            except AssertionError as error:
                reading.join(PATIENCE_S)
                raise AssertionError("".join(said)) from error
            yield village
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE_S)
            reading.join(PATIENCE_S)


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def until(holds: Callable[[], Any]) -> Any:
    """Look until it holds, and say what it found."""
    end = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < end, holds
        time.sleep(0.05)
    return found
