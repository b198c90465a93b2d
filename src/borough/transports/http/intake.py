"""Connections that wait to be accepted, all at once, after a turn of the loop that took long.

uvloop accepts one connection for each listener and turn. While handlers compute turns are rare, and
clients that nobody accepts are not refused either: they give up, and come again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as tls
from collections.abc import Callable, Sequence

__all__ = ["Intake"]

_AT_ONCE = 256


class Intake:
    """Accepts on the sockets of a listening server, besides the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[socket.socket],
        make: Callable[[], asyncio.Protocol],
        ssl: tls.SSLContext | None,
        handshake_s: float | None = None,
    ) -> None:
        self._loop = loop
        self._listeners = [socket.socket(fileno=os.dup(each.fileno())) for each in listeners]
        self._make = make
        self._ssl = ssl
        self._handshake_s = handshake_s
        self._tasks: set[asyncio.Task[None]] = set()
        for listener in self._listeners:
            listener.setblocking(False)

    def accept_all(self) -> None:
        """Accept what waits."""
        for listener in self._listeners:
            for _ in range(_AT_ONCE):
                try:
                    accepted, _peer = listener.accept()
                except OSError:  # nobody waits, or has left already, or no file is left
                    break
                task = self._loop.create_task(self._take(accepted))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def take_all(self, seconds: float) -> None:
        """Accept what waits, and wait until it is connected, at most `seconds`."""
        self.accept_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _take(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                accepted,
                ssl=self._ssl,
                ssl_handshake_timeout=self._handshake_s,
            )
        except OSError:  # left, or no TLS
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise

    def stop(self) -> None:
        """Accept nothing more: a listener stays open until its last copy is closed."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def close(self) -> None:
        """Accept nothing more, and end what was just accepted.

        Handshakes are given up. Without TLS a connection is made at once: uvloop tells nobody of the end of one
        whose making was cancelled.
        """
        self.stop()
        if self._ssl is not None:
            for task in list(self._tasks):
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
