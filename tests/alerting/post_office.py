"""A small SMTP server that keeps what it is sent, for as long as a test lasts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage


class PostOffice:
    """Speaks as much of SMTP as a client needs who has nothing to hide."""

    def __init__(self) -> None:
        self.mails: asyncio.Queue[tuple[str, EmailMessage]] = asyncio.Queue()
        """To whom, and what."""
        self.port = 0
        self.greeting = b"220 post.example\r\n"
        """What it says first; nothing stays silent for ever."""
        self.trickles = False
        """Whether it greets without end."""
        self.goodbye = b"221 bye\r\n"
        """What answers QUIT; nothing hangs on without an answer."""
        self.came = asyncio.Event()
        self.hung_up = asyncio.Event()
        """A client has left."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came.set()
        try:
            await self._speak(reader, writer)
        except ConnectionError:
            pass  # the client left in the midst of it
        finally:
            self.hung_up.set()
            writer.close()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.greeting:
            await reader.read()
        writer.write(self.greeting)
        while self.trickles and not writer.is_closing():
            writer.write(b"220-x\r\n")
            await asyncio.sleep(0.01)
        to = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                to = line.decode().partition("<")[2].partition(">")[0]
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(content[:-5], policy=policy.default)
                assert isinstance(mail, EmailMessage)
                self.mails.put_nowait((to, mail))
            writer.write(self.goodbye if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT" and self.goodbye:
                break


@asynccontextmanager
async def post_office() -> AsyncIterator[PostOffice]:
    """One that listens."""
    found = PostOffice()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
        if found.came.is_set():
            async with asyncio.timeout(10):
                await found.hung_up.wait()
    finally:
        server.close()
        await server.wait_closed()
