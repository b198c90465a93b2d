"""What the server does with requests that come in one turn of the loop: answers go out together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from borough.clock import SystemClock, thread_cpu_s
from borough.reliability.waiting_line import LineTerms
from borough.transports.http.entrance import EntranceLimits, Entrances
from borough.transports.http.message import Request, Response
from borough.transports.http.waited import waited_s
from tests.transports.http.conftest import ServeOn
from tests.transports.http.listening import TEXT, Raw, Service, echo

COUNT = 8
GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def together(service: Service, requests: Sequence[bytes]) -> AsyncIterator[list[Raw]]:
    """Connections whose requests all lie ready before the server can look at any of them."""
    opened = [await service.connect() for _ in requests]
    for raw in opened:  # each connection has been accepted when its first answer is here
        await raw.send(GET % 0)
        await raw.answer()
    for raw, data in zip(opened, requests, strict=True):
        raw.writer.write(data)
    try:
        yield opened
    finally:
        for raw in opened:
            await raw.close()


async def test_each_connection_gets_its_own_answer(serve: ServeOn) -> None:
    service = await serve(echo)
    async with together(service, [GET % number for number in range(COUNT)]) as opened:
        for number, raw in enumerate(opened):
            assert (await raw.answer())[2] == b"GET /%d? " % number
        assert service.server.is_busy


async def test_an_answer_goes_out_before_the_refusal_of_what_follows_it(serve: ServeOn) -> None:
    requests = [GET % number + b"GET x HTTP/1.1\r\nHost: x\r\n\r\n" for number in range(COUNT)]
    async with together(await serve(echo), requests) as opened:
        for number, raw in enumerate(opened):
            assert (await raw.answer())[2] == b"GET /%d? " % number
            assert (await raw.answer())[0] == 400
            assert await raw.rest() == b""


async def test_who_asks_for_the_end_of_the_connection_gets_all_answers_first(
    serve: ServeOn,
) -> None:
    last = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    requests = [GET % number + last for number in range(COUNT)]
    async with together(await serve(echo), requests) as opened:
        for number, raw in enumerate(opened):
            assert (await raw.answer())[2] == b"GET /%d? " % number
            assert (await raw.answer())[2] == b"GET /last? "
            assert await raw.rest() == b""


async def test_a_drain_sends_the_answers_that_wait(serve: ServeOn) -> None:
    draining: list[asyncio.Task[None]] = []

    async def answer(request: Request) -> Response:
        if request.path == f"/{COUNT}":
            draining.append(asyncio.create_task(service.server.drain(0.0)))
        return Response(200, TEXT, request.path.encode())

    service = await serve(answer)
    async with together(service, [GET % number for number in range(1, COUNT + 1)]) as opened:
        for number, raw in enumerate(opened, 1):
            assert (await raw.answer())[2] == b"/%d" % number
            assert await raw.rest() == b""
    await draining[0]


async def test_a_client_that_has_left_harms_nobody(serve: ServeOn) -> None:
    async with together(await serve(echo), [GET % 1] * COUNT) as opened:
        opened[0].writer.transport.abort()
        for raw in opened[1:]:
            assert (await raw.answer())[2] == b"GET /1? "


async def is_late_after(serve: ServeOn, work: Callable[[], Awaitable[None]]) -> bool:
    """Whether what comes after a call that does this work is taken to have waited."""

    async def answer(request: Request) -> Response:
        await work()
        return Response(200, TEXT, b"")

    limits = EntranceLimits(
        most=4,
        least=1,
        line=LineTerms(burst=1, burst_s=0.1, most=0, wait_s=0.1),
        default_timeout_s=2.0,
        longest_timeout_s=3.0,
    )
    service = await serve(answer, entrances=Entrances(["booth"], limits, SystemClock()))
    assert b" 200 " in await service.exchange(
        b"GET /booth/left HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    return service.server.is_late


async def test_a_call_that_computed_for_long_has_let_others_wait(serve: ServeOn) -> None:
    async def compute() -> None:
        until = thread_cpu_s() + 0.2
        while thread_cpu_s() < until:
            pass

    assert await is_late_after(serve, compute)


async def test_a_call_that_waited_for_long_has_let_nobody_wait(serve: ServeOn) -> None:
    async def wait() -> None:
        await SystemClock().sleep(0.05)

    # On a machine that has no time for this process, one of them has.
    assert not all([await is_late_after(serve, wait) for _ in range(5)])


async def test_what_comes_by_a_connection_that_is_gone_has_not_waited() -> None:
    class Gone(asyncio.Transport):
        """Of asyncio's TLS: it has no socket any more."""

    assert waited_s(Gone()) == 0.0
