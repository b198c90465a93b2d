"""A server under test, and raw sockets to talk to it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from borough.reliability.backoff import Backoff
from borough.reliability.balance import BalanceTerms
from borough.testing import free_port
from borough.transports.http.limits import DependencyLimits, ServerLimits
from borough.transports.http.message import Request, Response
from borough.transports.http.server import HttpServer

Answer = Callable[[Request], Awaitable[Response]]

TEXT = ((b"content-type", b"text/plain"),)
PATIENCE_S = 5.0
LEFT_OUT = DependencyLimits(balance=BalanceTerms(out=Backoff(60.0, 60.0)))
"""A replica that fails is not tried again within a test."""


class Raw:
    """A client that sends whatever bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of one answer that has a length."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = await self.reader.readexactly(length)
        return int(head.split(b" ")[1]), head, body

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Service:
    """A server that is open, and where."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.origin = ("127.0.0.1", server.port)

    @classmethod
    async def open(cls, answer: Answer, port: int | None = None, **limits: Any) -> "Service":
        ssl = limits.pop("ssl", None)
        proxies = limits.pop("proxies", ())
        entrances = limits.pop("entrances", None)
        server = HttpServer(answer, ServerLimits(**limits), proxies=proxies, entrances=entrances)
        await server.open("127.0.0.1", free_port() if port is None else port, ssl)
        return cls(server)

    async def connect(self) -> Raw:
        return Raw(*await asyncio.open_connection(*self.origin))

    async def exchange(self, data: bytes) -> bytes:
        """Send `data` on a new connection and read until the server closes it."""
        raw = await self.connect()
        try:
            await raw.send(data)
            return await raw.rest()
        finally:
            await raw.close()


async def echo(request: Request) -> Response:
    """Say what was understood."""
    said = f"{request.method} {request.path}?{request.query} {request.body.decode('latin-1')}"
    return Response(200, TEXT, said.encode("latin-1"))
