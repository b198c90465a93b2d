"""The same messages inside TLS, with a certificate made for the test."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from borough.errors import Unavailable
from borough.transports.http.message import Request, Response
from tests.transports.http.certificates import self_signed
from tests.transports.http.conftest import MakeClient, ServeOn
from tests.transports.http.listening import PATIENCE_S, TEXT, echo


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    return self_signed(tmp_path)


@pytest.fixture
def inside(certificate: Path) -> ssl.SSLContext:
    """The server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_calls_and_streams_work_inside_tls(
    serve: ServeOn, make_client: MakeClient, certificate: Path, inside: ssl.SSLContext
) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def answer(request: Request) -> Response:
        if request.path == "/stream":
            return Response(200, TEXT, endless())
        return await echo(request)

    service = await serve(answer, ssl=inside)
    client = make_client(ssl=lambda: ssl.create_default_context(cafile=str(certificate)))
    for body in (b"", b"x" * 100_000):
        response = await client.send(service.origin, "POST", "/a", (), body)
        assert response.body == b"POST /a? " + body
    async with client.stream(service.origin, "GET", "/stream") as stream:
        async for _ in stream:
            break
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()


async def test_a_refusal_is_read_inside_tls(
    serve: ServeOn, make_client: MakeClient, certificate: Path, inside: ssl.SSLContext
) -> None:
    service = await serve(echo, ssl=inside, body_bytes=10)
    client = make_client(ssl=lambda: ssl.create_default_context(cafile=str(certificate)))
    assert (await client.send(service.origin, "POST", "/", (), b"x" * 11)).status == 413


async def test_a_server_that_cannot_prove_its_name_is_not_called(
    serve: ServeOn, make_client: MakeClient, inside: ssl.SSLContext
) -> None:
    reached: list[Request] = []

    async def record(request: Request) -> Response:
        reached.append(request)
        return Response(200, TEXT)

    service = await serve(record, ssl=inside)
    client = make_client(ssl=ssl.create_default_context)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await client.send(service.origin, "GET", "/")
    assert not reached


async def test_of_handshakes_that_never_end_the_oldest_of_who_has_most_give_way(
    serve: ServeOn, certificate: Path, inside: ssl.SSLContext
) -> None:
    service = await serve(echo, ssl=inside, connections=1)
    host, port = service.origin
    other = await begun(host, port, "127.0.0.2")
    crowd = [await begun(host, port, "127.0.0.1") for _ in range(80)]
    async with asyncio.timeout(PATIENCE_S):
        for reader, _ in crowd[:17]:  # 64 are left, and one of them is the other's
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
    reader, writer = other
    await writer.start_tls(
        ssl.create_default_context(cafile=str(certificate)), server_hostname=host
    )
    writer.write(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    for _, each in [other, *crowd]:
        each.close()


async def begun(
    host: str, port: int, own: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose client has not begun its handshake."""
    return await asyncio.open_connection(host, port, local_addr=(own, 0))
