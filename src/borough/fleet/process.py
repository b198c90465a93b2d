"""A process of a fleet: it has a session of its own, prints to its supervisor, and its end is its own.

Whatever it has started may go on and hold what it printed to. asyncio's `Process.wait` waits, in some releases of
Python, for the end of that too, so the end is taken here from the process alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

__all__ = ["Process"]

_LAST_WORDS_S = 1.0
_LONGEST_LINE = 64 * 1024


class Process(asyncio.SubprocessProtocol):
    """A started process."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` gets what it prints: whole lines, and pieces of those that do not end."""
        self._say = say
        self._left = b""
        self._exited = asyncio.Event()
        self._silent = asyncio.Event()
        self._is_over = False

    @classmethod
    async def begin(
        cls,
        argv: Sequence[str],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        folder: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start it. Raises `OSError`, and `ValueError` for words that no process can be given."""
        _, process = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(say),
            *argv,
            cwd=folder,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment,
            pass_fds=pass_fds,
            # Ctrl-C reaches it through its supervisor, and it has a share of the processor (aside.py).
            start_new_session=True,
        )
        return process

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self._exited.is_set()

    def kill(self) -> None:
        """End it at once, and nothing else."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                self._transport.kill()

    def signal_group(self, number: signal.Signals) -> None:
        """Signal it and what it has started in its process group, also after its own end, until `ended` returns."""
        if not self._is_over:  # the number may be another's one day
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def has_company(self) -> bool:
        """Whether anything is left in its process group, after its own end."""
        # Orphans are ours where this is a container's first process.
        with suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it has become somebody else
            return True
        return True

    async def exited(self) -> int:
        """Wait for its own end; its exit status, negative for a signal."""
        await self._exited.wait()
        status = self._transport.get_returncode()
        assert status is not None
        return status

    async def ended(self) -> int:
        """The same, and what it printed is read."""
        status = await self.exited()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):  # somebody else may print there for ever
                await self._silent.wait()
        self._say_rest()
        self._is_over = True
        self._transport.close()
        return status

    # --- what asyncio tells -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It has been started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It has printed."""
        *lines, self._left = (self._left + data).split(b"\n")
        if len(self._left) > _LONGEST_LINE:
            lines, self._left = [*lines, self._left], b""
        for line in lines:
            self._say(line.decode("utf-8", "replace").rstrip("\r"))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Nobody prints there any more."""
        self._say_rest()
        self._silent.set()

    def process_exited(self) -> None:
        """It has ended."""
        self._exited.set()

    def _say_rest(self) -> None:
        """The line that it did not end."""
        if self._left:
            self._say(self._left.decode("utf-8", "replace"))
            self._left = b""
