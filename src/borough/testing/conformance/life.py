"""One process's worth of the office, on the stores and the broker of a suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from borough.clock import SystemClock
from borough.errors import BoroughError
from borough.ports import Broker, Store
from borough.runtime.adapters import Deadline
from borough.runtime.configuration import Configuration
from borough.runtime.database import ServiceDatabase
from borough.runtime.host import Host
from borough.runtime.system import System
from borough.testing.conformance.office import Desk, DeskService, HallService, Note, Place

__all__ = ["LEASE_S", "Life", "MakesAdapters", "Task", "living"]

LEASE_S = 0.6
_AGAIN_S = 0.05
_SERVICES = ("desk", "hall")
Through = Callable[[Broker], Broker]


class MakesAdapters(Protocol):
    """What a life needs of a suite."""

    async def make_store(self, folder: Path, service: str) -> Store: ...

    async def make_broker(self, folder: Path) -> Broker: ...


class _Made:
    """Adapters that a suite has made."""

    def __init__(self, stores: Mapping[str, Store], broker: Broker) -> None:
        self._stores = stores
        self._broker = broker

    def store(self, service: str, deadline: Deadline) -> Store:
        return self._stores[service]

    def broker(self) -> Broker:
        return self._broker


class Life:
    """A running office, or a part of it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.desk: Any = host.client(Desk)
        """Its client; an operation that fails is not called again."""

    @property
    def hall(self) -> HallService:
        """The instance that hears."""
        instance: HallService = self.host.services["hall"].instance
        return instance

    def database(self, service: str) -> ServiceDatabase:
        """To look into."""
        found = self.host.services[service].database
        assert found is not None
        return found

    async def keep(self, writer: str, first: int, last: int) -> None:
        """Keep the notes of a writer one after the other; one that fails is kept again."""
        for number in range(first, last):
            while True:
                try:
                    await self.desk.keep(Note(writer=writer, number=number))
                    break
                except BoroughError:
                    await asyncio.sleep(_AGAIN_S)

    async def kept(self) -> list[tuple[str, int]]:
        """What the desk has."""
        sql = "select writer, number from notes order by writer, number"
        found: list[tuple[str, int]] = await self.database("desk").all(tuple[str, int], sql)
        return found

    async def heard(self) -> list[Place]:
        """What the handler with a transaction has heard, in that order."""
        sql = "select writer, number, place from heard order by place"
        found: list[Place] = await self.database("hall").all(Place, sql)
        return found

    async def shown(self) -> list[tuple[str, int]]:
        """What the projection shows."""
        sql = "select writer, number from shown order by writer, number"
        found: list[tuple[str, int]] = await self.database("hall").all(tuple[str, int], sql)
        return found

    def told(self) -> list[tuple[str, int]]:
        """What the handler without a transaction was told, in that order."""
        lines = (self.hall.folder / "told").read_text(encoding="utf-8").splitlines()
        return [(writer, int(number)) for writer, number in (line.split() for line in lines)]


@asynccontextmanager
async def living(
    suite: MakesAdapters,
    folder: Path,
    *,
    only: Collection[str] = _SERVICES,
    through: Through = lambda broker: broker,
    attempts: int = 12,
) -> AsyncGenerator[Life]:
    """Run the office, with the broker wrapped by `through`, until the block is left."""
    flags = {
        "events.lease_s": LEASE_S,
        "events.attempts": attempts,
        "events.retry_first_s": 0.1,
        "events.retry_last_s": 0.5,
        "limits.drain_s": 5.0,
    }
    configuration = Configuration.load(folder / "no-system", {}, flags)
    classes = {"desk": DeskService, "hall": HallService}
    system = System([classes[name] for name in only], configuration=configuration)
    stores = {name: await suite.make_store(folder, name) for name in only}
    broker = through(await suite.make_broker(folder))
    adapters = _Made(stores, broker)
    host = Host(system, clock=SystemClock(), data_folder=folder / "data", adapters=adapters)
    await host.start()
    try:
        yield Life(host)
    finally:
        await host.stop()


class Task(NamedTuple):
    """What another process is to do: for each writer, keep so many notes from `first` on."""

    suite: Any
    folder: Path
    writers: tuple[str, ...]
    first: int
    notes: int
