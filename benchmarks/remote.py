"""A call from one process to another: Borough's typed client, in clear text and over mTLS, grpc.aio, and
aiohttp on both ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.children import CLIENT_CORE, Child
from benchmarks.report import Report, Series
from benchmarks.servers import MARKET, market_server, peer_server

WHAT = "client process on core 1, server process on core 0; CPU of both ends together, per call"
IN_FLIGHT = (1, 32, 256)
SECONDS = 0.7
NAMES = ("borough", "borough mTLS", "grpc.aio", "aiohttp")


def measure(rounds: int) -> Report:
    """Each pair of processes at each number of calls in flight, in turn."""
    report = Report("remote", WHAT)
    rates: dict[tuple[str, int], Series] = {}
    costs: dict[tuple[str, int], Series] = {}
    times: dict[tuple[str, int], Series] = {}
    for count in IN_FLIGHT:
        for name in NAMES:
            rates[name, count] = report.new(f"{name}, {count} in flight", "calls/s")
            costs[name, count] = report.new(f"{name}, {count} in flight, CPU", "us/call")
            times[name, count] = report.new(f"{name}, {count} in flight, p50", "us")
    with ExitStack() as stack:
        pairs = _pairs(stack)
        for _ in range(rounds):
            for count in IN_FLIGHT:
                for name, (server, client) in pairs.items():
                    figures = client.ask(
                        {"in_flight": count, "seconds": SECONDS, "pids": [server.pid]}
                    )
                    rates[name, count].values.append(figures["calls_per_s"])
                    costs[name, count].values.append(figures["client_us"] + figures["server_us"])
                    times[name, count].values.append(figures["p50_us"])
    for count in IN_FLIGHT:
        for name in NAMES[1:]:
            what = f"borough over {name}, {count} in flight"
            report.add(rates["borough", count].over(rates[name, count], what))
    return report


def _pairs(stack: ExitStack) -> dict[str, tuple[Child, Child]]:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="borough-bench-"))
    market, _, internal = market_server(Path(folder))
    stack.enter_context(market)
    options = _certificates(Path(folder) / "certs")
    data = Path(folder) / "tls"
    secured, _, secured_internal = market_server(data, options=options)
    stack.enter_context(secured)
    grpc_server, grpc_port = peer_server("grpc_server")
    stack.enter_context(grpc_server)
    aiohttp_server, aiohttp_port = peer_server("aiohttp_server")
    stack.enter_context(aiohttp_server)

    def client(module: str, *arguments: str) -> Child:
        return stack.enter_context(Child(["-m", f"benchmarks.{module}", *arguments], CLIENT_CORE))

    return {
        "borough": (market, client("market_client", folder, str(internal))),
        "borough mTLS": (
            secured,
            client("market_client", str(data), str(secured_internal), *options),
        ),
        "grpc.aio": (grpc_server, client("peers.grpc_client", str(grpc_port))),
        "aiohttp": (aiohttp_server, client("peers.aiohttp_client", str(aiohttp_port))),
    }


def _certificates(folder: Path) -> list[str]:
    """Certificates for the market, and the options that name them."""
    command = [sys.executable, "-m", "borough", "certs", str(MARKET), "--folder", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    files = {"ca": "ca.pem", "certificate": "{service}.pem", "key": "{service}.key"}
    return [f"internal.tls.{option}={folder / name}" for option, name in files.items()]
