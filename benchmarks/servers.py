"""Servers that several benchmarks start."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.children import ROOT, SERVER_CORE, Child, free_port

__all__ = ["MARKET", "market_server", "peer_server"]

MARKET = ROOT / "benchmarks" / "market"


def market_server(
    data: Path, cores: set[int] | None = SERVER_CORE, options: Sequence[str] = ()
) -> tuple[Child, int, int]:
    """`borough run` with the market: the process, the port of its edge, that of its internal door."""
    settings = [word for option in options for word in ("--set", option)]
    edge, internal = free_port(), free_port()
    child = Child(
        [
            "-m", "borough", "run", str(MARKET), "--data", str(data), "--json",
            "--port", str(edge), "--internal-port", str(internal),
            *settings,
        ],
        cores,
    )  # fmt: skip
    child.said()
    return child, edge, internal


def peer_server(module: str, *arguments: str) -> tuple[Child, int]:
    """`python -m benchmarks.peers.MODULE PORT ...` once it listens."""
    port = free_port()
    child = Child(["-m", f"benchmarks.peers.{module}", str(port), *arguments], SERVER_CORE)
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return child, port
    child.stop()
    raise RuntimeError(f"{module} does not listen; BENCH_VERBOSE=1 shows why")
