"""What the server does with requests that are in order."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import cast

import pytest

from borough.errors import ConfigurationError
from borough.testing import free_port
from borough.transports.http.message import Request, Response
from borough.transports.http.server import HttpServer
from tests.stores.bodies import Stepped, outcome
from tests.transports.http.conftest import ServeOn
from tests.transports.http.listening import PATIENCE_S, TEXT, echo

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_request_is_answered_and_the_connection_stays_open(serve: ServeOn) -> None:
    raw = await (await serve(echo)).connect()
    for name in (b"a", b"b"):
        await raw.send(b"GET /%b?q=%%20 HTTP/1.1\r\nHost: x\r\n\r\n" % name)
        status, head, body = await raw.answer()
        assert (status, body) == (200, b"GET /%b?q=%%20 " % name)
        assert b"connection: close" not in head
    await raw.close()


async def test_an_answer_says_when_it_was_given(serve: ServeOn) -> None:
    raw = await (await serve(echo)).connect()
    await raw.send(GET)
    _, head, _ = await raw.answer()
    date = next(line for line in head.split(b"\r\n") if line.startswith(b"date: "))
    assert date.endswith(b" GMT")
    assert len(date) == len(b"date: Sun, 06 Nov 1994 08:49:37 GMT")
    await raw.close()


async def test_header_fields_are_found_in_any_case_and_repeated_ones_are_joined(
    serve: ServeOn,
) -> None:
    seen: list[Request] = []

    async def look(request: Request) -> Response:
        seen.append(request)
        return Response(204, ())

    raw = await (await serve(look)).connect()
    await raw.send(
        b"GET / HTTP/1.1\r\nHOST: x \t\r\nX-One: a\r\nx-one: b\r\nCookie: c=1\r\nCookie: d=2\r\n\r\n"
    )
    status, head, _ = await raw.answer()
    assert status == 204
    assert b"content-length" not in head
    headers = seen[0].headers
    assert headers.get("Host") == headers.get("host") == "x"
    assert headers.get("x-one") == "a, b"
    assert headers.get("cookie") == "c=1; d=2"
    assert headers.get("missing") is None
    assert "X-ONE" in headers
    assert dict(headers.items()) == {"host": "x", "x-one": "a, b", "cookie": "c=1; d=2"}
    await raw.close()


@pytest.mark.parametrize("status", [204, 304])
async def test_nothing_comes_after_the_head_of_an_answer_without_a_body_even_if_it_is_a_stream(
    serve: ServeOn, status: int
) -> None:
    is_closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    class Stream:
        """Closed in any case, which a generator that was never begun does not tell."""

        def __aiter__(self) -> AsyncIterator[bytes]:
            return chunks()

        async def aclose(self) -> None:
            is_closed.set()

    async def answer(request: Request) -> Response:
        if request.path == "/a":
            return Response(status, (), cast("AsyncIterator[bytes]", Stream()))
        return await echo(request)

    raw = await (await serve(answer)).connect()
    await raw.send(GET + GET.replace(b"/a", b"/b"))
    assert b"transfer-encoding" not in (await raw.answer())[1]
    assert (await raw.answer())[2] == b"GET /b? "
    assert is_closed.is_set()
    await raw.close()


async def test_a_request_may_come_byte_by_byte(serve: ServeOn) -> None:
    raw = await (await serve(echo)).connect()
    for byte in b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello":
        await raw.send(bytes([byte]))
    assert (await raw.answer())[2] == b"POST /a? hello"
    await raw.close()


async def test_requests_sent_ahead_are_answered_in_turn(serve: ServeOn) -> None:
    running = most = 0

    async def count(request: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return Response(200, TEXT, request.path.encode())

    raw = await (await serve(count)).connect()
    await raw.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(2000)))
    for n in range(2000):
        assert (await raw.answer())[2] == b"/%d" % n
    assert most == 1
    await raw.close()


async def test_bodies_sent_ahead_are_kept_apart(serve: ServeOn) -> None:
    raw = await (await serve(echo)).connect()
    plain = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    chunked = (
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"1;x=y\r\nd\r\n2\r\nef\r\n0\r\nTrailer: t\r\n\r\n"
    )
    await raw.send(b"\r\n" + plain + chunked + plain + GET)
    bodies = [(await raw.answer())[2] for _ in range(4)]
    assert bodies == [b"POST /p? abc", b"POST /c? def", b"POST /p? abc", b"GET /a? "]
    await raw.close()


async def test_a_chunked_body_may_be_cut_anywhere(serve: ServeOn) -> None:
    service = await serve(echo)
    head = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n"
    raw = await service.connect()
    for cut in range(len(body) + 1):
        await raw.send(head + body[:cut])
        await asyncio.sleep(0)
        await raw.send(body[cut:])
        assert (await raw.answer())[2] == b"POST /c? abc0123456789"
    await raw.close()


async def test_head_is_a_get_without_the_body(serve: ServeOn) -> None:
    raw = await (await serve(echo)).connect()
    await raw.send(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        head = await raw.reader.readuntil(b"\r\n\r\n")
    assert b"content-length: 8\r\n" in head
    await raw.send(GET)
    assert (await raw.answer())[2] == b"GET /a? "
    await raw.close()


async def test_a_client_that_expects_a_go_ahead_gets_it(serve: ServeOn) -> None:
    raw = await (await serve(echo)).connect()
    await raw.send(
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await raw.send(b"hi")
    assert (await raw.answer())[2] == b"POST /a? hi"
    await raw.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n",
        b"GET /a HTTP/1.0\r\n\r\n",
    ],
)
async def test_a_client_that_asks_for_the_end_gets_it(serve: ServeOn, request_bytes: bytes) -> None:
    answer = await (await serve(echo)).exchange(request_bytes)
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nGET /a? ")


@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        b"Upgrade: h2c\r\n",
    ],
)
async def test_an_offer_of_another_protocol_is_answered_in_this_one_and_nothing_after_it_is_read(
    serve: ServeOn, offer: bytes
) -> None:
    asked: list[tuple[str, bytes]] = []

    async def record(request: Request) -> Response:
        asked.append((request.path, request.body))
        return Response(200, TEXT, b"here")

    service = await serve(record)
    # A proxy that believes in a tunnel sends on what it has not read.
    behind = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    for line, sent in ((b"GET /got", b"\r\n"), (b"POST /sent", b"Content-Length: 4\r\n\r\nbody")):
        answer = await service.exchange(line + b" HTTP/1.1\r\nHost: x\r\n" + offer + sent + behind)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\nhere")
    assert asked == [("/got", b""), ("/sent", b"body")]


async def test_an_absolute_target_is_read_as_its_path(serve: ServeOn) -> None:
    raw = await (await serve(echo)).connect()
    for target, path in [(b"http://x/a/b?c", b"/a/b?c"), (b"HTTP://X", b"/?")]:
        await raw.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        assert (await raw.answer())[2] == b"GET %b " % path
    await raw.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await raw.answer())[2] == b"OPTIONS *? "
    await raw.close()


async def test_one_connection_object_serves_all_requests_of_a_connection(serve: ServeOn) -> None:
    async def remember(request: Request) -> Response:
        known = request.connection.caller
        request.connection.caller = "orders"
        return Response(200, TEXT, f"{known} {request.connection.peer[0]}".encode())

    service = await serve(remember)
    raw = await service.connect()
    for expected in (b"None 127.0.0.1", b"orders 127.0.0.1"):
        await raw.send(GET)
        assert (await raw.answer())[2] == expected
    other = await service.connect()
    await other.send(GET)
    assert (await other.answer())[2] == b"None 127.0.0.1"
    await raw.close()
    await other.close()


async def test_a_failing_handler_is_logged_and_tells_the_client_nothing(
    serve: ServeOn, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> Response:
        raise RuntimeError("the secret")

    async def wait_for_something_cancelled(request: Request) -> Response:
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost
        raise AssertionError("not reached")

    for answer in (fail, wait_for_something_cancelled):
        raw = await (await serve(answer)).connect()
        with caplog.at_level(logging.ERROR, "borough.http"):
            await raw.send(GET)
            status, head, body = await raw.answer()
        assert status == 500
        assert b"application/problem+json" in head
        assert b'"code":"service-failure"' in body
        assert b"secret" not in body
        assert b"Traceback" not in body
        await raw.close()
    assert "the secret" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        ((b"x-a", b"b\r\nx-c: d"),),
        [(b"x-a", b"b\nx")],
        ((b"Content-Length", b"3"),),
        [(b"transfer-encoding", b"chunked")],
    ],
)
async def test_an_answer_that_would_break_the_framing_is_not_sent(
    serve: ServeOn, headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, headers, b"abc")

    raw = await (await serve(answer)).connect()
    await raw.send(GET)
    assert (await raw.answer())[0] == 500
    await raw.close()


async def test_a_client_that_leaves_cancels_the_handler(serve: ServeOn) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError("not reached")

    raw = await (await serve(wait)).connect()
    await raw.send(GET)
    async with asyncio.timeout(PATIENCE_S):
        await started.wait()
        await raw.close()
        await cancelled.wait()


async def test_a_timeout_works_from_the_first_line_of_a_handler(serve: ServeOn) -> None:
    async def answer(request: Request) -> Response:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return Response(200, TEXT, b"timed out")
        raise AssertionError("not reached")

    raw = await (await serve(answer)).connect()
    await raw.send(GET)
    assert (await raw.answer())[2] == b"timed out"
    await raw.close()


async def test_a_port_in_use_is_told_with_the_remedy(serve: ServeOn) -> None:
    port = free_port()
    await serve(echo, port)
    second = HttpServer(echo)
    with pytest.raises(ConfigurationError, match=rf"Port {port} .* in use.* choose another port"):
        await second.open("127.0.0.1", port)
    await second.close()


async def test_an_address_that_is_not_ours_is_told_in_one_sentence() -> None:
    server = HttpServer(echo)
    with pytest.raises(ConfigurationError, match=r"Cannot listen on 192\.0\.2\.1"):
        await server.open("192.0.2.1", free_port())


async def test_draining_finishes_what_runs_and_closes_what_is_idle(serve: ServeOn) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        started.set()
        await go.wait()
        return Response(200, TEXT, b"done")

    service = await serve(wait)
    idle, busy = await service.connect(), await service.connect()
    await busy.send(GET)
    await started.wait()
    draining = asyncio.create_task(service.server.drain(PATIENCE_S))
    assert await idle.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await service.connect()
    assert not draining.done()
    go.set()
    _, head, body = await busy.answer()
    assert body == b"done"
    assert b"connection: close\r\n" in head
    await draining
    await idle.close()
    await busy.close()


async def test_draining_cancels_what_does_not_end_in_time(serve: ServeOn) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("not reached")

    service = await serve(never)
    raw = await service.connect()
    await raw.send(GET)
    await started.wait()
    await service.server.drain(0.05)
    assert cancelled.is_set()
    with pytest.raises(ConnectionError):
        await service.connect()
    await raw.close()


async def test_a_port_can_be_had_again_after_closing(serve: ServeOn) -> None:
    service = await serve(echo)
    raw = await service.connect()
    await raw.send(GET)
    await raw.answer()
    await service.server.close()
    await service.server.close()
    await serve(echo, service.server.port)
    await raw.close()


async def numbers(count: int) -> AsyncIterator[bytes]:
    for n in range(count):
        yield b"%d\n" % n
        await asyncio.sleep(0)


async def test_a_stream_is_sent_in_chunks_and_the_connection_stays_open(serve: ServeOn) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, TEXT, numbers(3))

    raw = await (await serve(answer)).connect()
    for _ in range(2):
        await raw.send(GET)
        async with asyncio.timeout(PATIENCE_S):
            head = await raw.reader.readuntil(b"\r\n\r\n")
            body = await raw.reader.readuntil(b"0\r\n\r\n")
        assert b"transfer-encoding: chunked\r\n" in head
        assert b"content-length" not in head
        assert body == b"2\r\n0\n\r\n2\r\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n"
    await raw.close()


async def test_a_stream_to_an_old_client_ends_with_the_connection(serve: ServeOn) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, TEXT, numbers(3))

    got = await (await serve(answer)).exchange(b"GET / HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in got
    assert got.endswith(b"\r\n\r\n0\n1\n2\n")


async def test_a_stream_that_fails_is_cut_off_without_its_end(
    serve: ServeOn, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise RuntimeError("half-way")

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, broken())

    raw = await (await serve(answer)).connect()
    await raw.send(GET)
    with contextlib.suppress(ConnectionError):
        assert not (await raw.rest()).endswith(b"0\r\n\r\n")
    assert "half-way" in caplog.text
    await raw.close()


async def test_a_stream_waits_for_a_slow_reader_and_is_closed_when_it_leaves(
    serve: ServeOn,
) -> None:
    made, closed = 0, asyncio.Event()
    stalled = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        try:
            while True:
                made += 1
                asyncio.get_running_loop().call_later(0.2, check, made)
                yield b"x" * 65536
        finally:
            closed.set()

    def check(before: int) -> None:
        if before == made:
            stalled.set()

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, endless())

    raw = await (await serve(answer)).connect()
    await raw.send(GET)
    async with asyncio.timeout(PATIENCE_S):
        await stalled.wait()
        assert made < 400  # what kernel and transport hold, not more
        await raw.close()
        await closed.wait()


async def test_a_server_whose_opening_is_cancelled_at_any_moment_listens_no_more() -> None:
    port, step, is_reached = free_port(), 0, True
    while is_reached:
        step += 1
        server = HttpServer(echo)
        opening = Stepped(server.open("127.0.0.1", port), step, early=True)
        result = await asyncio.create_task(outcome(opening))
        is_reached = opening.reached >= step
        if is_reached:
            assert isinstance(result, asyncio.CancelledError)
            with pytest.raises(OSError, match="onnect"):
                await asyncio.open_connection("127.0.0.1", port)
        await server.close()
