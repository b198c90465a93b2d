"""A row and an event in one transaction of PostgreSQL: Borough, hand-written asyncpg, and SQLAlchemy Core.

By hand it has the statements that Borough sends and as many journeys, on connections that are made before;
SQLAlchemy Core has the two inserts, written in its own way.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy
import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.closed_loop import closed_loop
from benchmarks.outbox import BODY, Sales, Sold
from benchmarks.report import Report
from borough.clock import SystemClock
from borough.contracts.reading import read_contracts
from borough.engines.postgres import PostgresServer
from borough.ports import Migration
from borough.runtime.client import Caller
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import event_writers
from borough.runtime.footing import settle_memory
from borough.runtime.pulse import Pulse
from borough.services.context import CURRENT
from borough.services.settings import Secret
from borough.stores.postgres import PostgresLimits, PostgresStore
from borough.stores.postgres.connection import Control
from borough.stores.postgres.numbers import INSERT_ONE
from borough.stores.schema import borough_migrations

WHAT = "16 in flight, serializable, durable, one business row and one outbox row per transaction"
IN_FLIGHT = 16
SECONDS = 1.0
SALES = (
    "create table sales (id bigint generated always as identity primary key, "
    "customer text not null, cents integer not null)"
)
INSERT_SALE = "insert into sales (customer, cents) values ($1, $2)"
EMPTY = "truncate sales, borough_outbox"
Sell = Callable[[], Awaitable[None]]


def measure(rounds: int) -> Report:
    """The three, in turn, on one server."""
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server runs as another account where this one is root
        server = PostgresServer.start(folder)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_measure(server.url, rounds))
        finally:
            server.stop()


async def _measure(url: str, rounds: int) -> Report:
    report = Report("postgres", WHAT)
    names = ("borough", "asyncpg by hand", "SQLAlchemy Core")
    rates = {name: report.new(name, "transactions/s") for name in names}
    times = {name: report.new(f"{name}, p50", "us") for name in names}
    costs = {name: report.new(f"{name}, CPU", "us/transaction") for name in names}
    async with AsyncExitStack() as stack:
        sellers = {
            "borough": await _borough(stack, f"{url}/sales"),
            "asyncpg by hand": await _by_hand(stack, f"{url}/sales"),
            "SQLAlchemy Core": await _sqlalchemy(stack, f"{url}/sales"),
        }
        settle_memory()
        between = await asyncpg.connect(f"{url}/sales")
        stack.push_async_callback(between.close)
        for _ in range(rounds):
            for name, sell in sellers.items():
                await between.execute(EMPTY)  # each finds small tables
                figures = await closed_loop(sell, in_flight=IN_FLIGHT, seconds=SECONDS)
                rates[name].values.append(figures["calls_per_s"])
                times[name].values.append(figures["p50_us"])
                costs[name].values.append(figures["client_us"])
    share = report.add(
        rates["borough"].over(rates["asyncpg by hand"], "borough as a share of asyncpg by hand")
    )
    over = report.add(
        rates["borough"].over(rates["SQLAlchemy Core"], "borough over SQLAlchemy Core")
    )
    report.hold(share, at_least=0.9)
    report.hold(over, at_least=3)
    return report


async def _borough(stack: AsyncExitStack, url: str) -> Sell:
    """A service's database, as a handler uses it; a call is at hand, so events carry its trace."""
    clock = SystemClock()
    limits = PostgresLimits(connections=IN_FLIGHT)
    store = PostgresStore(Secret(url), service="sales", clock=clock, limits=limits)
    await store.open()
    stack.push_async_callback(store.close)
    await store.migrate("borough", borough_migrations("postgres"))
    await store.migrate("service", [Migration("0001_sales.sql", SALES)])
    found = read_contracts([Sales])[0]
    writers = event_writers(found.events.values(), "bench", "sales")
    database = ServiceDatabase(store, writers, clock, Pulse())
    CURRENT.set(Caller("sales", clock, default_timeout_s=3600).first_call())

    async def sell() -> None:
        async with database.transaction() as tx:
            await tx.execute(INSERT_SALE, "ada", 1999)
            tx.publish(Sold(order_id="0190b6a2-7c3e-7d41", customer="ada", cents=1999))

    return sell


async def _by_hand(stack: AsyncExitStack, url: str) -> Sell:
    """Nothing but the statements, on as many connections as there are transactions at once."""
    idle: list[Any] = []
    for _ in range(IN_FLIGHT):
        connection = await asyncpg.connect(url)
        stack.push_async_callback(connection.close)
        idle.append(connection)
    begin = Control.begin(10_000, PostgresLimits().lock_s, True)
    count = 0

    async def sell() -> None:
        nonlocal count
        count += 1
        connection = idle.pop()
        await connection.execute(begin)
        await connection.execute(INSERT_SALE, "ada", 1999)
        await connection.fetchval(
            INSERT_ONE, f"by hand {count}", "sales", "sales.Sold", "0190b6a2", BODY
        )
        await connection.execute("commit")
        idle.append(connection)

    return sell


async def _sqlalchemy(stack: AsyncExitStack, url: str) -> Sell:
    """Two inserts in its own words; a number of its own in place of one that the server makes."""
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"),
        isolation_level="SERIALIZABLE",
        pool_size=IN_FLIGHT,
    )
    stack.push_async_callback(engine.dispose)
    tables = sqlalchemy.MetaData()
    async with engine.connect() as connection:
        await connection.run_sync(tables.reflect, only=["sales", "borough_outbox"])
    sales, outbox = tables.tables["sales"], tables.tables["borough_outbox"]
    count = 0

    async def sell() -> None:
        nonlocal count
        count += 1
        number = count
        async with engine.begin() as connection:
            await connection.execute(sales.insert().values(customer="ada", cents=1999))
            await connection.execute(
                outbox.insert().values(
                    sequence=-number,
                    id=f"core {number}",
                    topic="sales",
                    type="sales.Sold",
                    key="0190b6a2",
                    body=BODY,
                )
            )

    return sell
