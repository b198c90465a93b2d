"""One request of HTTP/2 as a call: what it says of itself, its message, and the way of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from httpunk import HeaderMap
from httpunk.h2.server import SendStream, ServerRequest

from borough.errors import InvalidRequest, TooLarge
from borough.transports.grpc.statuses import Failure
from borough.transports.grpc.wire import (
    HEADERS,
    OK,
    framed,
    message_of,
    messages_in,
    read_timeout_s,
)
from borough.transports.http import wire
from borough.transports.http.message import Connection, joined

__all__ = ["GrpcCall"]

_HEADERS = HeaderMap(HEADERS.items())
_OK = HeaderMap(OK.items())
_TIMEOUT = b"grpc-timeout"
_LONGEST_MS = 999_999_999
_FRAME = 5
_TURN = 64


class GrpcCall:
    """See `Incoming`. `has_left`: nobody waits for the answer any more."""

    __slots__ = (
        "_count", "_request", "_sent", "_told", "connection", "has_left", "headers", "left_s", "since", "task",
        "watching",
    )  # fmt: skip

    def __init__(self, request: ServerRequest, connection: Connection, since: float) -> None:
        self._request = request
        self._told: Sequence[tuple[str, str]] = ()
        self._sent: SendStream | None = None
        self._count = 0
        self.connection = connection
        self.headers: dict[str, bytes] = {}
        self.left_s: float | None = None
        self.since = since
        self.task = asyncio.current_task()
        self.watching: asyncio.Task[None] | None = None
        self.has_left = False

    def read_headers(self, taken: Mapping[bytes, str]) -> None:
        """Take what counts. Raises `InvalidRequest`."""
        headers = self.headers
        for name, value in self._request.headers.raw_items():
            key = taken.get(name)
            if key is not None:
                headers[key] = joined(key, headers[key], value) if key in headers else value
            elif name == _TIMEOUT:
                self.left_s = read_timeout_s(value)
                headers[wire.TIMEOUT_MS] = b"%d" % min(self.left_s * 1000, _LONGEST_MS)

    async def message(self, limit: int) -> bytes:
        """The request's one message. Raises `InvalidRequest` and `TooLarge`."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in self._request.aiter_bytes():
            size += len(chunk)
            if size > limit + _FRAME:
                raise TooLarge(f"The message is above {limit} bytes")
            chunks.append(chunk)
        return message_of(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    async def messages(self, limit: int, message_s: float, quiet_s: float) -> AsyncGenerator[bytes]:
        """The messages of a stream as they come; it ends where none begins for `quiet_s`.

        Raises `InvalidRequest`, also where one takes longer than `message_s`, and `TooLarge`.
        """
        chunks = aiter(self._request.aiter_bytes())
        now = asyncio.get_running_loop().time
        rest = bytearray()
        until = now() + message_s
        while True:
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                if not rest and self._count:
                    return
                raise InvalidRequest(f"The message has not come within {message_s:g} s") from None
            if chunk is None:
                return
            was_empty = not rest
            rest += chunk
            whole = messages_in(rest, limit)
            for message in whole:
                yield message
            if whole or was_empty:
                until = now() + (message_s if rest else quiet_s)

    async def left(self) -> None:
        """Return once the caller has left, or its connection is gone."""
        await self._request.reset_received()

    # --- the answer ------------------------------------------------------------------------------

    async def tell(self, fields: Sequence[tuple[str, str]]) -> None:
        """See `Incoming`."""
        self._told = fields

    async def write(self, message: bytes) -> None:
        """See `Incoming`."""
        if self._sent is None:
            self._sent = await self._request.send_response(200, headers=self._head())
        await self._sent.send_data(framed(message))
        self._count += 1
        if not self._count % _TURN:
            await asyncio.sleep(0)  # a stream that never waits leaves others their turn

    async def answer(self, message: bytes) -> None:
        """Send the one message of the answer, and end the call well."""
        await self._request.respond(200, headers=self._head(), body=framed(message), trailers=_OK)

    async def end(self, failure: Failure | None = None) -> None:
        """End the call: well, or as `failure` says."""
        trailers = OK if failure is None else failure.trailers
        if self._sent is not None:
            await self._sent.send_trailers(trailers)
        else:
            await self._request.respond(200, headers={**HEADERS, **trailers})

    async def drop(self) -> None:
        """End it without an answer."""
        await self._request.reset()

    def _head(self) -> HeaderMap:
        if not self._told:
            return _HEADERS
        head = HeaderMap(HEADERS.items())
        for name, value in self._told:
            head.add(name, value)
        return head
