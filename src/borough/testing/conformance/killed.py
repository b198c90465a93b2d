"""A process of the office beside the test: begun, listened to, paused, killed."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from pathlib import Path

from borough.testing.conformance.life import MakesAdapters, Task

__all__ = ["READY", "Child"]

READY = "ready"
"""What the process prints once it takes notes."""
_PROGRAM = "borough.testing.conformance"


class Child:
    """A process that runs the office and keeps notes; `acknowledged` are those of which it has said so."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ready = asyncio.Event()
        self._said = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())
        self.acknowledged: list[tuple[str, int]] = []

    @classmethod
    async def start(
        cls,
        suite: MakesAdapters,
        folder: Path,
        writers: tuple[str, ...] = (),
        first: int = 0,
        notes: int = 1_000_000,
    ) -> Child:
        """Begin it. The suite is sent to it, so it must be importable, and hold plain values."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(Task(suite, folder, writers, first, notes)))
        await process.stdin.drain()
        process.stdin.close()
        return cls(process)

    async def ready(self) -> None:
        """Wait until it takes notes. Raises `AssertionError` when it ends before."""
        await self._ready.wait()
        if self._listening.done():
            raise AssertionError("a process of the office has ended at its start")

    async def acknowledges(self, count: int) -> None:
        """Wait until it has acknowledged so many."""
        while len(self.acknowledged) < count:
            if self._listening.done():
                raise AssertionError("a process of the office has ended by itself")
            self._said.clear()
            await self._said.wait()

    def pause(self) -> None:
        """Let it stand still."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it at once, as `kill -9` does. Idempotent."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                if line.strip() == READY.encode():
                    self._ready.set()
                elif line.endswith(b"\n"):  # what is torn was not said
                    writer, number = line.decode().split()
                    self.acknowledged.append((writer, int(number)))
                self._said.set()
        finally:
            self._ready.set()
            self._said.set()
