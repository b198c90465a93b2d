"""Seeded traffic for the shop, from a process of its own.

    python -m shop.demo.traffic --edge http://127.0.0.1:8080 --ledger answers.jsonl --for 10

Says how it stands in a line of JSON on standard output four times a second, and `"final": true` in
the last one. SIGTERM or SIGINT ends the visits; orders under way are followed until they rest.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from borough.transports.http.client import HttpClient
from shop.demo.customer import Customer, Shop, Unexpected
from shop.demo.journal import Journal
from shop.demo.rush import Rush, SaleShop, Scale
from shop.demo.tally import Tally

REPORT_S = 0.25
HASHES_AT_ONCE = 2
SLOW_CARD_S = 6.0
"""What a slow card takes to come to an outcome: none is used when less is left of the run."""
SETTLE_S = 25.0
SETTLE_LOOK_S = 0.2


class Traffic:
    """A number of customers, each going on to the next visit when one is over."""

    def __init__(self, customers: Sequence[Customer], tally: Tally, pause_s: float) -> None:
        self._customers = customers
        self._tally = tally
        self._pause_s = pause_s
        self._stop = asyncio.Event()
        self._ends = float("inf")

    def stop(self) -> None:
        """No further visits."""
        self._stop.set()

    async def prepare(self) -> None:
        """Sign everybody up, no more at a time than the shop likes to hash passwords."""
        slots = asyncio.Semaphore(HASHES_AT_ONCE)

        async def sign_up(customer: Customer) -> None:
            async with slots:
                await customer.sign_up()

        async with asyncio.TaskGroup() as group:
            for customer in self._customers:
                group.create_task(sign_up(customer))

    async def run(self, seconds: float) -> None:
        """Visit until `seconds` are over or `stop`, then follow the orders that are under way."""
        loop = asyncio.get_running_loop()
        self._tally.start(loop.time())
        self._ends = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            for customer in self._customers:
                group.create_task(self._visits(customer))
        self._tally.end(loop.time())
        await self._settle()

    async def _visits(self, customer: Customer) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._ends and not self._stop.is_set():
            try:
                await customer.visit(may_wait=self._ends - loop.time() > SLOW_CARD_S)
            except Unexpected:
                await asyncio.sleep(0.05)  # a shop that fails is not to be hammered as well
            if self._pause_s:
                await asyncio.sleep(self._pause_s)

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + SETTLE_S
        while left := [customer for customer in self._customers if customer.unfinished]:
            if loop.time() > ends:
                for customer in left:
                    for order_id in customer.unfinished:
                        self._tally.fail(f"order {order_id} has not come to rest")
                return
            await asyncio.sleep(SETTLE_LOOK_S)
            for customer in left:
                try:
                    await customer.look_after_orders(100)
                except Unexpected:
                    continue


async def _report(report: Callable[[], dict[str, Any]], stop: Callable[[], None]) -> None:
    """A line each `REPORT_S`, as long as somebody reads them."""
    while True:
        await asyncio.sleep(REPORT_S)
        try:
            print(json.dumps(report()), flush=True)
        except BrokenPipeError:
            stop()
            return


async def drive(options: argparse.Namespace) -> int:
    """Run the traffic that the command line asks for; returns the exit status."""
    loop = asyncio.get_running_loop()
    edge = urlsplit(options.edge)
    tally = Tally()
    client = HttpClient()
    journal = Journal(options.ledger)
    origin = (edge.hostname or "127.0.0.1", edge.port or 80)
    shop, sale = Shop(client, origin, tally), None
    if options.sale is not None:
        shop = SaleShop(client, origin, tally)
        sale = Rush(shop, Scale(options.sale, tally.fail), options.seconds, options.edge)
    run = os.urandom(3).hex()  # addresses and keys of earlier runs may stand in the databases
    customers = [
        Customer(shop, journal, options.seed, run, number) for number in range(options.in_flight)
    ]
    traffic = Traffic(customers, tally, options.pause)
    stop = traffic.stop if sale is None else sale.stop

    def report() -> dict[str, Any]:
        scenario = {} if sale is None else {"scenario": sale.report(tally.errors)}
        return tally.report(loop.time()) | scenario

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    reporter: asyncio.Task[None] | None = None
    try:
        await traffic.prepare()
        reporter = asyncio.create_task(_report(report, stop))
        if sale is None:
            await traffic.run(options.seconds)
        else:
            await sale.run(traffic.run(float("inf")), traffic.stop)
    except* Unexpected:
        pass  # nobody could sign up: it has been counted, and there is nothing else to do
    finally:
        if reporter is not None:
            reporter.cancel()
        await client.close()
        await journal.close()
    print(json.dumps(report() | {"final": True, "sentences": tally.sentences}), flush=True)
    return 1 if tally.errors or tally.doubled else 0


def _seconds(text: str) -> float:
    return float("inf") if text == "forever" else float(text.removesuffix("s"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shop.demo.traffic")
    parser.add_argument("--edge", required=True, help="the shop, http://HOST:PORT")
    parser.add_argument("--ledger", type=Path, required=True, help="its append-only file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--for", dest="seconds", type=_seconds, default=float("inf"), metavar="SECONDS|forever"
    )
    parser.add_argument("--in-flight", type=int, default=8, help="how many customers")
    parser.add_argument(
        "--pause", type=float, default=0.0, metavar="SECONDS", help="between two visits"
    )
    parser.add_argument(
        "--sale", type=Path, metavar="DATA", help="a flash sale, in the fleet with this data folder"
    )
    return asyncio.run(drive(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
