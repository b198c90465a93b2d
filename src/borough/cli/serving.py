"""Serves in this process until told to stop: the first SIGTERM or Ctrl-C drains, a second one exits at once.

A terminal that is closed (SIGHUP) asks to drain, too, and hurries nobody: it may say so twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from borough.cli.output import complain, settle_output
from borough.cli.signals import hangs_up, quit_from_now_on
from borough.clock import SystemClock
from borough.runtime.footing import LEFT_BEHIND, allow_many_files, settle_memory
from borough.runtime.loop_watch import watched_loop

__all__ = ["Served", "serve"]


class Served(Protocol):
    """What is started, and stopped again."""

    async def start(self) -> None:
        """Open the listeners; on a failure nothing is left open."""
        ...

    async def stop_in_time(self) -> str | None:
        """Drain; says what does not let itself be stopped, once patience has ended."""
        ...

    async def stop(self) -> None:
        """End what was started. Idempotent."""
        ...


async def serve(served: Served, ready: Callable[[], AbstractContextManager[None]]) -> int:
    """Start, serve until a signal comes, drain; returns the exit status.

    `ready` is entered once everything is open, and left before anything is closed.
    """
    allow_many_files()
    stopping = _Stopping()
    starting = asyncio.ensure_future(served.start())
    stopping.cancels(starting)
    try:
        await starting
    except asyncio.CancelledError:
        await served.stop()
        return 130
    try:
        settle_memory()
        with ready(), watched_loop(SystemClock()):
            await stopping.wait()
            complain("stopping; once more exits at once")
    finally:
        await _stop(served)
        quit_from_now_on()
    return 0


async def _stop(served: Served) -> None:
    """Stop; what does not let itself be stopped is left behind, and that is said."""
    left = await served.stop_in_time()
    if left is not None:
        complain(f"borough: {left}")
        settle_output()
        os._exit(LEFT_BEHIND)


class _Stopping:
    """Signals: the first asks to stop, the second exits."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._task: asyncio.Future[None] | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        if hangs_up():
            loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def cancels(self, task: asyncio.Future[None]) -> None:
        """While the start is under way, a signal cancels it."""
        self._task = task

    def _signalled(self) -> None:
        if self._asked.is_set():
            os._exit(130)
        self._ask()

    def _hung_up(self) -> None:
        if not self._asked.is_set():
            self._ask()

    def _ask(self) -> None:
        self._asked.set()
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        await self._asked.wait()
