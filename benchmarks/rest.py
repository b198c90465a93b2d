"""REST, the whole path: edge, limiter, strict decoding, call, handler, answer; 32 requests in flight."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.children import CLIENT_CORE, Child
from benchmarks.report import Report, Series
from benchmarks.servers import market_server, peer_server

WHAT = "one raw client on core 1, one server on core 0, 32 connections, 355 bytes in, 85 out"
SECONDS = 0.7


def measure(rounds: int) -> Report:
    """Borough, FastAPI under uvicorn, and the floor of uvloop, in turn."""
    report = Report("rest", WHAT)
    names = ("borough", "fastapi", "raw uvloop")
    rates = {name: report.new(f"{name}", "requests/s") for name in names}
    costs = {name: report.new(f"{name}, server CPU", "us/request") for name in names}
    times = {name: report.new(f"{name}, p50", "us") for name in names}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="borough-bench-")))
        market, edge, _ = market_server(folder)
        servers = {
            "borough": (stack.enter_context(market), edge),
            "fastapi": _entered(stack, peer_server("fastapi_app")),
            "raw uvloop": _entered(stack, peer_server("raw_server", "85")),
        }
        client = stack.enter_context(Child(["-m", "benchmarks.raw_client"], CLIENT_CORE))
        for _ in range(rounds):
            for name, (server, port) in servers.items():
                figures = client.ask(
                    {
                        "port": port,
                        "path": "/pricing/totals",
                        "connections": 32,
                        "seconds": SECONDS,
                        "pids": [server.pid],
                    }
                )
                rates[name].values.append(figures["calls_per_s"])
                costs[name].values.append(figures["server_us"])
                times[name].values.append(figures["p50_us"])
    ratios = _ratios(report, rates)
    report.hold(ratios, at_least=3.5)
    return report


def _entered(stack: ExitStack, started: tuple[Child, int]) -> tuple[Child, int]:
    stack.enter_context(started[0])
    return started


def _ratios(report: Report, rates: dict[str, Series]) -> Series:
    report.add(rates["borough"].over(rates["raw uvloop"], "borough as a share of raw uvloop"))
    return report.add(rates["borough"].over(rates["fastapi"], "borough over fastapi"))
