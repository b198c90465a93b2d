"""A line to a server that can be cut around a COMMIT: before the server has it, or before its answer is back."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

Cut = Literal["before", "after"]
COMMIT = b"commit\x00"


class Line:
    """What is sent goes to the server until `cut` says otherwise; then the next COMMIT ends the connection."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut: Cut | None = None
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """What happens to the server before its end of the line is let go."""
        self.is_open = True
        self.url = ""

    def reach(self, port: int) -> None:
        """It is listened to at this port."""
        user = self._to.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._to._replace(netloc=f"{user}@127.0.0.1:{port}"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.is_open:
            writer.close()
            return
        theirs, to_server = await asyncio.open_connection(self._to.hostname, self._to.port)
        back = asyncio.create_task(_copy(theirs, writer))
        try:
            with suppress(OSError):
                await self._forward(reader, (theirs, to_server), back)
        finally:
            back.cancel()
            writer.close()
            to_server.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        back: asyncio.Task[None],
    ) -> None:
        theirs, to_server = server
        while data := await reader.read(65536):
            if self.cut is not None and COMMIT in data:
                after, self.cut = self.cut == "after", None
                back.cancel()
                await asyncio.wait([back])
                if after:
                    to_server.write(data)
                    await to_server.drain()
                    await theirs.read(1)  # the server answers; nobody hears it
                if self.meanwhile is not None:
                    await self.meanwhile()
                return
            to_server.write(data)
            await to_server.drain()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def line_to(url: str) -> AsyncGenerator[Line]:
    """A line to the server of a URL."""
    line = Line(url)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.reach(server.sockets[0].getsockname()[1])
    try:
        yield line
    finally:
        server.close()
        await line.close()
