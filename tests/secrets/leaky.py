"""A service that says its secret wherever one can: the canary that must be heard nowhere."""

from __future__ import annotations

__all__ = ["FILES", "TOML"]

TOML = """
[system]
name = "{package}"

[edge.tokens]
issuer = "https://id.example"
jwks = "https://ann:URL-CANARY@id.example/keys"

[services.notes.settings]
key = "{reference}"
dsn = "postgres://ann:URL-CANARY@db/x"
"""

_CONTRACT = '''
from collections.abc import AsyncIterator
from typing import Protocol
from borough import ANYONE, Event, Key, Problem, contract, get, post

class Told(Problem, status=409):
    """It was told."""
    what: str

class Happened(Event):
    id: Key[str]

@contract("notes", version="1.0", publishes=[Happened])
class Notes(Protocol):
    """Tells what it should not."""

    @post("/log", allow=ANYONE)
    async def log(self, password: str) -> None: ...

    @get("/fail", allow=ANYONE)
    async def fail(self) -> None: ...

    @get("/refuse", allow=ANYONE)
    async def refuse(self) -> None: ...

    @get("/tell", allow=ANYONE, raises=[Told])
    async def tell(self) -> None: ...

    @get("/stream", allow=ANYONE, raises=[Told])
    def stream(self) -> AsyncIterator[int]: ...

    @post("/events", allow=ANYONE)
    async def publish(self) -> None: ...

    @post("/threads", allow=ANYONE)
    async def thread(self) -> None: ...

    @post("/abort", allow=ANYONE)
    async def abort(self) -> None: ...
'''

_SERVICE = """
import asyncio
import gc
import logging
import os
import threading
import warnings
from typing import final
from borough import Database, Secret, Service, Settings, every, on
from borough.errors import InvalidRequest
from {package}.notes.contract import Happened, Notes, Told

log = logging.getLogger(__name__)

class NoteSettings(Settings):
    key: Secret
    dsn: str

class Gone:
    def __init__(self, key: str) -> None:
        self.key = key
    def __del__(self) -> None:
        raise RuntimeError(self.key)

@final
class NoteService(Service, Notes):
    settings: NoteSettings
    db: Database

    @property
    def key(self) -> str:
        return self.settings.key.reveal()

    async def open(self) -> None:
        if "LEAKY_START" in os.environ:
            raise RuntimeError(f"cannot start with {self.key}")

    async def log(self, password):
        log.warning("%s %r %s", self.key, self.key, {"key": self.key})
        log.warning("settings: %s, headers: %s", self.settings, {"authorization": "Bearer " + self.key})
        log.error("dsn %s, login with password=%s", self.settings.dsn, password)
        warnings.warn(f"the key is {self.key}")

    async def fail(self):
        try:
            raise KeyError(self.key)
        except KeyError as error:
            raise RuntimeError(f"with {self.key}") from error

    async def refuse(self):
        raise InvalidRequest(f"not with {self.key}", errors=[{"detail": self.key}])

    async def tell(self):
        raise Told(what=f'"{self.key}"')

    async def stream(self):
        yield 1
        raise Told(what=self.key)

    async def publish(self):
        async with self.db.transaction() as tx:
            tx.publish(Happened(id="1"))

    @on(Happened)
    async def handle(self, event: Happened) -> None:
        raise RuntimeError(f"event with {self.key}")

    @every("100ms")
    async def again(self) -> None:
        raise RuntimeError(f"schedule with {self.key}")

    async def thread(self):
        def fail():
            raise RuntimeError(f"thread with {self.key}")
        thread = threading.Thread(target=fail, name=f"thread of {self.key}")
        thread.start()
        thread.join()
        asyncio.get_running_loop().create_task(self.fail())
        await asyncio.sleep(0.01)
        Gone(self.key)
        gc.collect()

    async def abort(self):
        secret = self.key
        os.abort()
"""

FILES = {"notes/contract.py": _CONTRACT, "notes/service.py": _SERVICE}
