"""A small system of two services: tickets are sold, and crossings hears of each one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Protocol, final

import msgspec

from borough import (
    ANYONE,
    Database,
    Event,
    Key,
    Problem,
    Service,
    Struct,
    Transaction,
    contract,
    get,
    on,
    post,
    scope,
)
from borough.console.one_process import mounts
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.runtime.system import System

FACTS = """
[system]
name = "ferry"
version = "2.1.0"

[teams.quay]
size = 4
on_call = true
time_zone = "Europe/Oslo"
release_days = ["Monday", "Thursday"]

[services.tickets]
team = "quay"
domain = "selling"
capability = "Sells a place on a ferry"

[services.crossings]
team = "fleet"
domain = "sailing"
capability = "Knows which ferry sails when"
"""


class Full(Problem, status=409):
    """The ferry is full."""


class Ticket(Struct):
    """A place on a crossing."""

    ticket_id: str
    crossing: str


class TicketSold(Event):
    """Somebody has a place."""

    crossing: Key[str]
    ticket_id: str


@contract("tickets", version="1.2", publishes=[TicketSold])
class Tickets(Protocol):
    """Sells places."""

    @post("/", allow=ANYONE, raises=[Full])
    async def sell(self, crossing: str, ticket_id: str) -> Ticket:
        """Sell one place on a crossing."""
        ...

    @get("/{ticket_id}")
    async def ticket(self, ticket_id: str) -> Ticket:
        """One ticket."""
        ...


@contract("crossings", version="2.0")
class Crossings(Protocol):
    """Knows the crossings."""

    @get("/{crossing}/sold", allow=ANYONE)
    async def sold(self, crossing: str) -> int:
        """How many places are sold."""
        ...

    @post("/{crossing}/broken", allow=scope("captain"), deprecated="since 2.0: nobody needs it")
    async def fail(self, crossing: str) -> None:
        """Fail, always."""
        ...


@final
class TicketService(Service, Tickets):
    """Sells places."""

    crossings: Crossings
    db: Database

    async def sell(self, crossing: str, ticket_id: str) -> Ticket:
        if await self.crossings.sold(crossing) >= 100:
            raise Full
        async with self.db.transaction() as tx:
            tx.publish(TicketSold(crossing=crossing, ticket_id=ticket_id))
        return Ticket(ticket_id=ticket_id, crossing=crossing)

    async def ticket(self, ticket_id: str) -> Ticket:
        return Ticket(ticket_id=ticket_id, crossing="")


@final
class CrossingService(Service, Crossings):
    """Knows the crossings."""

    db: Database

    async def open(self) -> None:
        self._sold: dict[str, int] = {}

    async def sold(self, crossing: str) -> int:
        return self._sold.get(crossing, 0)

    async def fail(self, crossing: str) -> None:
        raise RuntimeError("the engine stands still")

    @on(TicketSold)
    async def count(self, event: TicketSold, tx: Transaction) -> None:
        self._sold[event.crossing] = self._sold.get(event.crossing, 0) + 1


SERVICES = (TicketService, CrossingService)


def ferry(
    folder: Path, toml: str = FACTS, services: tuple[type[Service], ...] = SERVICES
) -> System:
    """The system with these facts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "borough.toml").write_text(toml, encoding="utf-8")
    return System(services, configuration=Configuration.load(folder, {}), contracts=[Tickets])


@asynccontextmanager
async def sailing(system: System, folder: Path) -> AsyncIterator[Process]:
    """The system in a process with the console at its edge."""
    process = Process(system, data_folder=folder / "data", edge_port=0, mounts=mounts)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


class Browser:
    """Asks the edge for things, as a plain HTTP client that may lie about the host's name."""

    def __init__(self, edge: Process | str) -> None:
        """`edge` is where it asks: a process, or a URL."""
        url = edge if isinstance(edge, str) else edge.edge_url
        self.port = int(url.rpartition(":")[2])

    async def get(
        self,
        path: str,
        host: str = "127.0.0.1",
        method: str = "GET",
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body."""
        fields = {name.replace("_", "-"): text for name, text in headers.items()}
        return await asyncio.to_thread(self._get, method, path, body, {"host": host, **fields})

    def _get(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            found = {name.lower(): text for name, text in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    async def document(self, path: str) -> dict[str, object]:
        """A JSON document that is there."""
        status, _, body = await self.get(path)
        assert status == 200, body
        return msgspec.json.decode(body, type=dict[str, object])
