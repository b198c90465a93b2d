"""One connection to an origin: a request out, its answer in, and then perhaps the next.

Whoever gives up a call closes its connection, so that the other side can stop working. Only a
connection whose answer has come whole goes back to the pool.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from borough.errors import CallError, DeadlineExceeded, ServiceFailure, Unavailable
from borough.transports.http.handshakes import refused_certificate
from borough.transports.http.message import Headers
from borough.transports.http.response_reader import BadAnswer, ResponseReader

if TYPE_CHECKING:
    from borough.transports.http.pool import OriginPool

__all__ = ["ClientConnection", "ClientResponse", "ClientStream", "ClosedUnanswered"]


class ClosedUnanswered(ServiceFailure):
    """The connection was closed after the request had been written and before any answer.

    `was_kept`: it had served a request before, and may have been closed before this one came.
    """

    def __init__(self, name: str, *, was_kept: bool) -> None:
        super().__init__(f"{name} closed the connection unanswered; the call may have run")
        self.was_kept = was_kept


class ClientResponse:
    """An answer with its whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"ClientResponse({self.status}, {len(self.body)} bytes)"


class ClientConnection(asyncio.Protocol):
    """The protocol of one connection; `deadline` is that of the request at hand."""

    __slots__ = (
        "_answer", "_is_kept", "_is_streaming", "_pool", "_reader", "_stream", "_transport",
        "deadline", "idle_since", "is_connected", "is_last", "is_used", "refusal",
    )  # fmt: skip

    def __init__(self, pool: OriginPool) -> None:
        self._pool = pool
        self._reader = ResponseReader(pool.limits, pool.heads)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)  # set before any use
        self._answer: asyncio.Future[Any] | None = None
        self._is_kept = False
        self._is_streaming = False
        self._stream: ClientStream | None = None
        self.deadline = 0.0
        self.idle_since = 0.0
        self.is_connected = False
        self.is_last = False
        """No request follows the one at hand."""
        self.is_used = False
        self.refusal = ""
        """Why the other side would not talk to us, where it said so."""

    # --- a call ----------------------------------------------------------------------------------

    @property
    def is_fit(self) -> bool:
        """Whether a request may be written, as far as is known here."""
        return self.is_connected and not self._transport.is_closing()

    def begin(
        self, request: bytes, deadline: float | None, is_bodiless: bool, is_streaming: bool
    ) -> asyncio.Future[Any]:
        """Write a request; the future is its `ClientResponse`, or a `ClientStream` at its head."""
        pool = self._pool
        self._reader.start(is_bodiless, is_streaming)
        self._is_streaming = is_streaming
        self._answer = answer = pool.loop.create_future()
        self.deadline = deadline or 0.0
        if deadline:
            pool.deadlines.add(self)
        self._is_kept, self.is_used = self.is_used, True
        self._transport.write(request)
        return answer

    def give_up(self, answer: asyncio.Future[Any]) -> None:
        """The caller no longer waits for `answer`: close, unless all of it has come."""
        if self._answer is answer:
            self.abort()
        elif answer.done() and not answer.cancelled() and answer.exception() is None:
            given = answer.result()  # it came in the moment in which its caller was cancelled
            if isinstance(given, ClientStream):
                given.leave()

    def drop(self, stream: ClientStream) -> None:
        """The reader of `stream` has left: close, unless all of it had come."""
        if self._stream is stream:
            self._stream = None
            self.abort()

    def expire(self) -> None:
        """The deadline has passed before the answer came."""
        self._fail(DeadlineExceeded(f"{self._pool.name} did not answer in time"))

    # --- the transport calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_connected = True

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if self._answer is None and self._stream is None:
            self.abort()  # nobody asked
            return
        known = reader.take_known(data)
        if known is not None:
            if self._is_streaming:
                self._pass_whole(*known)
            else:
                self._finish(ClientResponse(*known), is_reusable=True)
            return
        try:
            reader.feed(data)
        except BadAnswer as bad:
            self._fail(ServiceFailure(f"{self._pool.name} sent a broken answer: {bad}"))
            return
        if self._is_streaming:
            self._pass_on()
        elif reader.is_complete:
            parts = reader.parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            answer = ClientResponse(reader.status, reader.headers, body)
            self._finish(answer, is_reusable=reader.is_reusable and not reader.has_excess)
        else:
            reader.gather()

    def connection_lost(self, exc: Exception | None) -> None:
        reader = self._reader
        self.is_connected = False
        if exc is None and reader.ends_with_connection and not reader.is_complete:
            reader.is_complete = True
            if self._is_streaming:
                self._pass_on()
            else:
                answer = ClientResponse(reader.status, reader.headers, b"".join(reader.parts))
                self._finish(answer, is_reusable=False)
        elif (alert := refused_certificate(exc)) is not None:
            # In TLS 1.3 our side of a handshake ends before the other has looked at our certificate.
            self.refusal = f"{self._pool.name} refuses the certificate that it was shown: {alert}"
            self._fail(Unavailable(self.refusal))
        elif self._answer is not None and not reader.has_begun:
            self._fail(ClosedUnanswered(self._pool.name, was_kept=self._is_kept))
        else:
            self._fail(ServiceFailure(f"{self._pool.name} broke off in the middle of its answer"))
        self._pool.leave(self)

    # --- an answer comes in ----------------------------------------------------------------------

    def _pass_on(self) -> None:
        """Hand what has come to the stream's reader."""
        reader, stream = self._reader, self._stream
        if stream is None:
            if not reader.has_head:
                return
            stream = ClientStream(self, reader.status, reader.headers, self._pool)
            answer, self._answer = self._answer, None
            self._pool.deadlines.discard(self)
            if answer is None or answer.done():
                self.abort()
                return
            self._stream = stream
            stream.deadline = self.deadline
            answer.set_result(stream)
        stream.put(reader.take_parts())
        if reader.is_complete:
            self._stream = None
            stream.end(None)
            self._return(is_reusable=reader.is_reusable and not reader.has_excess)

    def _pass_whole(self, status: int, headers: Headers, body: bytes) -> None:
        """An answer that came whole is given as a stream that has ended."""
        answer, self._answer = self._answer, None
        self._pool.deadlines.discard(self)
        if answer is None or answer.done():
            self.abort()
            return
        self._return(is_reusable=True)
        answer.set_result(ClientStream(self, status, headers, self._pool, body))

    def _finish(self, response: ClientResponse, *, is_reusable: bool) -> None:
        answer, self._answer = self._answer, None
        if self.deadline:
            self._pool.deadlines.discard(self)
        if answer is None or answer.done():
            self.abort()
            return
        self._return(is_reusable=is_reusable)
        answer.set_result(response)

    def _return(self, *, is_reusable: bool) -> None:
        """Go back to the pool, or close where no other answer could follow."""
        if is_reusable and not self.is_last:
            self._pool.release(self)
        elif self.is_connected:
            self._transport.close()

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        stream, self._stream = self._stream, None
        self._pool.deadlines.discard(self)
        if answer is not None and not answer.done():
            answer.set_exception(error)
        if stream is not None and isinstance(error, CallError):
            stream.end(error)
        self.abort()

    def abort(self) -> None:
        """Close at once; the other side sees it."""
        self._pool.deadlines.discard(self)
        if self.is_connected:
            self._transport.abort()

    def hold(self, *, is_held: bool) -> None:
        """Stop or resume taking bytes."""
        if self.is_fit:
            if is_held:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()


