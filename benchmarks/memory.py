"""The demo's memory: server, card issuer and traffic generator together, at their peak."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec

from benchmarks.children import ROOT
from benchmarks.report import Report

WHAT = "borough demo --for 10s --json --measure; proportional share of memory, peak of the sum"


def measure(rounds: int) -> Report:
    """A demo of ten seconds per round."""
    report = Report("memory", WHAT)
    peak = report.new("peak of all three", "MiB PSS")
    ready = report.new("server at ready", "MiB PSS")
    orders = report.new("orders meanwhile", "orders")
    for _ in range(rounds):
        memory, summary = _demo()
        peak.values.append(memory["peak_mib"])
        ready.values.append(memory["server_ready_mib"])
        orders.values.append(summary["orders"])
    report.hold(peak, at_most=160)
    return report


def _demo() -> tuple[dict[str, Any], dict[str, Any]]:
    command = ["-m", "borough", "demo", "--for", "10s", "--json", "--measure"]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found = [
        msgspec.json.decode(line)
        for line in done.stderr.splitlines()
        if line.startswith("{") and "mib" in line
    ]
    return found[-1], msgspec.json.decode(done.stdout.splitlines()[-1])
