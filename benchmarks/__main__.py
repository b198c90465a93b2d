"""Runs benchmarks by name, prints their tables, and says which bars are missed (exit status 1)."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.report import JUDGED_ROUNDS, Report
from benchmarks.revisions import compare

NAMES = (
    "start", "alone", "local", "rest", "edge", "remote", "grpc_door", "split", "outbox", "postgres", "events",
    "rabbitmq", "kafka", "slow_query", "memory", "telemetry", "telemetry_orders", "console", "outbox_disks",
)  # fmt: skip
_PACKAGES = (
    "aio-pika", "aiohttp", "aiosqlite", "apsw", "asyncpg", "borough", "confluent-kafka", "fastapi", "faststream",
    "grpcio", "httptools", "msgspec", "protobuf", "pydantic", "sqlalchemy", "uvicorn", "uvloop",
)  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES) + " (all)")
    parser.add_argument("--rounds", type=int, default=JUDGED_ROUNDS, help="rounds (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every value, for machines")
    parser.add_argument("--against", metavar="REVISION", help="compare with this commit instead")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(NAMES)}")
    circumstances = _circumstances()
    print(", ".join(f"{name} {value}" for name, value in circumstances.items()), flush=True)
    reports: list[Report] = []
    for name in options.names or NAMES:
        if options.against:
            report = compare(name, options.against, options.rounds)
        else:
            report = importlib.import_module(f"benchmarks.{name}").measure(options.rounds)
        reports.append(report)
        print("\n" + "\n".join(report.lines()), flush=True)
    if options.json is not None:
        found = {"circumstances": circumstances, "reports": reports}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    return int(any(not bar.is_met for report in reports for bar in report.bars))


def _circumstances() -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.2f}",
    }
    return found | {name: version(name) for name in _PACKAGES}


if __name__ == "__main__":
    sys.exit(main())
