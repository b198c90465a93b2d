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

from borough.errors import DeadlineExceeded, InvalidRequest, ServiceFailure, Unavailable
from borough.transports.http.client_connection import (
    ClientResponse,
    ClientStream,
    ClosedUnanswered,
)
from borough.transports.http.deadlines import Deadlines
from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import rendered_fields
from borough.transports.http.pool import Origin, OriginPool

__all__ = ["ClientResponse", "ClientStream", "HttpClient", "Origin"]

_SWEEP_S = 5.0
_USUALLY_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
Fields = Sequence[tuple[bytes, bytes]]


def _rendered(method: str, target: str, headers: Fields, body: bytes) -> tuple[bytes, bytes]:
    """A request as bytes, before and after the fields that depend on the connection."""
    if not target.isascii() or not target.isprintable() or " " in target:
        raise InvalidRequest("The request target is not percent-encoded")
    try:
        fields = rendered_fields(headers)
    except ValueError as error:
        raise InvalidRequest(f"The request cannot be sent: {error}") from None
    line = f"{method} {target} HTTP/1.1\r\n".encode()
    if body or method not in _USUALLY_BODILESS:
        return line, b"%bcontent-length: %d\r\n\r\n%b" % (fields, len(body), body)
    return line, fields + b"\r\n"


class HttpClient:
    """A client for any number of origins.

    `ssl` is asked at each new connection, so that it may change. `first_headers` go with the first
    request of each connection only, such as a proof of who calls.
    """

    def __init__(
        self,
        limits: ClientLimits | None = None,
        ssl: Callable[[], tls.SSLContext] | None = None,
        first_headers: Fields = (),
    ) -> None:
        self.limits = limits or ClientLimits()
        self.first_headers = first_headers
        self._ssl = ssl
        self._pools: dict[Origin, OriginPool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
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
        pool = self._pools.get(origin) or self._open_pool(origin)
        if deadline is not None and pool.loop.time() >= deadline:
            raise DeadlineExceeded(f"No time was left to call {pool.name}")
        line, rest = _rendered(method, target, headers, body)
        while True:
            connection = pool.take() or await pool.acquire(deadline)
            may_repeat = idempotent and connection.is_used
            first = b"" if connection.is_used else rendered_fields(self.first_headers)
            answer = connection.begin(
                b"%b%b%b%b" % (line, pool.host_field, first, rest),
                deadline,
                method == "HEAD",
                is_streaming,
            )
            try:
                return await answer
            except ClosedUnanswered:
                if not may_repeat:
                    raise ServiceFailure(
                        f"{pool.name} closed the connection unanswered; the call may have run"
                    ) from None
            except BaseException:
                connection.give_up(answer)
                raise
            # It had been closed while it was kept; then its neighbours are suspect too, so that
            # the next one is new and the last.
            idempotent = False
            pool.drop_idle(pool.loop.time())

    def _open_pool(self, origin: Origin) -> OriginPool:
        if self._loop is None or self._deadlines is None:
            self._loop = asyncio.get_running_loop()
            self._deadlines = Deadlines(self._loop)
        pool = OriginPool(origin, self.limits, self._ssl, self._deadlines, self._loop)
        if self._is_closed:
            raise Unavailable(f"The client of {pool.name} is closed")
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
