"""The HTTP/1.1 client: keep-alive connections to many origins, one request at a time on each.

It never guesses: a request is sent again only where it surely had no effect, or where the caller
says that twice is as good as once. Whoever stops waiting closes the connection.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from borough.errors import CallError, DeadlineExceeded, InvalidRequest, ServiceFailure, Unavailable
from borough.transports.http.client_connection import (
    ClientConnection,
    ClientResponse,
    ClientStream,
    ClosedUnanswered,
)
from borough.transports.http.deadlines import Deadlines
from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import rendered_fields
from borough.transports.http.pool import Origin, OriginPool, Unreachable

__all__ = [
    "ClientResponse",
    "ClientStream",
    "HttpClient",
    "Origin",
    "RequestLine",
    "as_told",
    "running_loop",
    "sendable",
]

_SWEEP_S = 5.0
_USUALLY_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
Fields = Sequence[tuple[bytes, bytes]]


class RequestLine:
    """Method and target of a request, ready to be sent. Made once where many requests share it."""

    __slots__ = ("is_head", "is_usually_bodiless", "text")

    def __init__(self, method: str, target: str) -> None:
        """Raises `InvalidRequest` for a target that would break the message."""
        if not target.isascii() or not target.isprintable() or " " in target:
            raise InvalidRequest("The request target is not percent-encoded")
        self.text = f"{method} {target} HTTP/1.1\r\n".encode()
        self.is_head = method == "HEAD"
        self.is_usually_bodiless = method in _USUALLY_BODILESS

    def followed_by(self, fields: bytes, body: bytes) -> bytes:
        """What is sent after the fields that depend on the connection."""
        if body or not self.is_usually_bodiless:
            return b"%bcontent-length: %d\r\n\r\n%b" % (fields, len(body), body)
        return fields + b"\r\n"


def sendable(headers: Fields) -> bytes:
    """Header fields as they are sent. Raises `InvalidRequest` for one that would break the message."""
    try:
        return rendered_fields(headers)
    except ValueError as error:
        raise InvalidRequest(f"The request cannot be sent: {error}") from None


def as_told(error: CallError) -> CallError:
    """The error as it is told to who called: what only this room tells apart is one of the known kinds."""
    if isinstance(error, ClosedUnanswered):
        return ServiceFailure(error.detail)
    return Unavailable(error.detail) if isinstance(error, Unreachable) else error


class HttpClient:
    """A client for any number of origins.

    `ssl` is asked at each new connection, so that it may change. `first_headers` go with the first
    request of each connection only, such as a proof of who calls; `headers` go with every request.
    """

    def __init__(
        self,
        limits: ClientLimits | None = None,
        ssl: Callable[[], tls.SSLContext] | None = None,
        first_headers: Fields = (),
        headers: Fields = (),
    ) -> None:
        self.limits = limits or ClientLimits()
        self._first_fields = rendered_fields(first_headers)
        self._ssl = ssl
        self._headers = rendered_fields(headers)
        self._pools: dict[Origin, OriginPool] = {}
        # Not that of whoever calls first: it may be a thread's own.
        self._loop = running_loop()
        self._deadlines: Deadlines | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def send(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Fields = (),
        body: bytes = b"",
        deadline: float | None = None,
        idempotent: bool = False,
    ) -> Coroutine[Any, Any, ClientResponse]:
        """One request and its whole answer, whatever its status. `deadline` is on the loop's clock.

        Raises `Unavailable` (the request was not sent), `DeadlineExceeded`, or `ServiceFailure`
        (it was sent, and no usable answer came).
        """
        return self._exchange(origin, method, target, headers, body, deadline, idempotent)

    @asynccontextmanager
    async def stream(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Fields = (),
        body: bytes = b"",
        deadline: float | None = None,
        idempotent: bool = False,
    ) -> AsyncGenerator[ClientStream, None]:
        """Like `send`, but the body is read as it comes: `async with ...` and `async for chunk`.

        Leaving the block before the end closes the connection, so that the other side stops.
        `deadline` covers the head and the first chunk; from then on `stream_idle_s` does.
        """
        stream: ClientStream = await self._exchange(
            origin, method, target, headers, body, deadline, idempotent, is_streaming=True
        )
        try:
            yield stream
        finally:
            stream.leave()

    def renew(self) -> None:
        """Begin every further request on a new connection, or one that began after this. What runs goes on."""
        for pool in self._pools.values():
            pool.retire()

    async def close(self) -> None:
        """Close every connection and wait until all are gone; calls that run fail. Idempotent."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for pool in list(self._pools.values()):
            await pool.close()
        if self._deadlines is not None:
            self._deadlines.close()

    async def _exchange(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Fields,
        body: bytes,
        deadline: float | None,
        idempotent: bool,
        is_streaming: bool = False,
    ) -> Any:
        """Send and wait; once more where a kept connection was stale, if that is safe."""
        pool = self.pool_of(origin)
        if deadline is not None and pool.loop.time() >= deadline:
            raise DeadlineExceeded(f"No time was left to call {pool.name}")
        line = RequestLine(method, target)
        rest = line.followed_by(sendable(headers), body)
        try:
            pool.check_loop()
            try:
                connection = pool.take() or await pool.acquire(deadline)
                return await self.send_on(pool, connection, line, rest, deadline, is_streaming)
            except ClosedUnanswered as closed:
                if not (idempotent and closed.was_kept):
                    raise
            # The neighbours of a stale connection are closed by now: this one is new, and the last.
            connection = pool.take() or await pool.acquire(deadline)
            return await self.send_on(pool, connection, line, rest, deadline, is_streaming)
        except (ClosedUnanswered, Unreachable) as error:
            raise as_told(error) from error

    async def send_on(
        self,
        pool: OriginPool,
        connection: ClientConnection,
        line: RequestLine,
        rest: bytes,
        deadline: float | None,
        is_streaming: bool,
    ) -> Any:
        """Send a request on a connection that was taken from `pool`, and wait for the answer or for its head.

        `rest` follows what depends on the connection. Raises as `send` does.
        """
        first = b"" if connection.is_used else self._first_fields
        rest = b"%b%b%b%b" % (line.text, pool.host_field, first, rest)
        answer = connection.begin(rest, deadline, line.is_head, is_streaming)
        del rest  # of an upload, nothing is kept twice while its answer is waited for
        try:
            return await answer
        except ClosedUnanswered:
            # It may have been closed while it was kept; then its neighbours are suspect too.
            pool.drop_idle(pool.loop.time())
            raise
        except BaseException:
            connection.give_up(answer)
            raise

    def pool_of(self, origin: Origin) -> OriginPool:
        """The connections to an origin. Raises `Unavailable` where the client is closed."""
        return self._pools.get(origin) or self._open_pool(origin)

    def _open_pool(self, origin: Origin) -> OriginPool:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._deadlines is None:
            self._deadlines = Deadlines(self._loop)
        pool = OriginPool(origin, self.limits, self._ssl, self._deadlines, self._loop)
        if self._is_closed:
            raise Unavailable(f"The client of {pool.name} is closed")
        pool.host_field += self._headers
        self._pools[origin] = pool
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep, self._loop)
        return pool

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has been idle for long; forget origins that nobody calls any more."""
        unused_since = loop.time() - self.limits.idle_s
        for origin, pool in list(self._pools.items()):
            pool.drop_idle(unused_since)
            if pool.is_unused:
                del self._pools[origin]
        more = bool(self._pools)
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep, loop) if more else None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs here, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
