"""How the server notices that a client has left, where reading would not tell."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from borough.transports.http.holding import Holding, Slow
from borough.transports.http.leaving import ask_the_silent
from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import ServeOn
from tests.transports.http.listening import PATIENCE_S, TEXT

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


class Noticing(Holding):
    """Tells when something is held."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.holds = asyncio.Event()

    def hold(self, slow: Slow, size: int) -> None:
        super().hold(slow, size)
        self.holds.set()


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_client_that_leaves_with_much_sent_ahead_ends_the_stream_that_it_asked_for(
    serve: ServeOn, breaks: bool
) -> None:
    ended = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        try:
            yield b"begun"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, silent())

    service = await serve(answer, head_bytes=1000, sweep_s=0.02)
    service.server.holding = noticing = Noticing(1_000_000)
    raw = await service.connect()
    await raw.send(GET)
    async with asyncio.timeout(PATIENCE_S):
        await raw.reader.readuntil(b"begun\r\n")
        await raw.send(GET * 100)
        await noticing.holds.wait()  # so much that it reads no more
        assert not ended.is_set()
        if breaks:
            raw.writer.transport.abort()
        else:
            await raw.close()
        await ended.wait()


async def test_what_came_in_one_read_with_a_request_that_takes_long_is_counted_as_held(
    serve: ServeOn,
) -> None:
    may_answer = asyncio.Event()

    async def answer(request: Request) -> Response:
        await may_answer.wait()
        return Response(200, TEXT, b"well")

    service = await serve(answer, head_bytes=1000, sweep_s=0.02)
    service.server.holding = noticing = Noticing(1_000_000)
    raw = await service.connect()
    await raw.send(GET * 100)
    async with asyncio.timeout(PATIENCE_S):
        await noticing.holds.wait()
        assert noticing.total == len(GET) * 99
        may_answer.set()
        assert {(await raw.answer())[0] for _ in range(100)} == {200}
    assert noticing.total == 0
    await raw.close()


def test_who_falls_silent_is_asked_whether_anybody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ask_the_silent(listener)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
