"""The HTTP/1.1 server: listens, limits, sweeps and drains. What a request means is the door's.

`answer` gets every well-formed request and gives its response. Bytes that are no such request are
answered here and never reach it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from borough.clock import Clock, SystemClock, thread_cpu_s
from borough.errors import ConfigurationError
from borough.transports.http.bounds import Bounds
from borough.transports.http.intake import Handshaking, Intake
from borough.transports.http.leaving import ask_the_silent
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import Request, Response, rendered_fields
from borough.transports.http.refusals import REASONS, Refusal
from borough.transports.http.request_head import KnownParts
from borough.transports.http.server_connection import ServerConnection

if TYPE_CHECKING:
    from borough.transports.http.entrance import Entrances

__all__ = ["HttpServer", "keep_unsent_here", "why_no_listener"]

logger = logging.getLogger("borough.http")

_KEPT_HEADS = 512
_OURS = frozenset({b"connection", b"content-length", b"date", b"transfer-encoding"})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINGERING = 256
_UNSENT_BYTES = 128 * 1024
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_LONG_S = 0.002
_LATE_S = 1.0
_CANCEL_S = 5.0
"""A handler that was cancelled may clean up that long before closing goes on without it."""
_DRAIN_GRACE_S = 0.1
"""While draining, idle connections stay that long: a request already under way is then answered."""


class HttpServer:
    """One listener. `now` is the loop's time as of the last sweep, for times that may be coarse; `date` is
    the line of the field that each answer has.

    `requests`: how many have come since the start; `failures`: how many were answered with a 5xx.
    `is_busy`: several requests came in one turn of the loop, so others are about to be answered.
    `is_late`: what is read now may have waited, for the loop has had other things to do; on a new
    connection that was so until `late_until`, for it had to be accepted first.
    """

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Response]],
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
        *,
        proxies: Sequence[str] = (),
        entrances: Entrances | None = None,
        is_inside: bool = False,
        mark: Callable[[Request, Response], Response] | None = None,
    ) -> None:
        """`proxies`: networks whose connections are many clients', and not counted by address.

        `entrances`: where calls are counted when they come; `is_inside`: they are services' of this
        system; `mark` adds to what is refused there.
        """
        self.answer = answer
        self.limits = limits or ServerLimits()
        self.bounds = Bounds(self.limits, proxies)
        self.holding = self.bounds.holding
        self.known = KnownParts()
        self.port = 0
        self.is_draining = False
        self.is_busy = False
        self.now = 0.0
        self.requests = 0
        self.failures = 0
        self.loop: asyncio.AbstractEventLoop
        self._clock = clock or SystemClock()
        self.monotonic = self._clock.monotonic
        self._server: asyncio.Server | None = None
        self._intake: Intake | None = None
        self._connections: set[ServerConnection] = set()
        self._admitted = 0
        self._heads: dict[tuple[int, Sequence[tuple[bytes, bytes]]], bytes] = {}
        self.entrances = entrances
        self.is_inside = is_inside
        self.mark = mark
        self._came = 0
        self._worked_at = self._own_s = 0.0
        self.is_late = False
        self.late_until = 0.0
        self._answers: list[tuple[asyncio.Transport, bytes]] = []
        self.date = b""
        self._dated = -1
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    async def open(self, host: str, port: int, ssl: tls.SSLContext | None = None) -> None:
        """Listen; port 0 takes a free one. Raises `ConfigurationError` where that cannot be had."""
        self.loop = asyncio.get_running_loop()
        how = None if ssl is None else Handshaking(ssl, self.bounds, self.limits.header_s)
        try:
            self._server = await self.loop.create_server(
                lambda: ServerConnection(self),
                host,
                port,
                backlog=self.limits.backlog,
                start_serving=False,  # who is cancelled as it begins would leave it listening
            )
            for listener in self._server.sockets:
                keep_unsent_here(listener)
                ask_the_silent(listener)
            self._intake = Intake(
                self.loop, self._server.sockets, lambda: ServerConnection(self), how
            )
            self.port = self._server.sockets[0].getsockname()[1]
            self._own_s = thread_cpu_s()
            self._sweep()
            if how is None:
                await self._server.start_serving()
            else:
                self._intake.serve(self.limits.backlog)
        except BaseException as error:
            await self.close()
            if isinstance(error, (OSError, UnicodeError)):
                raise ConfigurationError(why_no_listener(host, port, error)) from error
            raise

    async def drain(self, seconds: float) -> None:
        """Finish what runs within `seconds`, then cancel it; who has connected already is answered, too."""
        self.is_draining = True
        until = self.loop.time() + seconds
        grace_s = min(_DRAIN_GRACE_S, seconds)
        # A listener that is closed drops whom it has not accepted, with what they have sent.
        if self._intake is not None:
            await self._intake.take_all(grace_s)
            await self._until_empty(grace_s)
            await self._intake.take_all(grace_s)
            self._intake.stop()
        if self._server is not None:
            self._server.close()
        await self._until_empty(grace_s)
        self.send_answers()
        for connection in [each for each in self._connections if each.is_idle]:
            connection.close()
        await self._until_empty(until - self.loop.time())
        await self.close()

    async def close(self) -> None:
        """Cancel what runs, drop every connection, and wait until all are gone. Idempotent."""
        self.is_draining = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._intake is not None:
            await self._intake.close()
        tasks = [task for each in list(self._connections) if (task := each.abort()) is not None]
        if tasks:
            _, deaf = await asyncio.wait(tasks, timeout=_CANCEL_S)
            for task in deaf:
                logger.error("%r goes on although it was cancelled", task)
        while self._connections:
            await self._until_empty(1.0)
        await server.wait_closed()

    async def _until_empty(self, seconds: float) -> None:
        """Wait until no connection is open, at most `seconds`."""
        if not self._connections or seconds <= 0:
            return
        self._empty = self.loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._empty
        except TimeoutError:
            pass
        finally:
            self._empty = None

    # --- connections call ------------------------------------------------------------------------

    def admit(self, connection: ServerConnection, peer: str) -> str | Refusal:
        """Count a new connection in, and say under which name, or why there are too many."""
        self._connections.add(connection)
        client = self.bounds.admit(peer)
        self._admitted += isinstance(client, str)
        return client

    @property
    def may_linger(self) -> bool:
        """Whether one more refused connection may stay until its client has read why."""
        return len(self._connections) - self._admitted <= _LINGERING

    def dismiss(self, connection: ServerConnection, client: str | None) -> None:
        """Forget a connection that is gone; `client` is what it was admitted as, if it was."""
        self._connections.discard(connection)
        self.holding.release(connection)
        if client is not None:
            self._admitted -= 1
            self.bounds.dismiss(client)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def count_request(self) -> None:
        """A request has come; its task runs within this turn of the loop."""
        if not self._came:
            self.loop.call_soon(self._turn)
        self._came += 1

    def _turn(self) -> None:
        self.requests += self._came
        self.is_busy, self._came = self._came > 1, 0
        self._worked_at = self.monotonic()
        self.is_late = False

    def end_work(self, now: float) -> None:
        """A call has ended. One that computed for long has let others wait, unread or unanswered."""
        took_s, self._worked_at = now - self._worked_at, now
        if took_s > _LONG_S and self._has_computed():
            self.is_late = True
            self.late_until = now + _LATE_S
            if self._intake is not None:
                self._intake.accept_all()
            if self.is_busy:
                self.is_busy = False
                self.send_answers()

    def _has_computed(self) -> bool:
        """Whether that was work, and not waiting, as far as what was computed since the last look tells."""
        before, self._own_s = self._own_s, thread_cpu_s()
        return self._own_s - before > _LONG_S

    def send_later(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write an answer after those that are about to follow: all at once wake clients once.

        Waking a process costs more than answering it: a fourth of the throughput at 32 in flight.
        """
        if not self._answers:
            self.loop.call_soon(self.send_answers)
        self._answers.append((transport, data))

    def send_answers(self) -> None:
        """Write what waits, before anything else is written or closed."""
        answers, self._answers = self._answers, []
        for transport, data in answers:
            if not transport.is_closing():
                transport.write(data)

    def head_of(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Status line, date and header fields, without the framing; kept until the next second."""
        recurs = isinstance(headers, tuple)
        if recurs:
            kept = self._heads.get((status, headers))
            if kept is not None:
                return kept
        for name, _ in headers:
            if name.lower() in _OURS:
                raise ValueError(f"{name!r} is the server's to write")
        reason = REASONS.get(status, "Status").encode()
        head = b"HTTP/1.1 %d %b\r\n%b%b" % (status, reason, self.date, rendered_fields(headers))
        if recurs and len(self._heads) < _KEPT_HEADS:
            self._heads[status, headers] = head
        return head

    # --- time ------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Renew date and time, look at every connection, and come again."""
        self.now = now = self.loop.time()
        second = int(self._clock.epoch_s())
        if second != self._dated:
            self._dated = second
            self.date = b"date: %b\r\n" % _http_date(self._clock.now()).encode()
            self._heads.clear()
        for connection in list(self._connections):
            connection.check(now)
        self._sweeper = self.loop.call_later(self.limits.sweep_s, self._sweep)


def keep_unsent_here(listener: socket.socket) -> None:
    """Let the kernel take little more than it can send; accepted connections inherit that.

    Otherwise it takes up to 4 MiB for a client that reads nothing, which no limit of ours counts.
    """
    if _NOTSENT_LOWAT is not None and listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _UNSENT_BYTES)


def _http_date(now: datetime) -> str:
    """A date as RFC 9110 (5.6.7) writes it, whatever the locale."""
    day, month = _DAYS[now.weekday()], _MONTHS[now.month - 1]
    return f"{day}, {now.day:02} {month} {now.year} {now:%H:%M:%S} GMT"


def why_no_listener(host: str, port: int, error: OSError | UnicodeError) -> str:
    """One sentence with the remedy, for a listener that could not be had."""
    if isinstance(error, UnicodeError):
        return f"Cannot listen on {host!r}, which is no name of a host; check the address"
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use; stop what listens there, or choose another port"
    if error.errno == errno.EACCES:
        return f"Port {port} on {host} may not be opened by this user; choose one above 1023"
    reason = (error.strerror or str(error)).lower()
    return f"Cannot listen on {host} port {port}: {reason}; check the address"
