"""Answers that are read as they come."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from borough.errors import DeadlineExceeded, ServiceFailure
from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import MakeClient, ServeOn
from tests.transports.http.listening import PATIENCE_S, TEXT


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_chunks_come_as_they_are_sent_and_the_connection_is_kept(
    serve: ServeOn, make_client: MakeClient
) -> None:
    ports: set[int] = set()
    heard = asyncio.Event()

    async def dialogue() -> AsyncIterator[bytes]:
        for n in range(3):
            yield b"%d\n" % n
            await heard.wait()
            heard.clear()

    async def answer(request: Request) -> Response:
        ports.add(request.connection.peer[1])
        return Response(200, TEXT, dialogue())

    service, client = await serve(answer), make_client()
    for _ in range(2):
        got: list[bytes] = []
        async with client.stream(service.origin, "GET", "/") as stream:
            assert stream.status == 200
            assert stream.headers.get("content-type") == "text/plain"
            async for chunk in stream:
                got.append(chunk)
                heard.set()
        assert got == [b"0\n", b"1\n", b"2\n"]
    assert len(ports) == 1


async def test_an_answer_that_is_no_stream_can_be_read_whole(
    serve: ServeOn, make_client: MakeClient
) -> None:
    async def answer(request: Request) -> Response:
        return Response(404, TEXT, b"nothing here")

    service = await serve(answer)
    async with make_client().stream(service.origin, "GET", "/") as stream:
        assert (stream.status, await stream.read()) == (404, b"nothing here")


@pytest.mark.parametrize("body", [b"the same", b""])
async def test_an_answer_like_one_before_is_read_in_every_way_and_the_connection_kept(
    serve: ServeOn, make_client: MakeClient, body: bytes
) -> None:
    ports: set[int] = set()

    async def answer(request: Request) -> Response:
        ports.add(request.connection.peer[1])
        return Response(200, TEXT, body)

    service, client = await serve(answer), make_client()
    for _ in range(3):  # the first is parsed, those after it come as they are
        async with client.stream(service.origin, "GET", "/") as stream:
            assert await stream.peek() == body
            assert await stream.read() == body
            assert await stream.read() == b""
        async with client.stream(service.origin, "GET", "/") as stream:
            assert b"".join([chunk async for chunk in stream]) == body
        async with client.stream(service.origin, "GET", "/") as stream:
            assert stream.status == 200  # and is left unread
        assert (await client.send(service.origin, "GET", "/")).body == body
    assert len(ports) == 1


async def test_a_body_above_the_limit_is_refused_though_a_stream_has_brought_it_before(
    serve: ServeOn, make_client: MakeClient
) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, TEXT, b"x" * 100)

    service, client = await serve(answer), make_client(ClientLimits(body_bytes=99))
    for _ in range(2):
        async with client.stream(service.origin, "GET", "/") as stream:
            assert b"".join([chunk async for chunk in stream]) == b"x" * 100
        with pytest.raises(ServiceFailure, match="above 99"):
            await client.send(service.origin, "GET", "/")


async def test_leaving_a_stream_closes_the_generator_of_the_callee(
    serve: ServeOn, make_client: MakeClient
) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, endless())

    service, client = await serve(answer), make_client()
    async with client.stream(service.origin, "GET", "/") as stream:
        async for _ in stream:
            break
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()
    closed.clear()

    async def read() -> None:
        async with client.stream(service.origin, "GET", "/") as stream:
            async for _ in stream:
                begun.set()

    begun = asyncio.Event()
    reading = asyncio.create_task(read())
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
        reading.cancel()
        await closed.wait()


async def test_a_reader_that_waits_holds_the_sender_back(
    serve: ServeOn, make_client: MakeClient
) -> None:
    size, count = 65_536, 1_000
    made, stalled = 0, asyncio.Event()

    def look(before: int) -> None:
        if made == before:
            stalled.set()

    async def much() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(count):
            made += 1
            asyncio.get_running_loop().call_later(0.2, look, made)
            yield b"x" * size

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, much())

    service, client = await serve(answer), make_client()
    async with client.stream(service.origin, "GET", "/") as stream, asyncio.timeout(PATIENCE_S * 4):
        await stalled.wait()
        assert made < count / 2
        assert sum([len(chunk) async for chunk in stream]) == size * count
    assert made == count


async def test_a_stream_whose_reader_is_cancelled_at_any_moment_is_closed(
    serve: ServeOn, make_client: MakeClient
) -> None:
    running = 0
    one_has_ended, has_begun = asyncio.Event(), asyncio.Event()

    async def quiet() -> AsyncIterator[bytes]:
        nonlocal running
        running += 1
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            running -= 1
            one_has_ended.set()

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, quiet())

    service, client = await serve(answer), make_client()

    async def read() -> None:
        async with client.stream(service.origin, "GET", "/") as stream:
            has_begun.set()
            async for _ in stream:
                pass

    turns = 0
    while not has_begun.is_set():
        turns += 1
        reading = asyncio.create_task(read())
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        async with asyncio.timeout(PATIENCE_S):
            while running:
                one_has_ended.clear()
                await one_has_ended.wait()


async def test_a_stream_that_breaks_off_has_failed(
    serve: ServeOn, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise RuntimeError("half-way")

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, broken())

    service = await serve(answer)

    async def read() -> None:
        async with make_client().stream(service.origin, "GET", "/") as stream:
            async for _ in stream:
                pass

    with pytest.raises(ServiceFailure, match="broke off"):
        await read()


async def silent_after(items: int) -> AsyncIterator[bytes]:
    for _ in range(items):
        yield b"x"
    await asyncio.Event().wait()


@pytest.mark.parametrize("items", [0, 1])
async def test_a_stream_has_a_deadline_for_its_first_chunk_and_then_an_idle_limit(
    serve: ServeOn, make_client: MakeClient, items: int
) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, TEXT, silent_after(items))

    service = await serve(answer)
    client = make_client(ClientLimits(stream_idle_s=0.1 if items else 60))

    async def read() -> None:
        deadline = now() + (PATIENCE_S if items else 0.1)
        async with client.stream(service.origin, "GET", "/", deadline=deadline) as stream:
            async for _ in stream:
                pass

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ServiceFailure if items else DeadlineExceeded):
            await read()


async def test_a_deadline_holds_until_the_head_of_a_stream(
    serve: ServeOn, make_client: MakeClient
) -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    service = await serve(never)
    with pytest.raises(DeadlineExceeded):
        async with make_client().stream(service.origin, "GET", "/", deadline=now() + 0.05):
            pass
