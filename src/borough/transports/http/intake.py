"""Connections that wait to be accepted: all at once after a turn of the loop that took long, with TLS each one.

uvloop accepts one connection for each listener and turn. While handlers compute turns are rare, and
clients that nobody accepts are not refused either: they give up, and come again.

A loop that accepts for TLS tells nobody of a connection until its handshake is over, so nobody bounds those that
never end. Here so many may be under way; for one more the oldest of the client that has most gives way.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl as tls
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from borough.transports.http.addresses import client_of
from borough.transports.http.bounds import Bounds

__all__ = ["Handshaking", "Intake"]

_AT_ONCE = 256
_TURN = 16
"""How many are accepted in a turn for a handshake, which costs more than to accept it."""
_NO_FILE_S = 1.0
"""How long nobody is accepted where no file is left: whoever waits would be reported in each turn."""
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = logging.getLogger("borough.http")


class Handshaking(NamedTuple):
    """How a listener begins TLS; `bounds` says how many handshakes may be under way."""

    context: tls.SSLContext
    bounds: Bounds
    seconds: float
    goodbye_s: float | None = None


class Intake:
    """Accepts on the sockets of a listening server: besides the loop, and in its place with TLS."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[socket.socket],
        make: Callable[[], asyncio.Protocol],
        handshaking: Handshaking | None,
    ) -> None:
        self._loop = loop
        self._listeners = [socket.socket(fileno=os.dup(each.fileno())) for each in listeners]
        self._make = make
        self._handshaking = handshaking
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: dict[str, dict[asyncio.Task[None], None]] = {}
        self._under_way: dict[asyncio.Task[None], str] = {}
        for listener in self._listeners:
            listener.setblocking(False)

    def serve(self, backlog: int) -> None:
        """Listen, and accept whoever comes. Raises `OSError`."""
        for listener in self._listeners:
            listener.listen(backlog)
        self._watch()

    def _watch(self) -> None:
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener, _TURN)

    def accept_all(self) -> None:
        """Accept what waits."""
        for listener in self._listeners:
            self._accept(listener, _AT_ONCE)

    def _accept(self, listener: socket.socket, most: int) -> None:
        for _ in range(most):
            try:
                accepted, peer = listener.accept()
            except OSError as error:
                if error.errno not in _NO_ROOM:  # nobody waits, or has left already
                    return
                if self._loop.remove_reader(listener):
                    _log.error("who connects waits for a second: %s", error.strerror)
                    self._loop.call_later(_NO_FILE_S, self._watch)
                return
            task = self._loop.create_task(self._take(accepted))
            self._tasks.add(task)
            if self._handshaking is not None:
                self._count(task, client_of(peer[0]), self._handshaking.bounds.handshakes)
            task.add_done_callback(partial(self._taken, accepted))

    def _count(self, task: asyncio.Task[None], client: str, most: int) -> None:
        self._under_way[task] = client
        self._clients.setdefault(client, {})[task] = None
        if len(self._under_way) > most:
            busiest = max(self._clients.values(), key=len)
            oldest = next(iter(busiest))
            self._forget(oldest)
            oldest.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        client = self._under_way.pop(task, None)
        if client is not None:
            tasks = self._clients[client]
            del tasks[task]
            if not tasks:
                del self._clients[client]

    def _taken(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._forget(task)
        if task.cancelled():  # perhaps before it has begun
            accepted.close()

    async def take_all(self, seconds: float) -> None:
        """Accept what waits, and wait until it is connected, at most `seconds`."""
        self.accept_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _take(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        how = self._handshaking
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                accepted,
                ssl=None if how is None else how.context,
                ssl_handshake_timeout=None if how is None else how.seconds,
                ssl_shutdown_timeout=None if how is None else how.goodbye_s,
            )
        except OSError:  # left, or no TLS
            accepted.close()

    def stop(self) -> None:
        """Accept nothing more: a listener stays open until its last copy is closed."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()

    async def close(self) -> None:
        """Accept nothing more, and end what was just accepted.

        Handshakes are given up. Without TLS a connection is made at once: uvloop tells nobody of the end of one
        whose making was cancelled.
        """
        self.stop()
        if self._handshaking is not None:
            for task in list(self._tasks):
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
