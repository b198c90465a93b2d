"""One service alone, as a replica of a fleet: from process start to ready, and its memory once idle."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.children import ROOT, pss_mib
from benchmarks.report import Report
from benchmarks.start import REFERENCE, START_ROUNDS, run_python
from borough.fleet.control import Assignment, DirectoryChanged, Failed, FromReplica, Ready

WHAT = "search of the shop on existing databases, told by the line of its supervisor what to run"
SHOP = ROOT / "examples" / "shop"
IDLE_S = 10.0
_TELLS = "borough.console.one_process:tells"
"""What the supervisor of `borough run` has a replica tell the system page."""


def measure(rounds: int) -> Report:
    """The replica and a reference process in turn; memory of one that has done nothing for 10 s."""
    rounds = max(rounds, START_ROUNDS) if rounds >= START_ROUNDS - 4 else rounds
    report = Report("alone", WHAT)
    ready = report.new("search, ready_ms", "ms")
    reference = report.new(f"reference: {REFERENCE}", "ms")
    at_ready = report.new("search at ready", "MiB PSS")
    idle = report.new(f"search, idle for {IDLE_S:.0f} s", "MiB PSS")
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as folder:
        with _replica(Path(folder)):
            pass  # makes the databases
        for number in range(rounds):
            with _replica(Path(folder)) as (process, ready_ms):
                ready.values.append(ready_ms)
                at_ready.values.append(pss_mib(process.pid))
                if number == rounds - 1:
                    time.sleep(IDLE_S)
                    idle.values.append(pss_mib(process.pid))
            reference.values.append(run_python(REFERENCE))
    report.hold(report.add(ready.over(reference, "search over reference")), at_most=3)
    report.hold(idle, at_most=35)
    return report


@contextmanager
def _replica(data: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A replica of search that is ready, and the milliseconds which that took; drained at the end."""
    decode = msgspec.json.Decoder[FromReplica](FromReplica).decode
    here, there = socket.socketpair()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "borough.fleet.replica", str(there.fileno()), "search.1"],
        stdin=subprocess.DEVNULL,
        stdout=None if "BENCH_VERBOSE" in os.environ else subprocess.DEVNULL,
        stderr=None if "BENCH_VERBOSE" in os.environ else subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        pass_fds=[there.fileno()],
    )
    there.close()
    try:
        with here, here.makefile("rb") as said:
            for told in _first_lines(data):
                here.sendall(msgspec.json.encode(told) + b"\n")
            for line in said:
                message = decode(line)
                if isinstance(message, Failed):
                    raise RuntimeError(f"the replica did not start: {message.sentence}")
                if isinstance(message, Ready):
                    break
            else:
                raise RuntimeError("the replica has ended; BENCH_VERBOSE=1 shows what it says")
            yield process, (time.perf_counter() - started) * 1e3
        process.wait(20)  # without its supervisor it drains
    finally:
        process.kill()
        process.wait()


def _first_lines(data: Path) -> tuple[Assignment, DirectoryChanged]:
    assignment = Assignment(
        path=str(SHOP),
        flags={"data.folder": str(data)},
        deployable="search",
        number=1,
        services=("search",),
        modules={"search": "shop.search.service"},
        code=(str(SHOP.parent), *filter(None, sys.path)),
        mounts=_TELLS,
    )
    return assignment, DirectoryChanged(1, {}, {})
