"""One service runs a query of half a second; how long calls to another service of its process take."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks.answering import answer_lines
from benchmarks.children import CLIENT_CORE, Child, free_port
from benchmarks.report import Report
from benchmarks.servers import MARKET
from borough.errors import CallError
from borough.gateway.process import Process
from borough.runtime.client import Caller
from borough.runtime.system import System

WHAT = "server on both cores; a client on core 1 asks pricing over the edge every 2 ms"
QUERY_MS = 500
SECONDS = 0.25
WARM_S = 0.05
SETTLED_S = 0.02  # the first look finds the query slow and moves it to a thread
PACE_S = 0.002
TRIES = 10
QUERIES = ("scan", "audit")
NAMES = {
    "scan": "while a query runs outside of a transaction",
    "audit": "while it runs inside of one",
}


def measure(rounds: int) -> Report:
    """Without a query, and while each kind of query runs, in turn."""
    report = Report("slow_query", WHAT)
    idle = report.new("p50 without a query", "us")
    during = {query: report.new(f"p50 {NAMES[query]}", "us") for query in QUERIES}
    took = {query: report.new(f"the query itself, {query}", "ms") for query in QUERIES}
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="borough-bench-") as folder,
        Child(["-m", "benchmarks.slow_query", folder, str(port)]) as server,
        Child(["-m", "benchmarks.raw_client"], CLIENT_CORE) as client,
    ):
        rows = int(server.said()["rows"])
        load = {
            "port": port, "path": "/pricing/totals", "connections": 1, "seconds": SECONDS,
            "pids": [server.pid], "pace_s": PACE_S, "warm_s": WARM_S,
        }  # fmt: skip
        for _ in range(rounds):
            idle.values.append(client.ask(load)["p50_us"])
            for query in QUERIES:
                p50_us, query_ms = _during(server, client, query, rows, load)
                during[query].values.append(p50_us)
                took[query].values.append(query_ms)
    for query in QUERIES:
        ratio = during[query].over(idle, f"p50 {NAMES[query]}, over p50 without")
        report.hold(report.add(ratio), at_most=1.15)
    return report


def _during(
    server: Child, client: Child, query: str, rows: int, load: dict[str, object]
) -> tuple[float, float]:
    """The median while a query runs, and how long that took.

    Measured again where the query ended too early, or a slow moment took it above the second that a
    transaction may last.
    """
    for _ in range(TRIES):
        server.ask({"begin": query, "rows": rows})
        p50_us = client.ask(load)["p50_us"]
        query_ms = server.ask({"end": query})["ms"]
        if query_ms > (SETTLED_S + WARM_S + SECONDS) * 1e3 + 30:
            return p50_us, query_ms
    raise RuntimeError(f"the machine is too busy: no query of {TRIES} took about {QUERY_MS} ms")


async def _serve(folder: Path, port: int) -> None:
    """The market with an edge, and queries begun and ended by lines of JSON."""
    process = Process(System.load(MARKET), edge_port=port, data_folder=folder)
    await process.start()
    caller = Caller("reports", process.clock)
    running: dict[str, asyncio.Task[float]] = {}

    async def query(name: str, rows: int) -> float:
        started = time.perf_counter()
        callee = process.host.callees[f"reports.Reports.{name}"]
        await callee.run((rows,), caller.first_call())
        return (time.perf_counter() - started) * 1e3

    async def answer(asked: dict[str, object]) -> dict[str, object]:
        if "begin" in asked:
            name, rows = str(asked["begin"]), int(str(asked["rows"]))
            running[name] = asyncio.create_task(query(name, rows))
            await asyncio.sleep(SETTLED_S)
            return {}
        try:
            return {"ms": await running.pop(str(asked["end"]))}
        except CallError:
            return {"ms": 0.0}

    rows = 200_000
    await query("scan", rows)
    took_ms = statistics.median([await query("scan", rows) for _ in range(5)])
    print(f'{{"rows": {int(rows * QUERY_MS / took_ms)}}}', flush=True)
    try:
        await answer_lines(answer)
    finally:
        await process.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
