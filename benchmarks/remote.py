"""A call from one process to another: Borough's typed client, in clear text and over mTLS, grpc.aio,
aiohttp on both ends, and the floor: callbacks of uvloop that pass the same bytes and do nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.children import CLIENT_CORE, Child
from benchmarks.report import Report, Series
from benchmarks.servers import MARKET, market_server, peer_server

WHAT = "client process on core 1, server process on core 0; 355 bytes in, 85 out"
IN_FLIGHT = (1, 32, 256)
SECONDS = 0.7
ANSWER_BYTES = 85
NAMES = ("borough", "borough mTLS", "grpc.aio", "aiohttp", "raw ping-pong")
BARS = {"grpc.aio": 8.0, "aiohttp": 4.0, "raw ping-pong": 0.3}
"""How often what each of them does Borough does, in clear text."""
JUDGED_IN_FLIGHT = 32

Load = Callable[[int], dict[str, float]]
"""Measures one pair of processes at so many calls in flight."""


def measure(rounds: int) -> Report:
    """Each pair of processes at each number of calls in flight, in turn."""
    report = Report("remote", WHAT)
    rates: dict[tuple[str, int], Series] = {}
    costs: dict[tuple[str, int], tuple[Series, Series]] = {}
    times: dict[tuple[str, int], Series] = {}
    for count in IN_FLIGHT:
        for name in NAMES:
            rates[name, count] = report.new(f"{name}, {count} in flight", "calls/s")
            costs[name, count] = (
                report.new(f"{name}, {count} in flight, CPU of the caller", "us/call"),
                report.new(f"{name}, {count} in flight, CPU of the callee", "us/call"),
            )
            times[name, count] = report.new(f"{name}, {count} in flight, p50", "us")
    with ExitStack() as stack:
        loads = _loads(stack)
        for _ in range(rounds):
            for count in IN_FLIGHT:
                for name, load in loads.items():
                    figures = load(count)
                    rates[name, count].values.append(figures["calls_per_s"])
                    caller, callee = costs[name, count]
                    caller.values.append(figures["client_us"])
                    callee.values.append(figures["server_us"])
                    times[name, count].values.append(figures["p50_us"])
    for count in IN_FLIGHT:
        for name in NAMES[1:]:
            what = f"borough over {name}, {count} in flight"
            ratio = report.add(rates["borough", count].over(rates[name, count], what))
            if count == JUDGED_IN_FLIGHT and name in BARS:
                report.hold(ratio, at_least=BARS[name])
    return report


def _loads(stack: ExitStack) -> dict[str, Load]:
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

    raw_server, raw_port = peer_server("raw_server", str(ANSWER_BYTES))
    stack.enter_context(raw_server)

    def asked(server: Child, module: str, *arguments: str) -> Load:
        client = stack.enter_context(Child(["-m", f"benchmarks.{module}", *arguments], CLIENT_CORE))

        def load(count: int) -> dict[str, float]:
            found: dict[str, float] = client.ask(
                {"in_flight": count, "seconds": SECONDS, "pids": [server.pid]}
            )
            return found

        return load

    return {
        "borough": asked(market, "market_client", folder, str(internal)),
        "borough mTLS": asked(secured, "market_client", str(data), str(secured_internal), *options),
        "grpc.aio": asked(grpc_server, "peers.grpc_client", str(grpc_port)),
        "aiohttp": asked(aiohttp_server, "peers.aiohttp_client", str(aiohttp_port)),
        "raw ping-pong": _raw_load(stack, raw_server, raw_port),
    }


def _raw_load(stack: ExitStack, server: Child, port: int) -> Load:
    """As many connections as calls in flight, the answer made in advance."""
    client = stack.enter_context(Child(["-m", "benchmarks.raw_client"], CLIENT_CORE))

    def load(count: int) -> dict[str, float]:
        wanted = {"port": port, "path": "/pricing/totals", "connections": count}
        found: dict[str, float] = client.ask({**wanted, "seconds": SECONDS, "pids": [server.pid]})
        return found

    return load


def _certificates(folder: Path) -> list[str]:
    """Certificates for the market, and the options that name them."""
    command = [sys.executable, "-m", "borough", "certs", str(MARKET), "--folder", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    files = {"ca": "ca.pem", "certificate": "{service}.pem", "key": "{service}.key"}
    return [f"internal.tls.{option}={folder / name}" for option, name in files.items()]
