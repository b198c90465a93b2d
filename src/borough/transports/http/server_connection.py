"""One client's connection: bytes in, one request at a time to the door, bytes out.

Requests of a connection are answered in turn; what is sent ahead waits as bytes, bounded by
pausing the socket. One task answers each request and is cancelled when the client leaves.
No timer here: the server's sweep calls `check`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from borough.reliability.arrival import Arrival
from borough.transports.http import refusals
from borough.transports.http.chunked import ChunkedBody
from borough.transports.http.leaving import has_left
from borough.transports.http.message import BODILESS, Connection, Request, Response
from borough.transports.http.refusals import FAILURE_BODY, PROBLEM_HEADERS, Refusal, Refused
from borough.transports.http.request_head import CHUNKED, HeadReader
from borough.transports.http.waited import waited_s

if TYPE_CHECKING:
    from borough.transports.http.server import HttpServer

__all__ = ["ServerConnection"]

logger = logging.getLogger("borough.http")

# What a connection is doing. NEW: nothing has come yet; IDLE: between requests; HEAD, BODY: one is
# coming in; ANSWERING: one is at the door; LINGERING: the last answer was given, what still comes is
# thrown away; CLOSED: nothing more.
NEW, IDLE, HEAD, BODY, ANSWERING, LINGERING, CLOSED = range(7)

_LETTERS = bytes(range(65, 91))  # what a method may begin with
_CR = 13  # one empty line before a request is forgiven (RFC 9112, 2.2)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_COPIED_BYTES = 64 * 1024  # a body up to this size is copied behind its head, to be one write


class ServerConnection(asyncio.Protocol):
    """The protocol of one accepted connection."""

    __slots__ = (
        "_ahead", "_announced", "_arrival", "_body", "_client", "_connection", "_drained", "_head",
        "_incoming", "_is_new", "_is_reading", "_missing", "_server", "_since", "_started", "_state", "_task",
        "_transport", "_unread", "_write_paused_at",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._head = HeadReader(server.limits, server.known)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)  # set before any use
        self._connection = Connection(("", 0))
        self._state = NEW
        self._since = self._started = server.now
        self._ahead = b""  # not yet read: a head's beginning, or what follows the request at hand
        self._body: list[bytes] | ChunkedBody = []
        self._incoming: Request | None = None
        self._announced = self._missing = 0
        self._task: asyncio.Task[None] | None = None
        self._arrival: Arrival | None = None
        self._client: str | None = None
        self._is_reading = self._is_new = True
        self._write_paused_at: float | None = None
        self._unread = 0
        self._drained: asyncio.Future[None] | None = None

    # --- the transport calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer: Any = transport.get_extra_info("peername")
        if peer:  # a Unix socket's peer has no name
            self._connection.peer = (peer[0], peer[1])
        self._connection.certificate = transport.get_extra_info("peercert")
        admitted = self._server.admit(self, self._connection.peer[0])
        if isinstance(admitted, str):
            self._client = admitted
        elif self._server.may_linger:
            self._refuse(admitted)
        else:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = CLOSED
        self._head.forget()
        self._let_go()
        if self._task is not None:
            self._task.cancel()
            if self._arrival is not None:  # a task that never began could not say that it has ended
                self._task.add_done_callback(self._abandon)
        self._release_writer()
        self._server.dismiss(self, self._client)

    def data_received(self, data: bytes) -> None:
        state = self._state
        try:
            if state <= IDLE:
                self._take(data)
            elif state == ANSWERING:
                self._ahead += data
                self._bound_ahead()
            elif state == HEAD:
                self._take(self._ahead + data)
            elif state == BODY:
                self._since = self._server.now
                self._take_body(data)
        except Refused as refused:
            self._refuse(refused.refusal)

    def pause_writing(self) -> None:
        self._write_paused_at = self._server.now
        self._unread = self._transport.get_write_buffer_size()
        self._server.holding.hold(self, self._unread + len(self._ahead))
        if self._state == IDLE:  # the answer was written after it had been given
            self._go_on()

    def resume_writing(self) -> None:
        self._write_paused_at, self._unread = None, 0
        self._server.holding.release(self)
        self._release_writer()
        if self._state == IDLE:
            self._go_on()
        elif self._state in (LINGERING, CLOSED):
            self._since = self._server.now

    def _bound_ahead(self) -> None:
        """Read no more, and count what is here, where more was sent ahead than a head may be long."""
        if self._is_reading and len(self._ahead) > self._server.limits.head_bytes:
            self._is_reading = False
            self._transport.pause_reading()
            self._server.holding.hold(self, self._unread + len(self._ahead))

    # --- a request comes in ----------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """Read a head from the start of `data`, and its body if that is there too."""
        reader = self._head
        request = reader.read_own(data, self._connection)
        if request is not None:
            end = reader.end
        else:
            start = 2 if data[0] == _CR and data[:2] == b"\r\n" else 0
            end = data.find(b"\r\n\r\n", start) + 4
            if end == 3 or end > self._server.limits.head_bytes:
                self._take_part(data, start)
                return
            head = data if end == len(data) and not start else data[start:end]
            request = reader.read(head, self._connection)
        length = reader.length
        if length == 0:
            self._ahead = data[end:]
            self._answer(request)
            return
        size = len(data) - end
        if 0 < length <= size:
            request.body = body = data[end:] if length == size else data[end : end + length]
            reader.pass_body(body)
            self._ahead = b"" if length == size else data[end + length :]
            self._answer(request)
            return
        self._state = BODY
        self._since = self._started = self._server.now
        self._ahead = b""
        self._incoming = request
        self._announced = self._missing = length
        reader.forget()
        self._body = ChunkedBody(self._server.limits) if length == CHUNKED else []
        if reader.expects_continue and not size:
            self._server.send_answers()
            self._transport.write(_CONTINUE)
        self._take_body(data[end:])

    def _take_part(self, data: bytes, start: int) -> None:
        """Keep the beginning of a head, or refuse what can only be wrong."""
        limits = self._server.limits
        line_end = data.find(b"\r\n", start)
        if (line_end if line_end >= 0 else len(data)) > limits.url_bytes + 32:
            raise Refused(refusals.URL)
        if len(data) > limits.head_bytes:
            raise Refused(refusals.HEAD)
        if data.count(b"\n") != data.count(b"\r\n"):
            raise Refused(refusals.BARE_LINE_FEED)
        if data[start : start + 1].strip(_LETTERS) and data != b"\r":
            raise Refused(refusals.START_LINE)
        if self._state == IDLE:
            self._since = self._server.now  # the time of the first head counts from the accept
        self._state = HEAD
        self._ahead = data

    def _take_body(self, data: bytes) -> None:
        body, request = self._body, self._incoming
        if request is None:
            return
        if isinstance(body, ChunkedBody):
            body.feed(data)
            if not body.is_complete:
                self._server.holding.hold(self, body.held_bytes)
                return
            self._ahead = body.rest
            request.body = body.body
        elif len(data) < self._missing:
            body.append(data)
            self._missing -= len(data)
            self._server.holding.hold(self, self._announced - self._missing)
            return
        else:
            body.append(data[: self._missing])
            self._ahead = data[self._missing :]
            request.body = b"".join(body)
        self._incoming = None
        self._body = []
        self._server.holding.release(self)
        self._answer(request)

    def _answer(self, request: Request) -> None:
        """Hand a complete request to the door, once its service takes it."""
        self._state = ANSWERING
        self._incoming = request
        entrances = self._server.entrances
        entrance = entrances.to(request.path) if entrances is not None else None
        if entrance is None:
            self.begin()
            return
        server = self._server
        now = server.monotonic()
        came_at = now
        if server.is_late or (self._is_new and now < server.late_until):
            came_at -= waited_s(self._transport)
        self._is_new = False
        self._arrival = arrival = entrance.arrive(request, self, now, came_at)
        if arrival is not None and arrival.at_work:
            self.begin()

    @property
    def is_inside(self) -> bool:
        """Whether a service of this system calls, for itself."""
        return self._server.is_inside and not self._connection.is_public

    def begin(self) -> None:
        """Answer the request at hand, in a task of its own."""
        request, self._incoming = cast(Request, self._incoming), None
        self._server.count_request()
        self._task = self._server.loop.create_task(self._serve(request))

    def turn_away(self, response: Response) -> None:
        """Refuse the request at hand, at once and without a task; the connection goes on."""
        request, self._incoming = cast(Request, self._incoming), None
        self._arrival = None
        server = self._server
        if server.mark is not None:
            response = server.mark(request, response)
        server.send_answers()
        self._write(response, cast(bytes, response.body), at_once=True)
        if self._ahead:  # one after the other would be one within the other
            server.loop.call_soon(self._go_on_or_close)
        else:
            self._go_on_or_close()

    def _abandon(self, _task: object) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.entrance.abandon(arrival)

    def _leave(self) -> None:
        """Tell the entrance that this call has ended, once."""
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            self._server.end_work(arrival.entrance.leave(arrival))

    # --- an answer goes out ----------------------------------------------------------------------

    async def _serve(self, request: Request) -> None:
        try:
            response = await self._server.answer(request)
            self._server.failures += response.status >= 500
            body = response.body
            if type(body) is bytes:
                self._write(response, body)
            else:
                self._leave()  # a stream may go on for hours
                await self._stream(response, cast("AsyncIterator[bytes]", body))
        except asyncio.CancelledError:
            task = self._task
            if self._state == CLOSED or (task is not None and task.cancelling()):
                self._transport.abort()
                raise
            # Nobody cancelled this task: the handler awaited something that was cancelled.
            logger.exception(
                "%s %s was left unanswered by a cancelled wait", request.method, request.path
            )
            self._fail()
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            self._fail()
        self._task = None
        if self._arrival is not None:
            self._leave()
        self._go_on_or_close()

    def _write(self, response: Response, body: bytes, *, at_once: bool = False) -> None:
        status = response.status
        head = self._server.head_of(status, response.headers)
        keep = self._head.keep_alive and not self._server.is_draining
        if status in BODILESS:
            self._transport.write(head + (b"\r\n" if keep else b"connection: close\r\n\r\n"))
            return
        size = len(body)
        if self._head.is_head:
            body = b""
        elif size > _COPIED_BYTES:
            self._transport.write(
                b"%bcontent-length: %d\r\n%b\r\n"
                % (head, size, b"" if keep else b"connection: close\r\n")
            )
            self._transport.write(body)
            return
        if keep:
            answer = b"%bcontent-length: %d\r\n\r\n%b" % (head, size, body)
            if self._server.is_busy and not at_once:
                self._server.send_later(self._transport, answer)
            else:
                self._transport.write(answer)
        else:
            self._transport.write(
                b"%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (head, size, body)
            )

    def _fail(self) -> None:
        """Answer 500, or break the connection where an answer has begun."""
        if self._state == ANSWERING:
            self._write(Response(500, PROBLEM_HEADERS), FAILURE_BODY)

    async def _stream(self, response: Response, chunks: AsyncIterator[bytes]) -> None:
        try:
            if response.status in BODILESS:  # what came after it would be read as the next answer
                self._write(response, b"")
                return
            head = self._server.head_of(response.status, response.headers)
            # HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
            is_chunked = self._head.is_modern and response.length is None
            framing = response.framing(is_chunked=is_chunked)
            keep = self._head.keep_alive and not self._server.is_draining
            end = b"\r\n" if keep else b"connection: close\r\n\r\n"
            self._transport.write(head + framing + end)
            if not self._head.is_head:
                await self._write_chunks(chunks, is_chunked=is_chunked)
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    async def _write_chunks(self, chunks: AsyncIterator[bytes], *, is_chunked: bool) -> None:
        try:
            async for chunk in chunks:
                if chunk:
                    self._transport.write(
                        b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk
                    )
                    if self._write_paused_at is not None:
                        self._drained = self._server.loop.create_future()
                        await self._drained
        except BaseException:
            # The status has gone out: a missing last chunk is the only way left to tell.
            self._state = CLOSED
            self._transport.abort()
            raise
        if is_chunked:
            self._transport.write(b"0\r\n\r\n")

    # --- after an answer -------------------------------------------------------------------------

    def _go_on_or_close(self) -> None:
        if self._state != ANSWERING:
            return
        if self._server.is_draining:
            self.close()
            return
        if not self._head.keep_alive:
            self._linger()
            return
        self._state = IDLE
        self._since = self._server.now
        if self._ahead or not self._is_reading or self._write_paused_at is not None:
            self._go_on()

    def _go_on(self) -> None:
        """Take up what was sent ahead, unless the client does not read its answers."""
        if self._write_paused_at is not None:
            if self._is_reading:
                self._is_reading = False
                self._transport.pause_reading()
            return
        if not self._is_reading:
            self._is_reading = True
            self._server.holding.release(self)
            self._transport.resume_reading()
        ahead, self._ahead = self._ahead, b""
        if ahead:
            self.data_received(ahead)

    def _release_writer(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, and nothing more."""
        self._server.send_answers()
        self._transport.write(refusal.answer(self._server.date))
        self._linger()

    def _linger(self) -> None:
        """Close our side and throw away what still comes: unread, it would take the answer with it."""
        self._state = LINGERING
        self._since = self._server.now
        self._let_go()
        if self._write_paused_at is None:
            self._server.holding.release(self)
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    # --- the server calls ------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request is here, not even in part."""
        return self._state <= IDLE

    def check(self, now: float) -> None:
        """Look at the times; called by the sweep."""
        state, limits, silent = self._state, self._server.limits, now - self._since
        if self._write_paused_at is not None:
            if self._is_read_slowly(now - self._write_paused_at):
                self._transport.abort()
        elif (state == IDLE and silent > limits.keep_alive_s) or (
            state == NEW and silent > limits.header_s
        ):
            self.close()
        elif (state == CLOSED and silent > limits.write_idle_s) or (
            not self._is_reading and has_left(self._transport)
        ):
            self._transport.abort()
        elif (state == HEAD and silent > limits.header_s) or (
            state == BODY and (silent > limits.body_idle_s or self._is_slow(now))
        ):
            self._refuse(refusals.SLOW)
        elif state == LINGERING:
            is_sent = not self._transport.get_write_buffer_size()
            if silent > (limits.linger_s if is_sent else limits.write_idle_s):
                self._transport.abort()
        elif state == ANSWERING:
            self._bound_ahead()  # what came in one read with the request at hand

    def _is_read_slowly(self, elapsed: float) -> bool:
        limits, unread = self._server.limits, self._transport.get_write_buffer_size()
        idle_s = (self._drained is not None and limits.unread_stream_s) or limits.write_idle_s
        return elapsed > idle_s and self._unread - unread < elapsed * limits.write_bytes_per_s

    def _is_slow(self, now: float) -> bool:
        limits, elapsed, body = self._server.limits, now - self._started, self._body
        if elapsed <= limits.body_idle_s:
            return False
        received = body.seen if isinstance(body, ChunkedBody) else self._announced - self._missing
        return received < elapsed * limits.body_bytes_per_s

    def close(self) -> None:
        """Close after what has been written; the sweep drops who does not read it."""
        self._state = CLOSED
        self._since = self._server.now
        self._transport.close()

    def drop(self) -> None:
        """Let go at once of a connection that holds too much."""
        self._state = CLOSED
        self._let_go()
        self._transport.abort()

    def _let_go(self) -> None:
        self._ahead = b""
        self._body = []
        self._incoming = None
        if self._task is None and self._arrival is not None:  # it waits; nothing is left to begin
            self._arrival.entrance.forget(self._arrival)
            self._arrival = None

    def abort(self) -> asyncio.Task[None] | None:
        """Cancel what runs and drop the connection; returns the task that is ending."""
        task = self._task
        if task is not None:
            task.cancel()
        self._transport.abort()
        return task
