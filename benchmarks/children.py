"""Processes that take part: pinned to a core, asked by lines of JSON, ended by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from borough.engines.ports import free_port

__all__ = ["CLIENT_CORE", "ROOT", "SERVER_CORE", "Child", "free_port", "pinned", "pss_mib"]

ROOT = Path(__file__).resolve().parents[1]
_CODE = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = {_CORES[0]}, {_CORES[-1]}


@contextmanager
def pinned(cores: set[int] | None) -> Iterator[None]:
    """What starts within the block stays on these cores; None: on any."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Child:
    """A Python process. `ask` sends it a line of JSON and reads one."""

    def __init__(
        self,
        arguments: Sequence[str],
        cores: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        with pinned(cores):
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if "BENCH_VERBOSE" in os.environ else subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": _CODE, **(environment or {})},
            )
        self.pid = self.process.pid

    def ask(self, question: object) -> Any:
        """Its answer to a question."""
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(question) + b"\n")
        self.process.stdin.flush()
        return self.said()

    def said(self) -> Any:
        """The next line it says, as JSON."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.process.args!r} ended with {self.process.wait()}; "
                "BENCH_VERBOSE=1 shows what it says on standard error"
            )
        return msgspec.json.decode(line)

    def stop(self) -> None:
        """Ask it to end; kill it where it does not."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def pss_mib(pid: int) -> float:
    """Proportional share of memory, in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
