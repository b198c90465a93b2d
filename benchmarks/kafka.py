"""Events from Kafka through the inbox, beside the very same inbox transactions fed from memory.

Both find a topic full of events, and are timed from the first effect to the last one. Ours is one process
on one core, Kafka has the other. Publishing by a relay's batches is told beside it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.children import CLIENT_CORE, SERVER_CORE, pinned
from benchmarks.events import KEYS, NOTE, SALES, SALES_CONTRACT, Sold
from benchmarks.report import Report
from borough.brokers.kafka import KafkaBroker, KafkaTerms
from borough.brokers.memory import MemoryBroker
from borough.clock import SystemClock
from borough.engines.kafka import KafkaServer
from borough.ports import Broker, Message, Migration
from borough.reliability.inbox import InboxTerms
from borough.runtime.consumer import Consumer
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import event_writers, source_name
from borough.runtime.event_handler import EventHandler
from borough.runtime.footing import settle_memory
from borough.runtime.leases import Leases
from borough.runtime.pulse import Pulse, until_quiet
from borough.stores.schema import borough_migrations
from borough.stores.sqlite import SqliteStore

WHAT = "400-byte events through the inbox into SQLite, each effect durable; three partitions on one broker"
EVENTS = 10_000
BATCH = 500
TOPIC = SALES_CONTRACT.wire_name


def measure(rounds: int) -> Report:
    """Effects per second from Kafka and from memory, in turn."""
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as name:
        folder = Path(name)
        with pinned(SERVER_CORE):
            server = KafkaServer.start(folder / "kafka")
        try:
            with pinned(CLIENT_CORE), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_measure(folder, server.address, rounds))
        finally:
            server.kill()


async def _measure(folder: Path, address: str, rounds: int) -> Report:
    report = Report("kafka", WHAT)
    ours = report.new("effects fed from Kafka", "events/s")
    cost = report.new("CPU of it", "us/event")
    memory = report.new("the same fed from memory", "events/s")
    memory_cost = report.new("CPU of it", "us/event")
    published = report.new("published, in batches of 500", "events/s")
    settle_memory()
    clock = SystemClock()
    for number in range(rounds):
        terms = KafkaTerms((address,), prefix=f"round{number}-")
        for broker, rate, cpu in (
            (KafkaBroker(terms, clock), ours, cost),
            (MemoryBroker(clock), memory, memory_cost),
        ):
            place = folder / f"{number}-{type(broker).__name__}"
            place.mkdir()
            took = await _consumed(place, broker)
            rate.values.append(took[0])
            cpu.values.append(took[1])
            if rate is ours:
                published.values.append(took[2])
    report.hold(report.add(ours.over(memory, "Kafka over memory")), at_least=0.7)
    return report


async def _consumed(folder: Path, broker: Broker) -> tuple[float, float, float]:
    """Effects per second, CPU per effect, and how fast the events were published before."""
    clock, activity = SystemClock(), Pulse()
    await broker.open()
    store = SqliteStore(folder / "mail.db", clock=clock)
    await store.open()
    await store.migrate("borough", borough_migrations(store.dialect))
    await store.migrate("service", [Migration("0001_sales.sql", SALES)])
    mail = ServiceDatabase(store, {}, clock, Pulse())
    leases = Leases(store, clock, str(clock.new_id()))
    effects = _Effects()
    heard = tuple(SALES_CONTRACT.events.values())
    handler = EventHandler("mail.hear", "mail", effects.hear, True, heard)
    terms = InboxTerms(source=source_name("bench", "sales"))
    consumer = Consumer(handler, TOPIC, mail, broker, leases, clock, activity, terms=terms)
    await consumer.register()
    publishing_s = await _publish(broker)
    task = asyncio.create_task(consumer.run())
    await effects.all_there.wait()
    await until_quiet([consumer], activity)
    seconds = time.perf_counter() - effects.began
    cpu_s = time.process_time() - effects.cpu_began
    assert await store.one(int, "select count(*) from sales") == EVENTS
    consumer.stop()
    await task
    await broker.close()
    await store.close()
    return EVENTS / seconds, cpu_s / EVENTS * 1e6, EVENTS / publishing_s


class _Effects:
    """What the handler has done, and since when."""

    def __init__(self) -> None:
        self.count = 0
        self.began = self.cpu_began = 0.0
        self.all_there = asyncio.Event()

    async def hear(self, event: Sold, tx: Any) -> None:
        if not self.count:
            self.began, self.cpu_began = time.perf_counter(), time.process_time()
        self.count += 1
        await tx.execute(
            "insert into sales (customer, number) values ($1, $2)", event.customer, event.number
        )
        if self.count == EVENTS:
            self.all_there.set()


async def _publish(broker: Broker) -> float:
    """Fill the topic; how long that takes."""
    clock = SystemClock()
    (writer,) = event_writers(SALES_CONTRACT.events.values(), "bench", "sales").values()
    messages: list[Message] = []
    for number in range(1, EVENTS + 1):
        event = Sold(customer=f"c{number % KEYS}", number=number, at=0.0, note=NOTE)
        key, body = writer.write(event, f"e{number}", clock.now(), None)
        messages.append(
            Message(f"e{number}", TOPIC, writer.wire_name, key, number, body, number - 1)
        )
    began = time.perf_counter()
    for first in range(0, EVENTS, BATCH):
        await broker.publish(messages[first : first + BATCH])
    return time.perf_counter() - began
