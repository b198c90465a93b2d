"""What full tracing costs an order of the shop: CPU with everything recorded, encoded and kept, over none."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.children import CLIENT_CORE, ROOT, SERVER_CORE, Child, pinned
from benchmarks.report import Report
from borough.gateway.process import Process
from borough.observing.keeper import Keeper
from borough.runtime.client import Caller, make_client
from borough.runtime.footing import settle_memory
from borough.runtime.system import System
from borough.services.context import Principal
from borough.transports.local import LocalTransport

WHAT = "the shop in one process on core 0, the card issuer on core 1, 8 customers; a basket, a checkout, its events"
ORDERS = 40
CUSTOMERS = 8
SHOP = ROOT / "examples" / "shop"
_MIB = 1024 * 1024


def measure(rounds: int) -> Report:
    """With and without, in turn."""
    report = Report("telemetry_orders", WHAT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pinned(SERVER_CORE):
        runner.run(_measure(report, rounds))
    return report


async def _measure(report: Report, rounds: int) -> None:
    without = report.new("nothing recorded, CPU", "us/order")
    traced = report.new("all recorded and kept, CPU", "us/order")
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as folder:
        place = Path(folder)
        arguments = ["-m", "shop.demo.issuer", "--port", "0", "--ledger", str(place / "ledger")]
        with Child(arguments, CLIENT_CORE) as issuer:
            port = issuer.said()["ready"]
            async with AsyncExitStack() as stack:
                shops = [
                    await stack.enter_async_context(_shop(Path(each), port, is_traced))
                    for is_traced in (False, True)
                    for each in [stack.enter_context(tempfile.TemporaryDirectory(dir=place))]
                ]
                for shop in shops:
                    await shop.orders(ORDERS)
                settle_memory()
                for _ in range(rounds):
                    without.values.append(await shops[0].orders(ORDERS))
                    traced.values.append(await shops[1].orders(ORDERS))
    report.hold(report.add(traced.over(without, "traced over nothing recorded")), at_most=1.18)


class _Shop:
    """A running shop and its customers."""

    def __init__(self, process: Process, customers: list[str]) -> None:
        host = process.host
        orders = next(each for each in host.contracts if each.wire_name == "orders.Orders")
        self._process = process
        self._count = 0
        self._customers: list[tuple[Caller, Any]] = []
        for customer in customers:
            caller = Caller(None, host.clock, principal=Principal(customer), recorder=host.recorder)
            client = make_client(orders, LocalTransport(host.callees), caller)
            self._customers.append((caller, client))

    async def orders(self, count: int) -> float:
        """CPU of this process per order, events handled and spans kept; in microseconds."""
        started = time.process_time_ns()
        each = count // CUSTOMERS
        await asyncio.gather(*(self._buy(*customer, each) for customer in self._customers))
        await self._process.host.quiet()
        await self._process.observer.flush()
        return (time.process_time_ns() - started) / count / 1e3

    async def _buy(self, caller: Caller, client: Any, count: int) -> None:
        for _ in range(count):
            self._count += 1
            caller.key = str(self._count)
            await client.put_in_basket("KIT-0001", 1)
            order = await client.checkout("4242424242424242")
            assert order.state.value == "paid", order


@asynccontextmanager
async def _shop(folder: Path, issuer_port: int, is_traced: bool) -> AsyncIterator[_Shop]:
    sys.path.insert(0, str(SHOP.parent))
    flags = {
        "services.payments.settings.issuer_url": f"http://127.0.0.1:{issuer_port}",
        "telemetry.record": is_traced,
    }
    process = Process(System.load(SHOP, flags=flags, environment={}), data_folder=folder)
    keeper = Keeper(folder, process.clock, 256 * _MIB)
    if is_traced:
        await keeper.open()
        process.observer.sinks["keeper"] = keeper
    await process.start()
    try:
        accounts = next(c.cls for c in process.host.contracts if c.wire_name == "accounts.Accounts")
        signing = process.host.client(accounts)
        customers = [
            (await signing.sign_up(f"c{n}@shop.example", "Ada", "correct horse")).account_id
            for n in range(CUSTOMERS)
        ]
        stock = process.host.services["search"].database
        assert stock is not None
        async with stock.transaction() as tx:
            await tx.execute("update items set stock = 1000000")
        yield _Shop(process, customers)
    finally:
        await process.stop()
        await keeper.close()
