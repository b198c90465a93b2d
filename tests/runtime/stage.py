"""Two services on real stores and a real log, for tests of how events travel between them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from borough.brokers.embedded import EmbeddedBroker
from borough.clock import Clock, SystemClock
from borough.contracts.marks import contract
from borough.contracts.operation import BoundEvent
from borough.contracts.reading import read_contract
from borough.contracts.struct import Event, Key
from borough.ports import Broker, Migration
from borough.reliability.inbox import InboxTerms
from borough.reliability.lease import Terms
from borough.reliability.outbox import RelayTerms
from borough.runtime.consumer import Consumer
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import event_writers
from borough.runtime.event_handler import EventHandler
from borough.runtime.leases import Leases
from borough.runtime.pulse import Pulse
from borough.runtime.relay import Relay
from borough.stores.schema import borough_migrations
from borough.stores.sqlite import SqliteStore

TABLES = """
create table placed (number integer primary key, customer text not null);
create table seen (place integer primary key, number integer not null, customer text not null);
"""


class Placed(Event):
    """An order was placed."""

    customer: Key[str]
    number: int


class Renamed(Event):
    """Something that few hear."""

    number: int


class Foreign(Event):
    """An event of nobody here."""

    number: int


@contract("orders", version="1.0", publishes=[Placed, Renamed])
class Orders(Protocol):
    """Takes orders."""


ORDERS = read_contract(Orders)
TOPIC = ORDERS.wire_name
EVENTS = tuple(ORDERS.events.values())
PLACED: BoundEvent = next(event for event in EVENTS if event.kind is Placed)


class Place:
    """One service in one process: its database, its roles."""

    def __init__(self, name: str, store: SqliteStore, clock: Clock, terms: Terms | None) -> None:
        events = EVENTS if name == "orders" else ()
        self.name = name
        self.store = store
        self.published = Pulse()
        self.db = ServiceDatabase(store, event_writers(events, "shop", name), clock, self.published)
        self.leases = Leases(store, clock, str(clock.new_id()), terms)

    async def place_order(self, number: int, customer: str = "ann") -> None:
        async with self.db.transaction() as tx:
            await tx.execute("insert into placed values ($1, $2)", number, customer)
            tx.publish(Placed(customer=customer, number=number))

    async def seen(self) -> list[int]:
        return await self.store.all(int, "select number from seen order by place")


class Stage:
    """What a test puts on: places by name, one broker, one clock."""

    def __init__(self, folder: Path, clock: Clock, terms: Terms | None = None) -> None:
        self.folder = folder
        self.clock = clock
        self.terms = terms
        self.activity = Pulse()
        self.broker = EmbeddedBroker(folder / "events", clock)
        self._open: list[SqliteStore] = []

    async def place(self, name: str) -> Place:
        store = SqliteStore(self.folder / f"{name}.db", clock=self.clock)
        await store.open()
        self._open.append(store)
        await store.migrate("borough", borough_migrations(store.dialect))
        await store.migrate("service", [Migration("0001_tables.sql", TABLES)])
        return Place(name, store, self.clock, self.terms)

    def relay(
        self, place: Place, broker: Broker | None = None, terms: RelayTerms | None = None
    ) -> Relay:
        return Relay(
            place.name,
            place.store,
            broker or self.broker,
            place.leases,
            self.clock,
            place.published,
            self.activity,
            terms,
            scheduled=place.db.scheduled,
        )

    def consumer(
        self,
        place: Place,
        function: Callable[..., Awaitable[object]],
        *,
        takes_transaction: bool,
        events: Sequence[BoundEvent] = (PLACED,),
        name: str = "hear",
        terms: InboxTerms | None = None,
    ) -> Consumer:
        handler = EventHandler(
            f"{place.name}.{name}", place.name, function, takes_transaction, tuple(events)
        )
        return Consumer(
            handler,
            TOPIC,
            place.db,
            self.broker,
            place.leases,
            self.clock,
            self.activity,
            terms=terms,
        )

    async def close(self) -> None:
        await self.broker.close()
        for store in self._open:
            await store.close()


@contextlib.asynccontextmanager
async def staged(
    folder: Path, clock: Clock | None = None, terms: Terms | None = None
) -> AsyncIterator[Stage]:
    stage = Stage(folder, clock or SystemClock(), terms)
    await stage.broker.open()
    try:
        yield stage
    finally:
        await stage.close()


class Runs(Protocol):
    """A relay, a consumer or a schedule."""

    def run(self) -> Any: ...

    def stop(self) -> None: ...


@contextlib.asynccontextmanager
async def running(*parts: Runs) -> AsyncIterator[None]:
    """Run roles; on leaving they are stopped in the order given."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for part, task in zip(parts, tasks, strict=True):
            part.stop()
            async with asyncio.timeout(10):
                await task


def remember(place: Place) -> Callable[..., Awaitable[None]]:
    """A form-one handler that writes down what it saw."""

    async def hear(event: Placed, tx: Any) -> None:
        await tx.execute(
            "insert into seen (number, customer) values ($1, $2)", event.number, event.customer
        )

    return hear


def files_with(folder: Path, text: bytes) -> list[Path]:
    """The files below a folder that hold these bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text in path.read_bytes()]
