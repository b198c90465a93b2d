"""The shop as one process and as a fleet, under the same customers: what an order costs in each."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.children import ROOT, Child, free_port
from benchmarks.report import Report

WHAT = (
    "the demo's customers, same seed and pace; all server processes, door and supervisor included"
)
TOPOLOGIES = {"one": "one process", "fleet": "fleet of seven"}
CUSTOMERS = 8
VISITS_PER_S = 16.0
VISITS = 96
TAIL_S = 0.5
"""What an order sets off is done after that."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def measure(rounds: int) -> Report:
    """Both shops run all the time; the customers go to one, then to the other."""
    report = Report("split", WHAT)
    series = {
        (topology, what): report.new(f"{name}{about}", unit)
        for what, about, unit in (
            ("cpu_ms", ", CPU per order", "ms"),
            ("p50_ms", ", checkout p50", "ms"),
            ("p99_ms", ", checkout p99", "ms"),
            ("orders_per_s", ", orders", "orders/s"),
        )
        for topology, name in TOPOLOGIES.items()
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="borough-bench-")))
        ledger = str(folder / "issuer.jsonl")
        issuer = stack.enter_context(
            Child(["-m", "shop.demo.issuer", "--port", "0", "--ledger", ledger])
        )
        url = f"http://127.0.0.1:{issuer.said()['ready']}"
        shops = {name: _Shop(name, folder / name, url, stack) for name in TOPOLOGIES}
        customers = stack.enter_context(
            Child(["-m", "benchmarks.split_customers", str(folder / "answers.jsonl")])
        )
        for shop in shops.values():  # accounts are opened, statements prepared
            customers.ask(shop.traffic(CUSTOMERS))
        for _ in range(rounds):
            for topology, shop in shops.items():
                before_s = shop.cpu_s()
                figures = customers.ask(shop.traffic(VISITS))
                time.sleep(TAIL_S)
                figures["cpu_ms"] = 1e3 * (shop.cpu_s() - before_s) / figures["orders"]
                for what in ("cpu_ms", "p50_ms", "p99_ms", "orders_per_s"):
                    series[topology, what].values.append(figures[what])
    for what, about in (("cpu_ms", "CPU per order"), ("p50_ms", "p50"), ("p99_ms", "p99")):
        split, whole = series["fleet", what], series["one", what]
        report.add(split.over(whole, f"fleet over one process, {about}"))
    return report


class _Shop:
    """A shop that is ready, and its processes."""

    def __init__(self, topology: str, data: Path, issuer: str, stack: ExitStack) -> None:
        self._port = free_port()
        server = stack.enter_context(
            Child(
                [
                    "-m", "borough", "run", str(ROOT / "examples" / "shop"), "--json",
                    "--topology", topology, "--data", str(data), "--port", str(self._port),
                    "--set", "edge.rate_limit=1000000/s",
                    "--set", f"services.payments.settings.issuer_url={issuer}",
                ],
                environment={"BOROUGH_NOTIFICATIONS_MAILBOX": str(data / "mailbox")},
            )
        )  # fmt: skip
        replicas = server.said().get("replicas", ())
        self._pids = [server.pid, *(each["pid"] for each in replicas)]

    def traffic(self, visits: int) -> dict[str, object]:
        """What to tell the customers."""
        pace_s = CUSTOMERS / VISITS_PER_S
        return {"port": self._port, "customers": CUSTOMERS, "visits": visits, "pace_s": pace_s}

    def cpu_s(self) -> float:
        """CPU time of all its processes since their start, in seconds."""
        return _cpu_s(self._pids)


def _cpu_s(pids: Sequence[int]) -> float:
    """Of threads that have ended, too; the kernel counts in ticks of 10 ms."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S
