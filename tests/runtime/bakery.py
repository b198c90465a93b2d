"""A bakery that publishes what it bakes, and receivers of its events elsewhere, for tests of pushing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, final

from borough import ANYONE, Database, Event, Key, Service, System, contract, post
from borough.runtime.configuration import Configuration
from borough.transports.http.message import Request, Response
from tests.transports.http.listening import Service as Listening

SECRET = "whsec_" + base64.b64encode(b"a bakery keeps its recipes").decode()
ENVIRONMENT = {"BAKERY_SECRET": SECRET}


class Baked(Event):
    """Something is ready."""

    oven: Key[str]
    loaves: int


class Burnt(Event):
    """Something is not."""

    oven: Key[str]


@contract("bakery", version="1.0", publishes=[Baked, Burnt])
class Bakery(Protocol):
    """Bakes."""

    @post("/loaves", allow=ANYONE)
    async def bake(self, oven: str, loaves: int) -> str:
        """Bake, and tell it; returns the event's id."""
        ...

    @post("/ashes", allow=ANYONE)
    async def burn(self, oven: str) -> str:
        """Tell that it went wrong."""
        ...


@final
class BakeryService(Service, Bakery):
    db: Database

    async def bake(self, oven: str, loaves: int) -> str:
        async with self.db.transaction() as tx:
            return tx.publish(Baked(oven=oven, loaves=loaves))

    async def burn(self, oven: str) -> str:
        async with self.db.transaction() as tx:
            return tx.publish(Burnt(oven=oven))


def bakery(
    folder: Path, url: str, more: str = "", wanted: str = 'topics = ["bakery.Bakery"]'
) -> System:
    """The system, with a receiver at `url`."""
    (folder / "borough.toml").write_text(
        "[events]\nattempts = 4\nretry_first_s = 0.05\nretry_last_s = 0.1\n"
        f'[push.cafe]\nurl = "{url}"\nsecret = "env:BAKERY_SECRET"\n{wanted}\n{more}\n'
    )
    configuration = Configuration.load(folder, ENVIRONMENT)
    return System([BakeryService], configuration=configuration)


class Cafe:
    """A receiver that checks signatures by itself, and answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answers: list[int | Callable[[], Awaitable[Response]]] = []
        self._more = asyncio.Event()

    async def answer(self, request: Request) -> Response:
        self.asked.append(request)
        self._more.set()
        if not is_signed(request):
            return Response(401, (), b"nobody we know")
        said = self.answers.pop(0) if self.answers else 204
        return (
            Response(said, (), b"so it is" if said >= 300 else b"")
            if isinstance(said, int)
            else await said()
        )

    async def asked_so_often(self, count: int) -> None:
        """Wait until so many requests have come."""
        while len(self.asked) < count:
            self._more.clear()
            await self._more.wait()

    @property
    def heard(self) -> list[Any]:
        """The documents, in the order in which they came."""
        return [json.loads(request.body) for request in self.asked]


def is_signed(request: Request) -> bool:
    """What the standard asks a receiver to look at, written down from its text."""
    given = request.headers.get
    signed = f"{given('webhook-id')}.{given('webhook-timestamp')}.".encode() + request.body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{right}" in (given("webhook-signature") or "").split()


@asynccontextmanager
async def cafe(port: int | None = None, **options: Any) -> AsyncIterator[tuple[Cafe, str]]:
    """A receiver that listens, and its URL."""
    found = Cafe()
    service = await Listening.open(found.answer, port, **options)
    try:
        yield found, f"http://127.0.0.1:{service.origin[1]}/hooks/bread?of=today"
    finally:
        await service.server.close()
