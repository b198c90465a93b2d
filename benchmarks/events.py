"""An event from the publisher's transaction to its one effect, in one process on the embedded broker."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import uvloop

from benchmarks.report import Report
from borough import Event, Key, contract
from borough.brokers.embedded import EmbeddedBroker
from borough.clock import SystemClock
from borough.contracts.reading import read_contract
from borough.ports import Broker, Migration
from borough.reliability.inbox import InboxTerms
from borough.runtime.consumer import Consumer
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import event_writers, source_name
from borough.runtime.event_handler import EventHandler
from borough.runtime.footing import settle_memory
from borough.runtime.leases import Leases
from borough.runtime.pulse import Pulse, until_quiet
from borough.runtime.relay import Relay
from borough.stores.schema import borough_migrations
from borough.stores.sqlite import SqliteStore

__all__ = ["EVENTS", "Street", "measure", "street"]

WHAT = "outbox, relay, log, inbox and effect, each durable; one process, two databases, 400-byte events"
PUBLISHING = 64
EVENTS = 5_000
KEYS = 500
LIGHT = 60
PACE_S = 0.02
SALES = (
    "create table sales (id integer primary key, customer text not null, number integer not null)"
)
NOTE = "x" * 200


class Sold(Event):
    """Somebody has bought something."""

    customer: Key[str]
    number: int
    at: float
    note: str


@contract("sales", version="1.0", publishes=[Sold])
class Sales(Protocol):
    """Sells."""


SALES_CONTRACT = read_contract(Sales)


def measure(rounds: int) -> Report:
    """Throughput of a burst, and how long one event takes when few are under way."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(rounds))


async def _measure(rounds: int) -> Report:
    report = Report("events", WHAT)
    rate = report.new("effects committed once, in a burst", "events/s")
    cost = report.new("CPU of it", "us/event")
    p50 = report.new("p50 from publish to effect, 50 events/s", "ms")
    p99 = report.new("p99 of it", "ms")
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as folder:
        broker = EmbeddedBroker(Path(folder) / "events", SystemClock())
        async with street(Path(folder), broker) as sales:
            settle_memory()
            for _ in range(rounds):
                seconds, cpu_s = await sales.burst()
                rate.values.append(EVENTS / seconds)
                cost.values.append(cpu_s / EVENTS * 1e6)
                times = sorted(await sales.trickle())
                p50.values.append(statistics.median(times) * 1e3)
                p99.values.append(times[int(len(times) * 0.99)] * 1e3)
    report.hold(rate, at_least=5_000)
    report.hold(p50, at_most=10)
    return report


class Street:
    """A publisher, a handler, and what it has seen."""

    def __init__(
        self, shop: ServiceDatabase, mail: ServiceDatabase, quiet: Callable[[], Awaitable[None]]
    ) -> None:
        self.quiet = quiet
        self.shop = shop
        self.mail = mail
        self.times: list[float] = []
        self.wanted = 0
        self.seen = 0
        self.all_seen = asyncio.Event()
        self._published = 0

    async def hear(self, event: Sold, tx: Any) -> None:
        await tx.execute(
            "insert into sales (customer, number) values ($1, $2)", event.customer, event.number
        )
        asyncio.get_running_loop().call_soon(self._saw, event.at)

    def _saw(self, at: float) -> None:
        self.times.append(time.perf_counter() - at)
        self.seen += 1
        if self.seen == self.wanted:
            self.all_seen.set()

    async def publish(self) -> None:
        self._published += 1
        number = self._published
        async with self.shop.transaction() as tx:
            customer = f"c{number % KEYS}"
            await tx.execute(
                "insert into sales (customer, number) values ($1, $2)", customer, number
            )
            tx.publish(Sold(customer=customer, number=number, at=time.perf_counter(), note=NOTE))

    def _expect(self, count: int) -> None:
        self.times.clear()
        self.seen, self.wanted = 0, count
        self.all_seen.clear()

    async def burst(self) -> tuple[float, float]:
        """Seconds and CPU seconds from the first publish to the last effect, each checked to be there once."""
        self._expect(EVENTS)
        before = await self._effects()
        began, cpu = time.perf_counter(), time.process_time()
        left = iter(range(EVENTS))

        async def caller() -> None:
            for _ in left:
                await self.publish()

        async with asyncio.TaskGroup() as group:
            for _ in range(PUBLISHING):
                group.create_task(caller())
        await self.all_seen.wait()
        await self.quiet()  # the last ones commit
        took = time.perf_counter() - began, time.process_time() - cpu
        assert await self._effects() == before + EVENTS
        return took

    async def _effects(self) -> int:
        found: int = await self.mail.one(int, "select count(*) from sales")
        return found

    async def trickle(self) -> list[float]:
        """How long each of a few events takes, one every 20 ms."""
        self._expect(LIGHT)
        for _ in range(LIGHT):
            await self.publish()
            await asyncio.sleep(PACE_S)
        await self.all_seen.wait()
        return self.times


@asynccontextmanager
async def street(folder: Path, broker: Broker) -> AsyncGenerator[Street]:
    """Two services on this broker, which is opened and closed."""
    clock = SystemClock()
    activity = Pulse()
    await broker.open()
    stores = [SqliteStore(folder / f"{name}.db", clock=clock) for name in ("sales", "mail")]
    places: list[tuple[ServiceDatabase, Leases, Pulse]] = []
    for store, events in zip(stores, (SALES_CONTRACT.events.values(), ()), strict=True):
        await store.open()
        await store.migrate("borough", borough_migrations(store.dialect))
        await store.migrate("service", [Migration("0001_sales.sql", SALES)])
        published = Pulse()
        database = ServiceDatabase(store, event_writers(events, "bench", "sales"), clock, published)
        places.append((database, Leases(store, clock, str(clock.new_id())), published))
    (shop, shop_leases, published), (mail, mail_leases, _) = places
    parts: list[Relay | Consumer] = []
    found = Street(shop, mail, lambda: until_quiet(parts, activity))
    heard = tuple(SALES_CONTRACT.events.values())
    handler = EventHandler("mail.hear", "mail", found.hear, True, heard)
    topic = SALES_CONTRACT.wire_name
    relay = Relay("sales", stores[0], broker, shop_leases, clock, published, activity)
    terms = InboxTerms(source=source_name("bench", "sales"))
    consumer = Consumer(handler, topic, mail, broker, mail_leases, clock, activity, terms=terms)
    parts += relay, consumer
    await consumer.register()
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield found
    finally:
        for part in parts:
            part.stop()
        await asyncio.gather(*tasks)
        await broker.close()
        for store in stores:
            await store.close()
