"""A caller with nothing but a socket, that sends calls and opens no window for what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from borough.transports.grpc.wire import head_of

__all__ = ["Deaf", "deaf"]

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 8, 9
_END_STREAM, _END_HEADERS = 1, 4
_CANCEL, _ENHANCE_YOUR_CALM = 8, 11
_PART = 16 * 1024


class Deaf:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 1

    def send(self, kind: int, flags: int, stream: int, data: bytes) -> None:
        """Send a frame."""
        head = len(data).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self._writer.write(head + data)

    async def call(
        self, path: str, message: bytes, missing: int = 0, grpc_timeout: bytes = b"10S"
    ) -> int:
        """Begin a call, the last bytes of whose message are missing; returns its stream."""
        stream, self._next = self._next, self._next + 2
        fields = (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"booth"),
            (b"te", b"trailers"),
            (b"grpc-timeout", grpc_timeout),
            (b"content-type", b"application/grpc"),
        )
        block = b"".join(
            b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
            for name, value in fields
        )
        self.send(_HEADERS, _END_HEADERS, stream, block)
        body = head_of(message) + message[: len(message) - missing]
        for at in range(0, len(body), _PART):
            is_last = at + _PART >= len(body) and not missing
            self.send(_DATA, _END_STREAM if is_last else 0, stream, body[at : at + _PART])
            await self._writer.drain()
        return stream

    def begin_block(self, size: int, more: int = 0) -> None:
        """Begin header fields that do not end: one that is put into the table, and said again and again."""
        field = b"\x40\x01x\x00"
        self.send(_HEADERS, 0, self._next, field + b"\xbe" * (size - len(field)))
        for _ in range(more):
            self.send(_CONTINUATION, 0, self._next, b"\xbe" * size)

    def end_block(self) -> int:
        """End them, which are no request; returns their stream."""
        stream, self._next = self._next, self._next + 2
        self.send(_CONTINUATION, _END_HEADERS, stream, b"")
        return stream

    async def ping_for_ever(self) -> None:
        """Send pings until the connection is gone, and read no answer. Raises `ConnectionError`."""
        ping = b"\0\0\x08" + bytes([_PING]) + bytes(13)
        while True:
            self._writer.write(ping * 4_000)
            await self._writer.drain()
            await asyncio.sleep(0)

    def leave(self, stream: int) -> None:
        """Say that nobody waits for the answer of a call any more."""
        self.send(_RST_STREAM, 0, stream, _CANCEL.to_bytes(4, "big"))

    async def frame(self) -> tuple[int, int, bytes]:
        """The next frame: its kind, its stream, its data. Raises `IncompleteReadError` at the end."""
        head = await self._reader.readexactly(9)
        data = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], int.from_bytes(head[5:], "big"), data

    async def end(self) -> None:
        """Read until the connection ends."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self.frame()

    async def reset(self) -> int:
        """Read until a stream is reset because its caller is slow, and say which."""
        stream, data = await self._found(_RST_STREAM)
        assert int.from_bytes(data, "big") == _ENHANCE_YOUR_CALM
        return stream

    async def told(self) -> int:
        """Read until a stream gets its header fields, and say which."""
        return (await self._found(_HEADERS))[0]

    async def _found(self, wanted: int) -> tuple[int, bytes]:
        while True:
            kind, stream, data = await self.frame()
            if kind == wanted:
                return stream, data


@asynccontextmanager
async def deaf(address: str, window: int = 0) -> AsyncIterator[Deaf]:
    """Connect; each call's answer has a window of so many bytes, the connection one without end."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    found = Deaf(reader, writer)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    found.send(_SETTINGS, 0, 0, b"\0\4" + window.to_bytes(4, "big"))
    found.send(_WINDOW, 0, 0, (2**30).to_bytes(4, "big"))
    try:
        yield found
    finally:
        writer.transport.abort()
