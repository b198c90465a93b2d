"""A server whose answers tell what it has understood: `python -m rigs.raw_server PORT [FAULT]`.

Each answer carries a digest of method, path, query and body. A fault replaces a part of the product's
parsers in this process only. It prints a line when it is ready, and the number of requests when asked to
end.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import zlib
from typing import Any

import uvloop

from borough.transports.http import chunked, server_connection
from borough.transports.http import server as product
from borough.transports.http.chunked import ChunkedBody
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import Connection, Request, Response
from borough.transports.http.request_head import HeadReader
from borough.transports.http.server import HttpServer
from borough.transports.http.server_connection import ServerConnection

__all__ = ["FAULTS", "digest"]

_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[^\r\n]*", re.IGNORECASE)
_CODED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)


def digest(method: str, path: str, query: str, body: bytes) -> bytes:
    """What a request comes to, whoever has read it."""
    return b"%08x" % zlib.crc32(
        b"%b %b?%b %b" % (method.encode(), path.encode(), query.encode(), body)
    )


class LengthIgnoringReader(HeadReader):
    """Drops a Content-Length that stands beside a Transfer-Encoding: the check is off."""

    def read(self, head: bytes, connection: Connection) -> Request:
        if _CODED.search(head):
            head = _LENGTH.sub(b"", head)
        return super().read(head, connection)


class LastLengthReader(HeadReader):
    """Of two lengths takes the last one."""

    def read(self, head: bytes, connection: Connection) -> Request:
        lengths = _LENGTH.findall(head)
        if len(lengths) > 1:
            head = _LENGTH.sub(b"", head)[:-2] + lengths[-1][2:] + b"\r\n\r\n"
        return super().read(head, connection)


class LooseChunks(ChunkedBody):
    """Passes over what stands between the data of a chunk and the next line end."""

    def _line(self, line: bytes) -> None:
        super()._line(b"" if self._state == chunked._DATA_END else line)


FAULTS: dict[str, type[HeadReader] | type[ChunkedBody]] = {
    "both-lengths": LengthIgnoringReader,
    "two-lengths": LastLengthReader,
    "loose-chunks": LooseChunks,
}
"""What is replaced, by the name of the fault."""


def replace(owner: Any, name: str, part: Any) -> None:
    """Put a part in the place of the product's."""
    setattr(owner, name, part)


def plant(fault: str) -> None:
    """Put the faulty part in the place of the product's."""
    part = FAULTS[fault]
    if issubclass(part, ChunkedBody):
        replace(server_connection, "ChunkedBody", part)
        return
    reader: type[HeadReader] = part

    class PlantedConnection(ServerConnection):
        """A connection whose heads are read by the faulty reader."""

        def __init__(self, server: HttpServer) -> None:
            super().__init__(server)
            self._head = reader(server.limits, server.known)

    replace(product, "ServerConnection", PlantedConnection)


async def answer(request: Request) -> Response:
    """The digest of what was understood."""
    seen = digest(request.method, request.path, request.query, request.body)
    return Response(200, [(b"x-seen", seen)])


async def serve(port: int) -> None:
    """Serve until told to stop."""
    server = HttpServer(answer, ServerLimits(connections_per_address=10_000))
    await server.open("127.0.0.1", port)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print("ready", flush=True)
    await stopping.wait()
    await server.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        plant(sys.argv[2])
    uvloop.run(serve(int(sys.argv[1])))
