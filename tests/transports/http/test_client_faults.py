"""What the client makes of servers that break off, answer nonsense or say too much."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from borough.errors import ServiceFailure, Unavailable
from borough.testing import free_port
from borough.transports.http.limits import ClientLimits
from tests.transports.http.conftest import MakeClient
from tests.transports.http.listening import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Origin = tuple[str, int]


class Script:
    """A server that answers by a list: per connection, an answer per request, then it closes."""

    def __init__(self, connections: list[list[bytes]]) -> None:
        self.connections = connections
        self.requests: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = self.connections.pop(0) if self.connections else []
        try:
            for answer in answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
                await writer.drain()
            if not answers or answers[-1] == OK:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


Play = Callable[[Script], Awaitable[Origin]]


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    """`await play(script)` opens its server."""
    servers: list[asyncio.Server] = []

    async def open_one(script: Script) -> Origin:
        port = free_port()
        servers.append(await asyncio.start_server(script.talk, "127.0.0.1", port))
        return ("127.0.0.1", port)

    yield open_one
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_kept_connection_that_was_closed_is_tried_anew_if_twice_is_as_good_as_once(
    play: Play, make_client: MakeClient
) -> None:
    script = Script([[OK], [OK]])
    origin, client = await play(script), make_client()
    for _ in range(2):
        response = await client.send(origin, "POST", "/", idempotent=True)
        assert response.body == b"ok"
    assert len(script.requests) == 3  # the second was swallowed and sent again


async def test_a_request_that_may_have_run_is_not_sent_again(
    play: Play, make_client: MakeClient
) -> None:
    script = Script([[OK], [OK]])
    origin, client = await play(script), make_client()
    await client.send(origin, "POST", "/")
    with pytest.raises(ServiceFailure, match="may have run") as failure:
        await client.send(origin, "POST", "/")
    assert not failure.value.retryable
    assert len(script.requests) == 2


async def test_a_fresh_connection_that_is_closed_unanswered_is_not_tried_anew(
    play: Play, make_client: MakeClient
) -> None:
    script = Script([[]])
    origin = await play(script)
    with pytest.raises(ServiceFailure, match="may have run"):
        await make_client().send(origin, "POST", "/", idempotent=True)
    assert len(script.requests) == 1


async def test_an_idle_connection_that_the_server_closes_is_forgotten(
    play: Play, make_client: MakeClient
) -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    script = Script([[closing], [OK]])
    origin, client = await play(script), make_client()
    for _ in range(2):
        assert (await client.send(origin, "POST", "/")).body == b"ok"
    assert len(script.requests) == 2


BROKEN = {
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
    "cut chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "switched protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_the_failure_of_the_service(
    play: Play, make_client: MakeClient, answer: bytes
) -> None:
    origin = await play(Script([[answer]]))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ServiceFailure, match=r"127\.0\.0\.1:\d+"):
            await make_client().send(origin, "GET", "/")


async def test_interim_answers_are_passed_over(play: Play, make_client: MakeClient) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    origin = await play(Script([[interim + OK]]))
    response = await make_client().send(origin, "POST", "/")
    assert (response.status, response.body) == (200, b"ok")
    assert "link" not in response.headers


async def test_an_answer_may_end_with_its_connection(play: Play, make_client: MakeClient) -> None:
    ending = b"HTTP/1.0 200 OK\r\nA: b \r\n\r\nall of it"
    script = Script([[ending], [ending]])
    origin, client = await play(script), make_client()
    response = await client.send(origin, "GET", "/")
    assert (response.body, response.headers.get("a")) == (b"all of it", "b")
    async with client.stream(origin, "GET", "/") as stream:
        assert await stream.read() == b"all of it"


@pytest.mark.parametrize("excess", [OK, b"x", b"HTTP/1.1 200 OK\r\n"])
async def test_an_answer_that_nobody_asked_for_reaches_nobody(
    play: Play, make_client: MakeClient, excess: bytes
) -> None:
    second = OK.replace(b"ok", b"me")
    script = Script([[OK + excess], [second]])
    origin, client = await play(script), make_client()
    assert (await client.send(origin, "GET", "/")).body == b"ok"
    assert (await client.send(origin, "GET", "/")).body == b"me"


async def test_an_answer_to_head_has_no_body(play: Play, make_client: MakeClient) -> None:
    script = Script([[b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", OK]])
    origin, client = await play(script), make_client()
    response = await client.send(origin, "HEAD", "/")
    assert (response.headers.get("content-length"), response.body) == ("500", b"")
    assert (await client.send(origin, "GET", "/")).body == b"ok"


async def test_trailers_do_not_become_headers(play: Play, make_client: MakeClient) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n"
    response = await make_client().send(await play(Script([[chunked]])), "GET", "/")
    assert response.body == b"ok"
    assert "a" not in response.headers


async def test_a_server_that_does_not_accept_in_time_is_unavailable(
    make_client: MakeClient,
) -> None:
    client = make_client(ClientLimits(connect_s=0.05))
    with pytest.raises(Unavailable, match="cannot be reached"):
        await client.send(("192.0.2.1", 9), "GET", "/")


async def test_an_answer_in_tiny_chunks_takes_little_more_than_its_size(
    play: Play, make_client: MakeClient
) -> None:
    size = 1024 * 1024
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = head + b"2\r\nab\r\n" * (size // 2) + b"0\r\n\r\n"
    origin, client = await play(Script([[answer, answer]])), make_client()
    tracemalloc.start()
    try:
        response = await client.send(origin, "GET", "/")
        assert len(response.body) == size
        async with client.stream(origin, "GET", "/") as stream:
            assert len(await stream.read()) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * size
