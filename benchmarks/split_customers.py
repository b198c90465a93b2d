"""The customers of the benchmark `split`: told by lines of JSON to visit a shop, and what they saw.

`python -m benchmarks.split_customers LEDGER`. The same seed for each shop: the same visits.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.answering import answer_lines, run
from benchmarks.closed_loop import percentile
from borough.transports.http.client import HttpClient
from shop.demo.customer import Customer
from shop.demo.flash_sale import PHASES, Seen
from shop.demo.journal import Journal
from shop.demo.rush import SaleShop
from shop.demo.tally import Tally

SEED = 1


class Traffic(msgspec.Struct):
    """So many visits by so many customers, each beginning one every `pace_s`."""

    port: int
    customers: int
    visits: int
    pace_s: float


class Crowd:
    """The customers of one shop."""

    def __init__(self, shop: SaleShop, journal: Journal, traffic: Traffic) -> None:
        run_name = f"p{traffic.port}"
        self._shop = shop
        self._customers = [
            Customer(shop, journal, SEED, run_name, number) for number in range(traffic.customers)
        ]
        self._has_accounts = False

    async def visit(self, traffic: Traffic) -> dict[str, float]:
        """All visits, and what they took."""
        for customer in [] if self._has_accounts else self._customers:
            await customer.sign_up()
        self._has_accounts = True
        loop, tally = asyncio.get_running_loop(), self._shop.tally
        before, began_s = tally.orders, loop.time()
        seen = self._shop.seen = Seen(PHASES[0], began_s)
        async with asyncio.TaskGroup() as group:
            for number, customer in enumerate(self._customers):
                first_s = began_s + number * traffic.pace_s / traffic.customers
                group.create_task(self._visits(customer, first_s, traffic))
        if tally.errors or tally.doubled:
            raise RuntimeError(f"the shop failed: {tally.sentences}")
        orders = tally.orders - before
        return {
            "orders": orders,
            "orders_per_s": orders / (loop.time() - began_s),
            "p50_ms": percentile(seen.checkouts, 0.5) * 1e3,
            "p99_ms": percentile(seen.checkouts, 0.99) * 1e3,
        }

    async def _visits(self, customer: Customer, begins_s: float, traffic: Traffic) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(traffic.visits // traffic.customers):
            await asyncio.sleep(max(0.0, begins_s - loop.time()))
            await customer.visit(may_wait=False)
            begins_s += traffic.pace_s


async def main() -> None:
    """Answer until standard input ends."""
    client, journal = HttpClient(), Journal(Path(sys.argv[1]))
    crowds: dict[int, Crowd] = {}

    async def answer(document: Any) -> dict[str, float]:
        traffic = msgspec.convert(document, Traffic)
        if traffic.port not in crowds:
            shop = SaleShop(client, ("127.0.0.1", traffic.port), Tally())
            crowds[traffic.port] = Crowd(shop, journal, traffic)
        return await crowds[traffic.port].visit(traffic)

    try:
        await answer_lines(answer)
    finally:
        await client.close()
        await journal.close()


if __name__ == "__main__":
    run(main)
