"""A row and an event in one durable transaction: Borough, aiosqlite, and group commit on bare apsw."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import aiosqlite
import apsw
import uvloop

from benchmarks.closed_loop import closed_loop
from benchmarks.report import Report
from borough import Event, Key, contract
from borough.clock import SystemClock
from borough.contracts.reading import read_contracts
from borough.ports import Migration
from borough.runtime.client import Caller
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import event_writers
from borough.runtime.footing import settle_memory
from borough.runtime.pulse import Pulse
from borough.services.context import CURRENT
from borough.stores.schema import borough_migrations
from borough.stores.sqlite import SqliteStore

WHAT = "64 in flight, WAL, synchronous=FULL, one business row and one outbox row per transaction"
IN_FLIGHT = 64
SECONDS = 0.7
SALES = (
    "create table sales (id integer primary key, customer text not null, cents integer not null)"
)
OUTBOX = """create table outbox (
    sequence integer primary key autoincrement, id text not null, topic text not null,
    type text not null, key text, body blob not null)"""
INSERT_SALE = "insert into sales (customer, cents) values (?, ?)"
INSERT_EVENT = "insert into outbox (id, topic, type, key, body) values (?, ?, ?, ?, ?)"
PRAGMAS = ("pragma journal_mode = wal", "pragma synchronous = full")
Sell = Callable[[], Awaitable[None]]


class Sold(Event):
    """Somebody has bought something."""

    order_id: Key[str]
    customer: str
    cents: int


@contract("sales", version="1.0", publishes=[Sold])
class Sales(Protocol):
    """Sells."""


def measure(rounds: int) -> Report:
    """The three, in turn."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(rounds))


async def _measure(rounds: int) -> Report:
    report = Report("outbox", WHAT)
    names = ("borough", "aiosqlite", "bare apsw, group commit")
    rates = {name: report.new(name, "transactions/s") for name in names}
    times = {name: report.new(f"{name}, p50", "us") for name in names}
    costs = {name: report.new(f"{name}, CPU", "us/transaction") for name in names}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="borough-bench-")))
        sellers = {
            "borough": await _borough(stack, folder / "borough.db"),
            "aiosqlite": await _aiosqlite(stack, folder / "aiosqlite.db"),
            "bare apsw, group commit": await _apsw(stack, folder / "apsw.db"),
        }
        settle_memory()  # as `borough run` does; for all of them, they share the process
        for _ in range(rounds):
            for name, sell in sellers.items():
                figures = await closed_loop(sell, in_flight=IN_FLIGHT, seconds=SECONDS)
                rates[name].values.append(figures["calls_per_s"])
                times[name].values.append(figures["p50_us"])
                costs[name].values.append(figures["client_us"])
    borough = rates["borough"]
    bare = rates["bare apsw, group commit"]
    report.add(borough.over(bare, "borough as a share of bare apsw"))
    report.add(bare.over(rates["aiosqlite"], "bare apsw over aiosqlite"))
    over = report.add(borough.over(rates["aiosqlite"], "borough over aiosqlite"))
    report.hold(over, at_least=25)
    return report


async def _borough(stack: AsyncExitStack, path: Path) -> Sell:
    """A service's database, as a handler uses it; a call is at hand, so events carry its trace."""
    clock = SystemClock()
    store = SqliteStore(path, clock=clock)
    await store.open()
    stack.push_async_callback(store.close)
    await store.migrate("borough", borough_migrations(store.dialect))
    await store.migrate("service", [Migration("0001_sales.sql", SALES)])
    found = read_contracts([Sales])[0]
    writers = event_writers(found.events.values(), "bench", "sales")
    database = ServiceDatabase(store, writers, clock, Pulse())
    CURRENT.set(Caller("sales", clock, default_timeout_s=3600).first_call())

    async def sell() -> None:
        async with database.transaction() as tx:
            await tx.execute("insert into sales (customer, cents) values ($1, $2)", "ada", 1999)
            tx.publish(Sold(order_id="0190b6a2-7c3e-7d41", customer="ada", cents=1999))

    return sell


def _event_row(number: int) -> tuple[Any, ...]:
    """What Borough writes for an event, made in advance: peers need not encode anything."""
    return (f"0190b6a27c3e7d419a553f2c8e1b7d04-{number}", "sales", "sales.Sold", "0190b6a2", BODY)


BODY = b'{"specversion":"1.0","data":{"order_id":"0190b6a2-7c3e-7d41","customer":"ada"}}'.ljust(355)


async def _aiosqlite(stack: AsyncExitStack, path: Path) -> Sell:
    """Its usual way: one connection, one transaction after another."""
    database = await stack.enter_async_context(aiosqlite.connect(path))
    for statement in (*PRAGMAS, SALES, OUTBOX):
        await database.execute(statement)
    turn = asyncio.Lock()
    count = 0

    async def sell() -> None:
        nonlocal count
        async with turn:
            count += 1
            await database.execute(INSERT_SALE, ("ada", 1999))
            await database.execute(INSERT_EVENT, _event_row(count))
            await database.commit()

    return sell


async def _apsw(stack: AsyncExitStack, path: Path) -> Sell:
    """The floor of Borough's own way: nothing but the statements, savepoints and commits."""
    database = apsw.Connection(str(path))
    stack.callback(database.close)
    for statement in (*PRAGMAS, SALES, OUTBOX):
        database.execute(statement)
    thread = stack.enter_context(ThreadPoolExecutor(1))
    group = _Group(database, thread)
    count = 0

    def body() -> None:
        nonlocal count
        count += 1
        database.execute(INSERT_SALE, ("ada", 1999))
        database.execute(INSERT_EVENT, _event_row(count))

    return lambda: group.run(body)


class _Group:
    """Bodies one after another on the loop, each in a savepoint, and one COMMIT in a thread for all."""

    def __init__(self, database: apsw.Connection, thread: ThreadPoolExecutor) -> None:
        self._database = database
        self._thread = thread
        self._waiting: list[tuple[Callable[[], None], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, body: Callable[[], None]) -> None:
        """Run a body in a group; returns when it is durable."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((body, done))
        if self._task is None:
            self._task = asyncio.create_task(self._commit_groups())
        await done

    async def _commit_groups(self) -> None:
        database, loop = self._database, asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting[:256], self._waiting[256:]
            database.execute("begin immediate")
            for body, _ in group:
                database.execute("savepoint body")
                body()
                database.execute("release body")
            await loop.run_in_executor(self._thread, database.execute, "commit")
            for _, done in group:
                done.set_result(None)
        self._task = None
