"""What the edge of a fleet passes back, and what it says where nothing comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough import ANYONE, USER
from borough.gateway.edge import EdgeSettings
from borough.gateway.raw import RawMount
from borough.ports import Replica
from borough.transports.http.message import Request, Response
from tests.gateway.street import Recording, body_of, status_of, street
from tests.transports.http.listening import TEXT


async def test_an_answer_comes_back_as_it_was_given(tmp_path: Path) -> None:
    fields = [
        (b"content-type", b"application/problem+json"),
        (b"retry-after", b"7"),
        (b"etag", b'"1"'),
        (b"set-cookie", b"a=1; Path=/"),
        (b"set-cookie", b"b=2"),
        (b"borough-inner", b"x"),
    ]
    recording = Recording(Response(503, fields, b'{"code":"unavailable"}'))
    async with street(tmp_path, recording.answer) as town:
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b'{"code":"unavailable"}'
    assert head.startswith(b"HTTP/1.1 503 ")
    for line in (b"retry-after: 7", b'etag: "1"', b"set-cookie: a=1; Path=/", b"set-cookie: b=2"):
        assert b"\r\n" + line in head
    assert head.count(b"\r\ndate: ") == head.count(b"\r\ncontent-length: ") == 1
    assert b"borough-" not in head


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_none(tmp_path: Path, status: int) -> None:
    recording = Recording(Response(status, ((b"etag", b'"1"'),)))
    async with street(tmp_path, recording.answer) as town:
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
    assert status_of(answer) == status
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length" not in answer


async def test_head_tells_the_length_and_sends_nothing(tmp_path: Path) -> None:
    async with street(tmp_path, Recording().answer) as town:
        answer = await town.ask(b"HEAD /library/who HTTP/1.1\r\n")
    assert b"content-length: 4\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_stream_comes_chunk_by_chunk(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def ticking() -> AsyncIterator[bytes]:
        yield b"tick"
        await more.wait()
        yield b"tock"

    async def answer(_: Request) -> Response:
        return Response(200, TEXT, ticking())

    async with street(tmp_path, answer) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/titles HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            await client.reader.readuntil(b"tick\r\n")
        more.set()
        assert await client.rest() == b"4\r\ntock\r\n0\r\n\r\n"
        await client.close()


async def test_a_large_answer_of_known_length_is_passed_on_with_its_length(tmp_path: Path) -> None:
    large = b"x" * 300 * 1024
    async with street(tmp_path, Recording(Response(200, TEXT, large)).answer) as town:
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-length: 307200" in head
    assert body == large


async def test_a_stream_of_an_operation_passes_the_edge(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        answer = await town.ask(b"GET /library/titles HTTP/1.1\r\n")
    assert b'{"item":"Emma"}\n' in answer
    assert b'{"end":true}\n' in answer


async def test_a_client_that_reads_slowly_holds_the_service_back(tmp_path: Path) -> None:
    sent = 0
    ended = asyncio.Event()

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        try:
            while True:
                sent += 64 * 1024
                yield b"x" * 64 * 1024
        finally:
            ended.set()

    async def answer(_: Request) -> Response:
        return Response(200, TEXT, flood())

    async with street(tmp_path, answer) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/titles HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.reader.readexactly(100_000)
        before = -1
        async with asyncio.timeout(10):
            while sent != before:
                before = sent
                await asyncio.sleep(0.2)
        assert sent < 32 * 1024 * 1024
        await client.close()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_stream_that_breaks_off_inside_breaks_off_outside(tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"tick"
        raise RuntimeError("the secret reason")

    async def answer(_: Request) -> Response:
        return Response(200, TEXT, breaking())

    async with street(tmp_path, answer) as town:
        whole = await town.ask(b"GET /library/titles HTTP/1.1\r\n")
    assert not whole.endswith(b"0\r\n\r\n")
    assert b"secret" not in whole


async def test_who_leaves_the_edge_leaves_the_service(tmp_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def brooding(_: Request) -> Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with street(tmp_path, brooding) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/who HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await began.wait()
            await client.close()
            await ended.wait()


# --- nobody there ---------------------------------------------------------------------------------


async def test_a_service_without_a_replica_is_unavailable_for_now(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        answer = await town.ask(b"GET /payments/charges HTTP/1.1\r\n")
    assert status_of(answer) == 503
    assert b"\r\nretry-after: 1\r\n" in answer
    assert body_of(answer)["detail"] == "payments cannot take calls now"


async def test_no_address_inside_is_told_outside(tmp_path: Path) -> None:
    async def broken(request: Request) -> Response:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        raise AssertionError

    async with street(tmp_path, broken) as town:
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
        assert status_of(answer) == 500
        assert b"127.0.0.1" not in answer
        await town.inside.server.close()
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
        assert status_of(answer) == 503
        assert b"127.0.0.1" not in answer


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        (b"POST /library/books HTTP/1.1\r\n", 1),
        (b"PUT /library/books HTTP/1.1\r\n", 1),
        (b"GET /library/who HTTP/1.1\r\n", 2),
        (b"HEAD /library/who HTTP/1.1\r\n", 2),
        (b'POST /library/books HTTP/1.1\r\nIdempotency-Key: "k"\r\n', 1),
    ],
)
async def test_only_what_may_run_twice_is_ever_sent_twice(
    tmp_path: Path, asked: bytes, times: int
) -> None:
    came: list[bytes] = []
    is_first = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close at the second without a word."""
        nonlocal is_first
        try:
            while True:
                came.append(await reader.readuntil(b"\r\n\r\n"))
                if len(came) == 2:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    async with street(tmp_path) as town:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        town.directory.update({"library": [Replica("other", host, port)]})
        assert status_of(await town.ask(b"GET /library/who HTTP/1.1\r\n")) == 200
        answer = await town.ask(asked)
        assert status_of(answer) == (200 if times == 2 else 500)
        assert len(came) == 1 + times
        server.close()


