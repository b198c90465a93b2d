"""A body that is sent in pieces, and whose length is known, is sent with its length and without chunks."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import ServeOn
from tests.transports.http.listening import PATIENCE_S


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"tick"
    if count < 2:
        raise RuntimeError("there are two")


async def whole(request: Request) -> Response:
    return Response(200, (), pieces(2), 8)


async def broken(request: Request) -> Response:
    return Response(200, (), pieces(1), 8)


async def test_its_length_is_told_and_the_connection_stays_open(serve: ServeOn) -> None:
    raw = await (await serve(whole)).connect()
    for _ in range(2):
        await raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        status, head, body = await raw.answer()
        assert (status, body) == (200, b"ticktick")
        assert b"\r\ncontent-length: 8\r\n" in head
        assert b"transfer-encoding" not in head
    await raw.close()


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"ticktick"),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b""),
    ],
)
async def test_it_is_told_to_an_old_client_and_to_head(
    serve: ServeOn, asked: bytes, body: bytes
) -> None:
    raw = await (await serve(whole)).connect()
    await raw.send(asked)
    head, _, rest = (await raw.rest()).partition(b"\r\n\r\n")
    assert b"\r\ncontent-length: 8\r\n" in head
    assert rest == body
    await raw.close()


async def test_one_that_fails_on_its_way_is_cut_off_before_its_length(serve: ServeOn) -> None:
    raw = await (await serve(broken)).connect()
    await raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        assert b"\r\ncontent-length: 8\r\n" in await raw.reader.readuntil(b"\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await raw.reader.readexactly(8)
    await raw.close()
