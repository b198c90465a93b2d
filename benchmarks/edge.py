"""What a public call costs through the door of a fleet, against the edge in the service's own process."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.children import CLIENT_CORE, SERVER_CORE, Child, free_port
from benchmarks.report import Report
from benchmarks.servers import market_server

WHAT = "one raw client on core 1; service and door on core 0, 355 bytes in, 85 out"
SECONDS = 0.7
IN_FLIGHT = (1, 32)


def measure(rounds: int) -> Report:
    """One process, and a service behind a door, in turn."""
    report = Report("edge", WHAT)
    names = ("one process", "forwarded")
    series = {
        (name, count, what): report.new(f"{name}, {count} in flight{about}", unit)
        for count in IN_FLIGHT
        for what, about, unit in (
            ("calls_per_s", "", "requests/s"),
            ("p50_us", ", p50", "us"),
            ("server_us", ", CPU of servers", "us/request"),
        )
        for name in names
    }
    doors = {
        count: report.new(f"forwarded, {count} in flight, CPU of the door", "us/request")
        for count in IN_FLIGHT
    }
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="borough-bench-")))
        market, edge, internal = market_server(data)
        stack.enter_context(market)
        port = free_port()
        door = stack.enter_context(
            Child(["-m", "benchmarks.door", str(port), str(data), str(internal)], SERVER_CORE)
        )
        door.said()
        client = stack.enter_context(Child(["-m", "benchmarks.raw_client"], CLIENT_CORE))
        ways = {"one process": (edge, [market.pid]), "forwarded": (port, [market.pid, door.pid])}
        for _ in range(rounds):
            for count in IN_FLIGHT:
                for name, (there, pids) in ways.items():
                    load = {"port": there, "path": "/pricing/totals", "connections": count}
                    figures = client.ask({**load, "seconds": SECONDS, "pids": pids})
                    for what in ("calls_per_s", "p50_us", "server_us"):
                        series[name, count, what].values.append(figures[what])
                load = {"port": port, "path": "/pricing/totals", "connections": count}
                alone = client.ask({**load, "seconds": SECONDS, "pids": [door.pid]})
                doors[count].values.append(alone["server_us"])
    return report
