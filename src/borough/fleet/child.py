"""A replica's process with the supervisor's ends of its lines: control, and what it prints."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping

from borough.fleet.aside import come_forward, step_aside
from borough.fleet.control import Assignment, Channel, FromReplica, ToReplica
from borough.fleet.process import Process

__all__ = ["Child"]

_MODULE = "borough.fleet.replica"
_ASIDE_MODULE = "borough.fleet.aside"
_ASIDE_S = 3.0
_AGAIN_S = 0.12


class Child:
    """A started process."""

    def __init__(self, process: Process, channel: Channel) -> None:
        self.pid = process.pid
        self._process = process
        self._channel = channel
        self._aside: asyncio.TimerHandle | None = None

    @classmethod
    async def begin(
        cls,
        assignment: Assignment,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        is_aside: bool = False,
    ) -> Child:
        """Start a process and tell it what to run. `say` gets each line that it prints.

        One that `is_aside` leaves others the processor until `come_forward`, or for as long as code
        may take to load.
        """
        here, there = socket.socketpair()
        try:
            process = await Process.begin(
                [
                    sys.executable,
                    "-m",
                    *((_ASIDE_MODULE, _MODULE) if is_aside else (_MODULE,)),
                    str(there.fileno()),
                    f"{assignment.deployable}.{assignment.number}",
                ],
                {**environment, "PYTHONUNBUFFERED": "1"},
                say,
                pass_fds=[there.fileno()],
            )
        except BaseException:
            here.close()
            raise
        finally:
            there.close()
        channel = await Channel.over(here)
        channel.send(assignment)
        child = cls(process, channel)
        if is_aside:
            step_aside(child.pid)
            child._come_forward_after(_ASIDE_S)
        return child

    def tell(self, message: ToReplica) -> None:
        """Say something to it."""
        self._channel.send(message)

    def messages(self) -> AsyncIterator[FromReplica]:
        """What it says, until it has gone."""
        return self._channel.receive(FromReplica)

    def come_forward(self) -> None:
        """One that was aside has a share of the processor like others again."""
        if self._aside is None:
            return
        self._stop_waiting()
        if not come_forward(self.pid):
            self._come_forward_after(_AGAIN_S)

    def _come_forward_after(self, seconds: float) -> None:
        self._aside = asyncio.get_running_loop().call_later(seconds, self.come_forward)

    def _stop_waiting(self) -> None:
        if self._aside is not None:
            self._aside.cancel()
            self._aside = None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def ended(self) -> int:
        """Wait until it has ended and all it printed is read; its exit status, negative for a signal."""
        await self._process.exited()
        self._stop_waiting()
        self._channel.close()
        return await self._process.ended()