async def test_the_rate_limit_and_other_origins_are_the_edge_s(tmp_path: Path) -> None:
    recording = Recording()
    settings = EdgeSettings(rate="2/m", origins=("https://shop.example",))
    async with street(tmp_path, recording.answer, settings=settings) as town:
        origin = b"Origin: https://shop.example\r\n"
        answer = await town.ask(
            b"OPTIONS /library/who HTTP/1.1\r\n%bAccess-Control-Request-Method: GET\r\n"
            b"Access-Control-Request-Headers: X-Tenant\r\n" % origin
        )
        assert status_of(answer) == 204
        assert b"access-control-allow-headers: x-tenant\r\n" in answer
        answers = [await town.ask(b"GET /library/who HTTP/1.1\r\n" + origin) for _ in range(3)]
    assert [status_of(each) for each in answers] == [200, 200, 429]
    assert all(b"access-control-allow-origin: https://shop.example" in each for each in answers)
    assert len(recording.asked) == 2


# --- raw applications -----------------------------------------------------------------------------


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """An application that says what it was given."""
    body = (await receive())["body"].decode()
    user = scope["state"]["principal"]
    names = sorted(name.decode() for name, _ in scope["headers"])
    host = dict(scope["headers"])[b"host"].decode()
    said = [scope["path"], body, user and user.subject, host, scope["client"][0], names]
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": msgspec.json.encode(said)})


async def test_a_raw_application_sees_the_request_as_the_client_sent_it(tmp_path: Path) -> None:
    raws = [RawMount("library", "/library/raw", USER, telling)]
    async with street(tmp_path, raws=raws) as town:
        token = (await town.issuer.issue("anna")).encode()
        answer = await town.edge.exchange(
            b"POST /library/raw/a%%20b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: 2\r\nX-Forwarded-For: 192.0.2.9\r\n"
            b"\r\nhi" % token
        )
        assert status_of(answer) == 201
        *said, names = body_of(answer)
        assert said == ["/library/raw/a b", "hi", "anna", "shop.example", "127.0.0.1"]
        assert not [name for name in names if name.startswith("borough-s")]
        assert "x-forwarded-for" in names
        assert status_of(await town.ask(b"GET /library/raw HTTP/1.1\r\n")) == 401


async def test_a_raw_application_is_told_who_is_behind_a_proxy_before_the_edge(
    tmp_path: Path,
) -> None:
    async def asked(scope: Any, _receive: Any, send: Any) -> None:
        sent = dict(scope["headers"])[b"x-forwarded-for"].decode()
        said = [*scope["client"], scope["scheme"], sent]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": msgspec.json.encode(said)})

    raws = [RawMount("library", "/library/raw", ANYONE, asked)]
    believed = EdgeSettings(proxies=("127.0.0.0/8",))
    async with street(tmp_path, raws=raws, settings=believed) as town:
        answer = await town.ask(
            b"GET /library/raw HTTP/1.1\r\nX-Forwarded-For: 203.0.113.1, 192.0.2.9, 127.0.0.2\r\n"
            b"X-Forwarded-Proto: https\r\n"
        )
    assert body_of(answer) == ["192.0.2.9", 0, "https", "203.0.113.1, 192.0.2.9, 127.0.0.2"]


async def test_a_raw_application_streams_through_the_edge_and_ends_with_its_client(
    tmp_path: Path,
) -> None:
    left = asyncio.Event()

    async def ticking(_: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
                await asyncio.sleep(0)
        finally:
            left.set()

    raws = [RawMount("library", "/library/raw", ANYONE, ticking)]
    async with street(tmp_path, raws=raws) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/raw HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await client.reader.readuntil(b"tick")
            await client.close()
            await left.wait()
