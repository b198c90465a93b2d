"""One request of HTTP/2 as a call: what it says of itself, its message, and the way of its answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from httpunk import H2Reason, HeaderMap, HTTPunkError
from httpunk.h2.server import SendStream, ServerRequest

from borough.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from borough.transports.grpc.door import CallerLeft
from borough.transports.grpc.limits import GrpcLimits
from borough.transports.grpc.statuses import Failure
from borough.transports.grpc.wire import (
    HEADERS,
    OK,
    head_of,
    message_of,
    messages_in,
    read_timeout_s,
)
from borough.transports.http import wire
from borough.transports.http.holding import Holding
from borough.transports.http.message import Connection, joined

__all__ = ["GrpcCall", "Way"]

_HEADERS = HeaderMap(HEADERS.items())
_OK = HeaderMap(OK.items())
_TIMEOUT, _CONTENT_TYPE = b"grpc-timeout", b"content-type"
_KIND = re.compile(rb"application/grpc(?:\+proto)?[ \t]*(?:;|\Z)", re.IGNORECASE)
_LONGEST_MS = 999_999_999
_FRAME = 5
_FIELD_BYTES = 32
"""What a field counts for besides its name and value (RFC 9113, 6.5.2)."""
_TURN = 64
_CHUNK_BYTES = 64
"""What a chunk takes besides its bytes, of which it may have one."""
_PART = 16 * 1024
"""So much of an answer is handed on at once: what was read of it is known to within that."""


class Way(Protocol):
    """What the calls of a connection share."""

    connection: Connection
    holding: Holding
    is_read: asyncio.Event
    """Set while the caller reads what is written to the connection."""

    @property
    def now(self) -> float:
        """The loop's time as of the last sweep."""
        ...


