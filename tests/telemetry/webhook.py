"""A receiver of webhooks on loopback, which remembers what came and wakes who waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from borough.engines.ports import free_port

__all__ = ["Webhook"]


class Webhook:
    """What it has taken stands in `taken`: the documents, in the order in which they came."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: list[dict[str, Any]] = []
        self._came = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/alerts"

    async def open(self) -> None:
        """Take what comes."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Take nothing any more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def until(self, is_there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first document of that kind, as soon as it is there."""
        while True:
            self._came.clear()
            for each in self.taken:
                if is_there(each):
                    return each
            await self._came.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(
                int(line.partition(":")[2])
                for line in head.split("\r\n")
                if line.startswith("content-length:")
            )
            self.taken.append(json.loads(await reader.readexactly(length)))
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            await writer.drain()
            self._came.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever sent has gone
        finally:
            writer.close()
