"""A call by gRPC: Borough's public gRPC door, and grpc.aio serving the same protobuf with the same
handler by hand. One client for both."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.children import CLIENT_CORE, Child, free_port
from benchmarks.report import Report, Series
from benchmarks.servers import MARKET, market_server, peer_server
from borough.contracts.proto_text import proto_text
from borough.contracts.reading import read_contracts
from borough.runtime.proto_locks import proto_files
from borough.runtime.system import System, contract_classes

WHAT = "client process on core 1, server process on core 0; one channel; an order in, its total out"
IN_FLIGHT = (1, 32, 128)
SECONDS = 0.7
NAMES = ("borough", "grpc.aio")
BAR = 0.85
"""What part of the bare server's calls Borough must do."""
JUDGED_IN_FLIGHT = 32


def measure(rounds: int) -> Report:
    """Both servers at each number of calls in flight, in turn."""
    report = Report("grpc_door", WHAT)
    rates: dict[tuple[str, int], Series] = {}
    costs: dict[tuple[str, int], Series] = {}
    times: dict[tuple[str, int], Series] = {}
    for count in IN_FLIGHT:
        for name in NAMES:
            about = f"{name}, {count} in flight"
            rates[name, count] = report.new(about, "calls/s")
            costs[name, count] = report.new(f"{about}, CPU of the callee", "us/call")
            times[name, count] = report.new(f"{about}, p50", "us")
    with ExitStack() as stack:
        servers = _servers(stack)
        for _ in range(rounds):
            for count in IN_FLIGHT:
                for name, (client, pid) in servers.items():
                    asked = {"in_flight": count, "seconds": SECONDS, "pids": [pid]}
                    figures = client.ask(asked)
                    rates[name, count].values.append(figures["calls_per_s"])
                    costs[name, count].values.append(figures["server_us"])
                    times[name, count].values.append(figures["p50_us"])
    for count in IN_FLIGHT:
        what = f"borough over grpc.aio, {count} in flight"
        ratio = report.add(rates["borough", count].over(rates["grpc.aio", count], what))
        if count == JUDGED_IN_FLIGHT:
            report.hold(ratio, at_least=BAR)
    return report


def _servers(stack: ExitStack) -> dict[str, tuple[Child, int]]:
    """A client of each server, and the server's process."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="borough-bench-"))
    _export(Path(folder))
    port = free_port()
    market, _, _ = market_server(Path(folder) / "data", options=[f"grpc.port={port}"])
    stack.enter_context(market)
    bare, bare_port = peer_server("pricing_server", folder)
    stack.enter_context(bare)

    def client(port: int) -> Child:
        module = "benchmarks.peers.pricing_client"
        return stack.enter_context(Child(["-m", module, str(port), folder], CLIENT_CORE))

    return {"borough": (client(port), market.pid), "grpc.aio": (client(bare_port), bare.pid)}


def _export(folder: Path) -> None:
    """Write the market's protobuf, as `borough contracts export` does."""
    classes = [cls for service in System.load(MARKET).services for cls in contract_classes(service)]
    for file in proto_files(read_contracts(dict.fromkeys(classes))):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(proto_text(file))
