"""From process start to ready, what that takes of memory, and what the front door costs to import."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.children import ROOT, Child, free_port, pss_mib
from benchmarks.report import Report

WHAT = "the shop of five services on existing databases; wall clock with interpreter start, warm bytecode"
REFERENCE = "import asyncio, uvloop, msgspec"
IMPORTS_PER_ROUND = 5
START_ROUNDS = 11


def measure(rounds: int) -> Report:
    """The shop, a reference process and both imports, in turn; at least eleven rounds when judged."""
    rounds = max(rounds, START_ROUNDS) if rounds >= START_ROUNDS - 4 else rounds
    report = Report("start", WHAT)
    ready = report.new("shop, ready_ms", "ms")
    reference = report.new(f"reference: {REFERENCE}", "ms")
    memory = report.new("shop at ready", "MiB PSS")
    front = report.new("import borough", "ms")
    msgspec = report.new("import msgspec", "ms")
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as folder:
        _start(Path(folder))
        for _ in range(rounds):
            ready_ms, mib = _start(Path(folder))
            ready.values.append(ready_ms)
            memory.values.append(mib)
            reference.values.append(run_python(REFERENCE))
            pairs = [
                (run_python("import borough"), run_python("import msgspec"))
                for _ in range(IMPORTS_PER_ROUND)
            ]
            front.values.append(statistics.median(pair[0] for pair in pairs))
            msgspec.values.append(statistics.median(pair[1] for pair in pairs))
    report.hold(ready, at_most=600)
    report.hold(memory, at_most=90)
    report.hold(report.add(front.over(msgspec, "import borough over msgspec")), at_most=1.5)
    report.add(ready.over(reference, "shop over reference"))
    return report


def _start(folder: Path) -> tuple[float, float]:
    """Milliseconds until the ready line, and MiB then."""
    shop = str(ROOT / "examples" / "shop")
    port = str(free_port())
    started = time.perf_counter()
    with Child(
        ["-m", "borough", "run", shop, "--data", str(folder), "--json", "--port", port]
    ) as it:
        it.said()
        return (time.perf_counter() - started) * 1e3, pss_mib(it.pid)


def run_python(code: str) -> float:
    """Milliseconds of a Python process that runs this code and ends."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - started) * 1e3