class GrpcCall:
    """See `Incoming`. `has_left`: nobody waits for the answer any more; `is_reading`: its message comes."""

    __slots__ = (
        "_count", "_is_writing", "_metadata_bytes", "_read", "_request", "_sent", "_since", "_slow_since",
        "_told", "_way", "connection", "has_left", "headers", "is_reading", "task", "watching",
    )  # fmt: skip

    def __init__(self, request: ServerRequest, way: Way) -> None:
        self._request = request
        self._told: Sequence[tuple[str, str]] = ()
        self._sent: SendStream | None = None
        self._count = self._metadata_bytes = 0
        self._way = way
        self._is_writing = False
        self._slow_since: float | None = None
        self._read = 0
        self._since = way.now
        self.connection = way.connection
        self.headers: dict[str, bytes] = {}
        self.task = asyncio.current_task()
        self.watching: asyncio.Task[None] | None = None
        self.has_left = self.is_reading = False

    def read_headers(self, taken: Mapping[bytes, str], limit: int) -> None:
        """Take what counts. Raises `InvalidRequest`, `TooLarge` and `UnsupportedMediaType`."""
        headers, came, kind = self.headers, self._request.headers, b""
        left = limit - _FIELD_BYTES * len(came)
        # HPACK says a field of 4 KiB again by one byte: what is too much is not even copied.
        fields = came.raw_items() if left >= 0 else ()
        for name, value in fields:
            left -= len(name) + len(value)
            key = taken.get(name)
            if key is not None:
                headers[key] = joined(key, headers[key], value) if key in headers else value
            elif name == _TIMEOUT:
                left_ms = min(read_timeout_s(value) * 1000, _LONGEST_MS)
                headers[wire.TIMEOUT_MS] = b"%d" % left_ms
            elif name == _CONTENT_TYPE:
                kind = value
        if left < 0:
            raise TooLarge(f"The metadata is above {limit} bytes")
        self._metadata_bytes = limit - left
        if _KIND.match(kind) is None:  # a browser sends others for any page, unasked
            raise UnsupportedMediaType("A call comes with Content-Type: application/grpc")

    async def message(self, limit: int) -> bytes:
        """The request's one message. Raises `InvalidRequest` and `TooLarge`."""
        holding = self._way.holding
        chunks: list[bytes] = []
        size, beside = 0, self._metadata_bytes
        self.is_reading = True
        holding.hold(self, beside)
        try:
            async for chunk in self._request.aiter_bytes():
                size += len(chunk)
                if size > limit + _FRAME:
                    raise TooLarge(f"The message is above {limit} bytes")
                chunks.append(chunk)
                holding.hold(self, beside + size + _CHUNK_BYTES * len(chunks))
        finally:
            self.is_reading = False
            holding.release(self)
        return message_of(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    async def messages(self, limit: int, message_s: float, quiet_s: float) -> AsyncGenerator[bytes]:
        """The messages of a stream as they come; it ends where none begins for `quiet_s`.

        Raises `InvalidRequest`, also where one takes longer than `message_s`, and `TooLarge`.
        """
        chunks = aiter(self._request.aiter_bytes())
        now, holding = asyncio.get_running_loop().time, self._way.holding
        rest = bytearray()
        until = now() + message_s
        try:
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    if not rest and self._count:
                        return
                    raise InvalidRequest(
                        f"The message has not come within {message_s:g} s"
                    ) from None
                if chunk is None:
                    return
                was_empty = not rest
                rest += chunk
                whole = messages_in(rest, limit)
                for message in whole:
                    yield message
                if whole or was_empty:
                    until = now() + (message_s if rest else quiet_s)
                if rest:
                    holding.hold(self, len(rest))
                else:  # who holds nothing is never the slowest
                    holding.release(self)
        finally:
            holding.release(self)

    async def left(self) -> None:
        """Return once the caller has left, or its connection is gone."""
        await self._request.reset_received()

    # --- the answer ------------------------------------------------------------------------------

    async def tell(self, fields: Sequence[tuple[str, str]]) -> None:
        """See `Incoming`."""
        self._told = fields

    async def write(self, message: bytes) -> None:
        """See `Incoming`."""
        way = self._way
        way.holding.hold(self, len(message) + _FRAME)
        self._is_writing = True
        try:
            if not way.is_read.is_set():
                await way.is_read.wait()
            sent = self._sent
            if sent is None:
                sent = self._sent = await self._request.send_response(200, headers=self._head())
            part = message[:_PART]
            await sent.send_data(head_of(message) + part)
            self._read += len(part)
            for at in range(_PART, len(message), _PART):
                part = message[at : at + _PART]
                await sent.send_data(part)
                self._read += len(part)
        except HTTPunkError as error:
            self.has_left = True  # whoever cleans up now is not cancelled for it once more
            raise CallerLeft(str(error)) from None
        finally:
            self._is_writing = False
            way.holding.release(self)
        self._count += 1
        if not self._count % _TURN:
            await asyncio.sleep(0)  # a stream that never waits leaves others their turn

    async def answer(self, message: bytes) -> None:
        """Send the one message of the answer, and end the call well."""
        if len(message) > _PART or not self._way.is_read.is_set():
            await self.write(message)
            await self.end()
            return
        self._way.holding.hold(self, len(message) + _FRAME)
        self._is_writing = True
        try:
            await self._request.respond(
                200, headers=self._head(), body=head_of(message) + message, trailers=_OK
            )
        finally:
            self._is_writing = False
            self._way.holding.release(self)

    async def end(self, failure: Failure | None = None) -> None:
        """End the call: well, or as `failure` says."""
        trailers = OK if failure is None else failure.trailers
        if self._sent is not None:
            await self._sent.send_trailers(trailers)
        else:
            await self._request.respond(200, headers={**HEADERS, **trailers})

    async def reset(self) -> None:
        """End it without an answer."""
        await self._request.reset(int(H2Reason.ENHANCE_YOUR_CALM))

    # --- the sweep and the bound of what is held call --------------------------------------------

    def check(self, now: float, limits: GrpcLimits) -> None:
        """Drop the call where its message does not come, or its answer is not read."""
        if self.is_reading:
            if now - self._since > limits.body_s:
                self.drop()
        elif not self._is_writing:
            self._slow_since = None
        elif self._slow_since is None:
            self._slow_since = now
            self._read = 0
        else:
            elapsed = now - self._slow_since
            read = self._read and self._read + _PART  # one more may be read in part
            if elapsed > limits.write_idle_s and read < elapsed * limits.write_bytes_per_s:
                self.drop()

    def drop(self) -> None:
        """Nobody waits any more, or it is too slow: end what runs for it."""
        if not self.has_left and self.task is not None:
            self.has_left = True
            self.task.cancel()

    def _head(self) -> HeaderMap:
        if not self._told:
            return _HEADERS
        head = HeaderMap(HEADERS.items())
        for name, value in self._told:
            head.add(name, value)
        return head
