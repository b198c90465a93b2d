"""What a client may not ask of a server: sizes, counts and times."""

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator

import pytest

from borough.gateway.internal import inside_limits
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import Request, Response
from borough.transports.http.server import HttpServer
from borough.transports.http.server_connection import ServerConnection
from tests.transports.http.conftest import ServeOn
from tests.transports.http.listening import PATIENCE_S, TEXT, Raw, Service, echo

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


async def test_a_body_announced_above_the_limit_is_refused_before_it_is_sent(
    serve: ServeOn,
) -> None:
    service = await serve(echo, body_bytes=10)
    expecting = POST + b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    answer = await service.exchange(expecting)
    assert status_of(answer) == 413
    assert b"100 Continue" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too-large"


async def test_a_body_at_the_limit_is_taken(serve: ServeOn) -> None:
    raw = await (await serve(echo, body_bytes=10)).connect()
    await raw.send(POST + b"Content-Length: 10\r\n\r\n0123456789")
    assert (await raw.answer())[0] == 200
    await raw.send(CHUNKED + b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n")
    assert (await raw.answer())[0] == 200
    await raw.close()


async def test_a_chunked_body_is_counted(serve: ServeOn) -> None:
    service = await serve(echo, body_bytes=10)
    answer = await service.exchange(CHUNKED + b"5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n")
    assert status_of(answer) == 413


async def test_a_client_that_sends_on_after_a_refusal_still_reads_it(serve: ServeOn) -> None:
    raw = await (await serve(echo, body_bytes=10)).connect()
    await raw.send(POST + b"Content-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)
    assert status_of(await raw.rest()) == 413
    await raw.close()


async def test_a_long_target_is_refused(serve: ServeOn) -> None:
    service = await serve(echo)
    assert status_of(await service.exchange(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n")) == 414
    assert status_of(await service.exchange(b"GET /" + b"a" * 9000)) == 414
    fits = b"GET /" + b"a" * 8000 + b" HTTP/1.0\r\n\r\n"
    assert status_of(await service.exchange(fits)) == 200


async def test_a_long_head_is_refused(serve: ServeOn) -> None:
    service = await serve(echo)
    head = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 17000
    assert status_of(await service.exchange(head + b"\r\n\r\n")) == 431
    assert status_of(await service.exchange(head)) == 431


async def test_more_fields_than_allowed_are_refused(serve: ServeOn) -> None:
    service = await serve(echo, fields=5)
    for count, status in ((5, 200), (6, 431)):
        fields = b"".join(b"A%d: b\r\n" % n for n in range(count))
        assert status_of(await service.exchange(b"GET / HTTP/1.0\r\n" + fields + b"\r\n")) == status


async def test_a_head_that_drips_is_refused_in_time(serve: ServeOn) -> None:
    raw = await (await serve(echo, header_s=0.2, sweep_s=0.02)).connect()

    async def drip() -> None:
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1000:
            await raw.send(bytes([byte]))
            await asyncio.sleep(0.01)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(PATIENCE_S):
        answer = await raw.reader.readuntil(b"\r\n\r\n")
    assert status_of(answer) == 408
    dripping.cancel()
    await asyncio.wait([dripping])
    await raw.close()


@pytest.mark.parametrize("head", [POST + b"Content-Length: 90000\r\n\r\n", CHUNKED + b"ffff\r\n"])
async def test_a_body_that_stands_still_is_refused_in_time(serve: ServeOn, head: bytes) -> None:
    service = await serve(echo, body_idle_s=0.2, sweep_s=0.02)
    assert status_of(await service.exchange(head + b"x")) == 408


async def test_a_body_that_trickles_below_the_rate_is_refused(serve: ServeOn) -> None:
    service = await serve(echo, body_idle_s=0.2, body_bytes_per_s=10_000, sweep_s=0.02)
    raw = await service.connect()
    await raw.send(POST + b"Content-Length: 90000\r\n\r\n")

    async def trickle() -> None:
        while True:
            await raw.send(b"x")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    async with asyncio.timeout(PATIENCE_S):
        assert status_of(await raw.reader.readuntil(b"\r\n\r\n")) == 408
    trickling.cancel()
    await asyncio.wait([trickling])
    await raw.close()


async def test_an_idle_connection_is_closed_without_a_word(serve: ServeOn) -> None:
    raw = await (await serve(echo, keep_alive_s=0.2, sweep_s=0.02)).connect()
    await raw.send(GET)
    await raw.answer()
    assert await raw.rest() == b""
    await raw.close()


async def test_a_client_that_does_not_read_its_answers_is_dropped(serve: ServeOn) -> None:
    answered = 0

    async def large(request: Request) -> Response:
        nonlocal answered
        answered += 1
        return Response(200, TEXT, b"x" * 1_000_000)

    raw = await (await serve(large, write_idle_s=0.2, sweep_s=0.02)).connect()
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def ask_on() -> None:
        while True:
            await raw.send(GET * 100)
            await asyncio.sleep(0.01)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ConnectionError):
            await ask_on()
    assert answered < 50  # requests sent ahead wait until answers are read
    await raw.close()


async def until_closed(raw: Raw) -> None:
    """Wait until the server has given the connection up."""
    raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    with contextlib.suppress(ConnectionError):
        await raw.rest()


async def test_a_client_that_says_nothing_at_all_is_sent_away(serve: ServeOn) -> None:
    raw = await (await serve(echo, header_s=0.1, sweep_s=0.02)).connect()
    assert await raw.rest() == b""
    await raw.close()


async def test_an_answer_that_is_read_too_slowly_is_broken_off(serve: ServeOn) -> None:
    async def large(request: Request) -> Response:
        return Response(200, TEXT, b"x" * 30_000_000)

    limits = {"write_idle_s": 0.2, "write_bytes_per_s": 100_000_000, "sweep_s": 0.02}
    raw = await (await serve(large, **limits)).connect()
    await raw.send(GET)
    got = 0
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while chunk := await raw.reader.read(10_000):
                got += len(chunk)
                await asyncio.sleep(0.005)
    assert 0 < got < 30_000_000
    await raw.close()


class Unread(asyncio.Transport):
    """A transport whose peer has left so much unread."""

    is_aborted = False
    unread = 0
    written = b""

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.is_aborted = True


async def test_the_time_of_the_first_head_counts_from_the_accept() -> None:
    server = HttpServer(echo, ServerLimits(header_s=5))
    connection, transport = ServerConnection(server), Unread()
    connection.connection_made(transport)
    server.now = 4.0
    connection.data_received(b"GET")
    connection.check(4.9)
    assert transport.written == b""
    connection.check(5.1)
    assert transport.written.startswith(b"HTTP/1.1 408 ")


async def test_a_slow_handler_is_not_an_idle_connection(serve: ServeOn) -> None:
    go = asyncio.Event()

    async def slow(request: Request) -> Response:
        await go.wait()
        return Response(200, TEXT, b"late")

    server = (await serve(slow, keep_alive_s=5, header_s=5, body_idle_s=5)).server
    connection, transport = ServerConnection(server), Unread()
    connection.connection_made(transport)
    connection.data_received(GET)
    try:
        begun = server.monotonic()
        for second in range(100):
            connection.check(begun + second)
            await asyncio.sleep(0)
        assert transport.written == b""
        assert not transport.is_aborted
        go.set()
        async with asyncio.timeout(PATIENCE_S):
            while not transport.written:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        assert transport.written.startswith(b"HTTP/1.1 200 ")
        assert transport.written.endswith(b"late")
    finally:  # closing the server waits for it
        connection.connection_lost(None)


async def test_a_closed_connection_waits_for_its_reader_only_so_long() -> None:
    server = HttpServer(echo, ServerLimits(write_idle_s=30))
    connection, transport = ServerConnection(server), Unread()
    connection.connection_made(transport)
    connection.close()
    connection.check(30)
    assert not transport.is_aborted
    connection.check(31)
    assert transport.is_aborted


async def test_a_large_answer_may_take_its_time_while_it_is_read() -> None:
    server = HttpServer(echo, ServerLimits(write_idle_s=30, write_bytes_per_s=1000))
    connection, transport = ServerConnection(server), Unread()
    connection.connection_made(transport)
    transport.unread = 1_000_000
    connection.pause_writing()
    for minute in range(1, 16):
        transport.unread = 1_000_000 - minute * 60_001
        connection.check(minute * 60)
        assert not transport.is_aborted
    connection.check(16 * 60)  # and in this minute nothing
    assert transport.is_aborted


async def test_a_service_may_take_its_time_for_the_stream_of_another_one() -> None:
    server = HttpServer(echo, inside_limits(1_000_000, 1_000_000))
    connection, transport = ServerConnection(server), Unread()
    connection.connection_made(transport)
    transport.unread = 64 * 1024
    connection._drained = asyncio.get_running_loop().create_future()  # as a stream is
    connection.pause_writing()
    connection.check(30 * 60)  # it has enough to do with what it has read
    assert not transport.is_aborted
    connection.check(2 * 60 * 60)
    assert transport.is_aborted


async def test_what_is_held_for_slow_clients_is_bounded_and_the_slowest_go_first(
    serve: ServeOn,
) -> None:
    service = await serve(echo, held_bytes=250_000)
    head = POST + b"Content-Length: 120000\r\n\r\n"
    slow = [await service.connect() for _ in range(3)]
    for count, raw in enumerate(slow[:2], 1):
        await raw.send(head + b"x" * 100_000)
        async with asyncio.timeout(PATIENCE_S):
            while service.server.holding.total < count * 100_000:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
    await slow[2].send(head + b"x" * 100_000)
    await until_closed(slow[0])
    assert service.server.holding.total <= 250_000
    for raw in slow[1:]:
        await raw.send(b"x" * 20_000)
        assert (await raw.answer())[0] == 200
        await raw.close()
    assert service.server.holding.total == 0
    await slow[0].close()


async def test_who_sends_ahead_of_an_unread_answer_is_held_for_with_both(serve: ServeOn) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(16_000_000)

    async def answer(_request: Request) -> Response:
        return Response(200, TEXT, endless())

    service = await serve(answer)
    raw = await service.connect()
    await raw.send(GET)
    holding = service.server.holding
    async with asyncio.timeout(PATIENCE_S):
        while holding.total < 1_000_000:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        unread = holding.total
        await raw.send(b"x" * 100_000)
        while holding.total == unread:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    assert holding.total > unread
    await raw.close()


async def test_chunks_that_are_nearly_all_framing_are_refused(serve: ServeOn) -> None:
    service = await serve(echo, framing_bytes=600)
    for count, status in ((99, 200), (130, 413)):
        body = b"1\r\na\r\n" * count + b"0\r\n\r\n"
        raw = await service.connect()
        await raw.send(CHUNKED + body)
        assert (await raw.answer())[0] == status
        await raw.close()


async def refusal_of(service: Service) -> bytes:
    """What a new connection is told at once."""
    raw = await service.connect()
    answer = await raw.rest()
    await raw.close()
    return answer


async def until_taken(service: Service) -> None:
    """Connect until there is room: the server needs a moment to see that another has left."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            raw = await service.connect()
            await raw.send(GET)
            status, _, _ = await raw.answer()
            await raw.close()
            if status == 200:
                return


async def test_one_address_may_not_take_all_connections(serve: ServeOn) -> None:
    service = await serve(echo, connections_per_address=2)
    raws = [await service.connect() for _ in range(2)]
    for raw in raws:
        await raw.send(GET)
        assert (await raw.answer())[0] == 200
    refused = await refusal_of(service)
    assert status_of(refused) == 429
    assert b"retry-after: 1\r\n" in refused
    await raws[0].close()
    await until_taken(service)
    await raws[1].close()


async def test_an_address_that_takes_too_many_connections_is_told_once_as_what_may_be_a_proxy(
    serve: ServeOn, caplog: pytest.LogCaptureFixture
) -> None:
    service = await serve(echo, connections_per_address=1)
    first = await service.connect()
    await first.send(GET)
    await first.answer()
    for _ in range(2):
        assert status_of(await refusal_of(service)) == 429
    (told,) = [each.getMessage() for each in caplog.records if "edge.proxies" in each.getMessage()]
    assert told.startswith("127.0.0.1 has 1 connections open")
    await first.close()


async def test_connections_beyond_the_limit_are_told_to_come_back(serve: ServeOn) -> None:
    service = await serve(echo, connections=1)
    first = await service.connect()
    await first.send(GET)
    await first.answer()
    refused = await refusal_of(service)
    assert status_of(refused) == 503
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["code"] == "unavailable"
    await first.send(GET)
    assert (await first.answer())[0] == 200
    await first.close()


async def test_refused_connections_do_not_use_up_the_limit(serve: ServeOn) -> None:
    service = await serve(echo, connections=1)
    first = await service.connect()
    await first.send(GET)
    await first.answer()
    refused = [await service.connect() for _ in range(300)]
    await first.close()
    await until_taken(service)
    for raw in refused:
        await raw.close()


async def test_connections_of_a_trusted_proxy_are_not_counted_by_address(serve: ServeOn) -> None:
    service = await serve(echo, connections_per_address=2, proxies=["127.0.0.0/8"])
    raws = [await service.connect() for _ in range(5)]
    for raw in raws:
        await raw.send(GET)
        assert (await raw.answer())[0] == 200
        await raw.close()


async def test_connections_leave_files_to_the_rest_of_the_process(serve: ServeOn) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        service = await serve(echo)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    raws = [await service.connect() for _ in range(129)]
    assert status_of(await raws[-1].rest()) == 503
    for raw in raws:
        await raw.close()