class ClientStream:
    """An answer whose body is read as it comes: `async for chunk in stream`.

    What is not read holds the sender back.
    """

    __slots__ = (
        "_buffered", "_chunks", "_connection", "_ended", "_error", "_has_begun", "_is_held",
        "_pool", "_waiter", "deadline", "headers", "status",
    )  # fmt: skip

    def __init__(
        self,
        connection: ClientConnection,
        status: int,
        headers: Headers,
        pool: OriginPool,
        whole: bytes | None = None,
    ) -> None:
        """`whole`: the body, where all of it is here."""
        self.status = status
        self.headers = headers
        self.deadline = 0.0
        self._connection = connection
        self._pool = pool
        self._chunks: deque[bytes] = deque((whole,) if whole else ())
        self._buffered = len(whole or b"")
        self._ended = whole is not None
        self._error: CallError | None = None
        self._has_begun = False
        self._is_held = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def most_bytes(self) -> int:
        """How large may be what is read of it as one: a body, or a line."""
        return self._pool.limits.body_bytes

    def put(self, chunks: list[bytes]) -> None:
        """Called by the connection: more has come."""
        if chunks:
            self._chunks.extend(chunks)
            self._buffered += sum(map(len, chunks))
            if not self._is_held and self._buffered > self._pool.limits.stream_buffer_bytes:
                self._is_held = True
                self._connection.hold(is_held=True)
            self._wake()

    def end(self, error: CallError | None) -> None:
        """Called by the connection: nothing more comes."""
        if self._is_held:
            self._is_held = False
            self._connection.hold(is_held=False)
        self._ended = True
        self._error = error
        self._wake()

    def expire(self) -> None:
        """Nothing has come in time."""
        if self._has_begun:
            self._error = ServiceFailure(f"{self._pool.name} fell silent within a stream")
        else:
            self._error = DeadlineExceeded(f"{self._pool.name} did not begin its stream in time")
        self.leave()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def __aiter__(self) -> ClientStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        self._has_begun = True
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._is_held and self._buffered * 2 < self._pool.limits.stream_buffer_bytes:
            self._is_held = False
            self._connection.hold(is_held=False)
        return chunk

    async def _wait(self) -> None:
        pool = self._pool
        self._waiter = waiter = pool.loop.create_future()
        if self._has_begun or not self.deadline:
            self.deadline = pool.loop.time() + pool.limits.stream_idle_s
        pool.deadlines.add(self)
        try:
            await waiter
        except asyncio.CancelledError:
            self.leave()
            raise
        finally:
            pool.deadlines.discard(self)

    async def read(self) -> bytes:
        """The whole body, for answers that turned out not to be a stream."""
        if self._ended and self._error is None and self._buffered <= self.most_bytes:
            whole = b"".join(self._chunks)
            self._chunks.clear()
            self._buffered = 0
            return whole
        body = bytearray()
        async for chunk in self:
            if len(body) + len(chunk) > self.most_bytes:
                self.leave()
                raise ServiceFailure(f"{self._pool.name} sent more than {len(body)} bytes")
            body += chunk
        return bytes(body)

    async def peek(self) -> bytes:
        """The whole body, which can still be read afterwards."""
        body = await self.read()
        self._chunks.append(body)
        self._buffered += len(body)
        return body

    def leave(self) -> None:
        """Read no more; the sender is told unless it had finished."""
        self._chunks.clear()
        if not self._ended:
            self._ended = True
            self._connection.drop(self)
