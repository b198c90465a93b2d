"""The connections to one origin: reused newest first, bounded, with a fair queue before them.

A place in the pool is the connection object itself, connected or not yet; whoever waits is given
one of either kind.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections import deque
from collections.abc import Callable

from borough.errors import DeadlineExceeded, Unavailable
from borough.transports.http.client_connection import ClientConnection
from borough.transports.http.deadlines import Deadlines
from borough.transports.http.handshakes import why_no_tls
from borough.transports.http.limits import ClientLimits
from borough.transports.http.response_reader import Heads

__all__ = ["Origin", "OriginPool", "Unreachable"]

Origin = tuple[str, int] | tuple[str, int, str]
"""Host and port, and the name that TLS asks for where that is not the host."""


class Unreachable(Unavailable):
    """No connection could be opened: nobody listens there, or nobody answers."""


class _Waiter:
    """A call in the queue."""

    __slots__ = ("deadline", "name", "place")

    def __init__(self, place: asyncio.Future[ClientConnection], deadline: float, name: str) -> None:
        self.place = place
        self.deadline = deadline
        self.name = name

    def expire(self) -> None:
        if not self.place.done():
            self.place.set_exception(
                DeadlineExceeded(f"No connection to {self.name} came free in time")
            )


class OriginPool:
    """All connections of one client to one host and port."""

    __slots__ = (
        "_gone", "_host", "_idle", "_is_closed", "_port", "_server_name", "_ssl", "_waiting",
        "deadlines", "heads", "host_field", "limits", "loop", "members", "name",
    )  # fmt: skip

    def __init__(
        self,
        origin: Origin,
        limits: ClientLimits,
        ssl: Callable[[], tls.SSLContext] | None,
        deadlines: Deadlines,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._host, self._port = origin[:2]
        self._server_name = origin[2] if len(origin) == 3 else self._host
        self._ssl = ssl
        self.limits = limits
        self.deadlines = deadlines
        self.loop = loop
        literal = f"[{self._host}]" if ":" in self._host else self._host
        self.name = f"{literal}:{self._port}"
        is_usual = self._port == (443 if ssl else 80)
        port = b"" if is_usual else b":%d" % self._port
        self.host_field = b"host: %b%b\r\n" % (literal.encode("idna"), port)
        self.heads: Heads = {}
        self.members: set[ClientConnection] = set()
        self._idle: list[ClientConnection] = []
        self._waiting: deque[_Waiter] = deque()
        self._is_closed = False
        self._gone: asyncio.Future[None] | None = None

    @property
    def is_unused(self) -> bool:
        """Whether nothing is open and nobody waits."""
        return not self.members and not self._waiting

    def check_loop(self) -> None:
        """Raise `RuntimeError` in a loop that is not this one's: nothing here bears two threads."""
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                f"{self.name} was called in another event loop than its service's; a thread calls by "
                "asyncio.run_coroutine_threadsafe(..., loop)"
            )

    def take(self) -> ClientConnection | None:
        """A kept connection, or None where there is none."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_fit:
                return connection
        return None

    async def acquire(self, deadline: float | None) -> ClientConnection:
        """A connection for one request. Raises `Unavailable` or `DeadlineExceeded`."""
        while True:
            connection = self.take()
            if connection is not None:
                return connection
            if self._is_closed:
                raise Unavailable(f"The client of {self.name} is closed")
            if len(self.members) < self.limits.connections_per_origin:
                connection = ClientConnection(self)
                self.members.add(connection)
            else:
                connection = await self._wait(deadline)
            if connection.is_fit:
                return connection
            if connection in self.members and not connection.is_connected:
                await self._connect(connection, deadline)
                return connection
            # It was lost on its way to us: once more.

    async def _wait(self, deadline: float | None) -> ClientConnection:
        if len(self._waiting) >= self.limits.waiters_per_origin:
            raise Unavailable(f"Too many calls wait for a connection to {self.name}")
        waiter = _Waiter(self.loop.create_future(), deadline or 0.0, self.name)
        self._waiting.append(waiter)
        if deadline is not None:
            self.deadlines.add(waiter)
        place = waiter.place
        try:
            return await place
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            if place.done() and not place.cancelled() and place.exception() is None:
                self.pass_back(place.result())  # it came in the moment we were cancelled
            raise
        finally:
            self.deadlines.discard(waiter)

    async def _connect(self, connection: ClientConnection, deadline: float | None) -> None:
        until = self.loop.time() + self.limits.connect_s
        is_deadline_first = deadline is not None and deadline < until
        try:
            async with asyncio.timeout_at(deadline if is_deadline_first else until):
                await self.loop.create_connection(
                    lambda: connection,
                    self._host,
                    self._port,
                    ssl=None if self._ssl is None else self._ssl(),
                    server_hostname=None if self._ssl is None else self._server_name,
                )
        except BaseException as error:
            connection.abort()
            self.leave(connection)
            if isinstance(error, TimeoutError) and is_deadline_first:
                raise DeadlineExceeded(f"{self.name} could not be reached in time") from error
            if isinstance(error, OSError):
                raise Unreachable(f"{self.name} cannot be reached: {_reason(error)}") from error
            raise
        if self._is_closed or not connection.is_fit:
            connection.abort()
            raise Unreachable(connection.refusal or f"{self.name} closed the connection at once")

    def release(self, connection: ClientConnection) -> None:
        """Its answer has come whole: give it to who waits longest, or keep it."""
        while self._waiting:
            place = self._waiting.popleft().place
            if not place.done():
                place.set_result(connection)
                return
        connection.idle_since = self.loop.time()
        self._idle.append(connection)

    def leave(self, connection: ClientConnection) -> None:
        """It is gone, or never came: its place is another's. Idempotent."""
        if connection not in self.members:
            return
        self.members.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._tell_if_gone()
        while self._waiting and not self._is_closed:
            place = self._waiting.popleft().place
            if not place.done():
                successor = ClientConnection(self)
                self.members.add(successor)
                place.set_result(successor)
                return

    def pass_back(self, connection: ClientConnection) -> None:
        """Return a place that was given and not used."""
        if connection.is_fit:
            self.release(connection)
        elif not connection.is_connected:
            self.leave(connection)

    def drop_idle(self, unused_since: float) -> None:
        """Close what has been idle since that time or longer."""
        for connection in [each for each in self._idle if each.idle_since <= unused_since]:
            self._idle.remove(connection)
            connection.abort()

    def retire(self) -> None:
        """Let every connection end with the request it serves now; idle ones are closed."""
        self.drop_idle(self.loop.time())
        for connection in self.members:
            connection.is_last = True

    async def close(self) -> None:
        """Close every connection and wait until they are gone; calls that wait or run fail."""
        self._is_closed = True
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.place.done():
                waiter.place.set_exception(Unavailable(f"The client of {self.name} is closed"))
        if self._gone is None:
            self._gone = self.loop.create_future()
        for connection in list(self.members):
            connection.abort()
        self._tell_if_gone()
        # Each may be cancelled alone.
        await asyncio.shield(self._gone)

    def _tell_if_gone(self) -> None:
        gone = self._gone
        if gone is not None and not gone.done() and not any(m.is_connected for m in self.members):
            gone.set_result(None)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no connection within the time allowed"
    if isinstance(error, tls.SSLError):
        return why_no_tls(error)
    return (error.strerror or str(error)).lower()
