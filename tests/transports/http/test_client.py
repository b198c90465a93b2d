"""Calls by the real client to the real server."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from borough.errors import DeadlineExceeded, InvalidRequest, ServiceFailure, Unavailable
from borough.testing import free_port
from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import MakeClient, ServeOn
from tests.transports.http.listening import PATIENCE_S, TEXT, echo


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_call_gets_status_headers_and_body(serve: ServeOn, make_client: MakeClient) -> None:
    async def answer(request: Request) -> Response:
        text = f"{request.method} {request.path} {request.headers.get('x-a')}".encode()
        cookies = [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2, c")]
        return Response(201, [*TEXT, *cookies], text + request.body)

    service = await serve(answer)
    response = await make_client().send(
        service.origin, "PUT", "/a?b=c", [(b"X-A", b"seen")], b" body"
    )
    assert response.status == 201
    assert response.body == b"PUT /a seen body"
    assert response.headers.get("content-type") == "text/plain"
    cookies = [value for name, value in response.headers.items() if name == "set-cookie"]
    assert cookies == ["a=1", "b=2, c"]
    assert response.headers.get("set-cookie") == "a=1"


async def test_the_host_field_names_the_origin(serve: ServeOn, make_client: MakeClient) -> None:
    async def host(request: Request) -> Response:
        return Response(200, TEXT, (request.headers.get("host") or "").encode())

    service = await serve(host)
    response = await make_client().send(service.origin, "GET", "/")
    assert response.body == b"127.0.0.1:%d" % service.server.port


async def test_calls_one_after_another_use_one_connection(
    serve: ServeOn, make_client: MakeClient
) -> None:
    ports: Counter[int] = Counter()

    async def count(request: Request) -> Response:
        ports[request.connection.peer[1]] += 1
        return Response(204 if request.path == "/empty" else 200, (), b"")

    service, client = await serve(count), make_client()
    for method, target in [("GET", "/"), ("HEAD", "/"), ("DELETE", "/empty"), ("POST", "/")] * 3:
        await client.send(service.origin, method, target)
    assert list(ports.values()) == [12]


async def test_a_call_in_a_threads_own_loop_is_refused_and_spoils_no_other(
    serve: ServeOn, make_client: MakeClient
) -> None:
    service, client = await serve(echo), make_client()

    def call() -> None:
        asyncio.run(client.send(service.origin, "GET", "/"))

    for _ in range(2):  # before there is a connection, and where one is kept
        with pytest.raises(RuntimeError, match="in another event loop than its service's"):
            await asyncio.to_thread(call)
        assert (await client.send(service.origin, "GET", "/")).status == 200
    assert service.server.requests == 2


async def test_calls_at_the_same_time_use_bounded_connections_in_turn(
    serve: ServeOn, make_client: MakeClient
) -> None:
    ports: Counter[int] = Counter()
    order: list[str] = []

    async def count(request: Request) -> Response:
        ports[request.connection.peer[1]] += 1
        order.append(request.path)
        await asyncio.sleep(0)
        return Response(200, TEXT, request.path.encode())

    service = await serve(count)
    client = make_client(ClientLimits(connections_per_origin=1))
    answers = await asyncio.gather(
        *(client.send(service.origin, "GET", f"/{n}") for n in range(20))
    )
    assert [answer.body for answer in answers] == [b"/%d" % n for n in range(20)]
    assert order == [f"/{n}" for n in range(20)]
    assert len(ports) == 1

    wide = make_client(ClientLimits(connections_per_origin=4))
    ports.clear()
    await asyncio.gather(*(wide.send(service.origin, "GET", "/") for _ in range(40)))
    assert len(ports) == 4


async def test_more_waiting_calls_than_allowed_are_unavailable(
    serve: ServeOn, make_client: MakeClient
) -> None:
    go = asyncio.Event()

    async def wait(request: Request) -> Response:
        await go.wait()
        return Response(200, TEXT)

    service = await serve(wait)
    client = make_client(ClientLimits(connections_per_origin=1, waiters_per_origin=1))
    calls = [asyncio.create_task(client.send(service.origin, "GET", "/")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="Too many calls wait"):
        await client.send(service.origin, "GET", "/")
    go.set()
    assert [answer.status for answer in await asyncio.gather(*calls)] == [200, 200]


async def test_a_deadline_ends_a_call_and_cancels_the_handler(
    serve: ServeOn, make_client: MakeClient
) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("not reached")

    service, client = await serve(never), make_client()
    left_s = 0.1
    while not begun.is_set():  # a machine that is busy for as long lets nothing begin
        started = now()
        with pytest.raises(DeadlineExceeded):
            await client.send(service.origin, "GET", "/", deadline=started + left_s)
        assert left_s - 0.01 < now() - started < left_s + 3.0
        left_s *= 3
    async with asyncio.timeout(PATIENCE_S):
        await cancelled.wait()


async def test_a_call_without_time_left_is_not_started(
    serve: ServeOn, make_client: MakeClient
) -> None:
    service = await serve(echo)
    with pytest.raises(DeadlineExceeded, match="No time was left"):
        await make_client().send(service.origin, "GET", "/", deadline=now())


async def test_a_deadline_holds_while_waiting_for_a_connection(
    serve: ServeOn, make_client: MakeClient
) -> None:
    go = asyncio.Event()

    async def wait(request: Request) -> Response:
        await go.wait()
        return Response(200, TEXT)

    service = await serve(wait)
    client = make_client(ClientLimits(connections_per_origin=1))
    first = asyncio.create_task(client.send(service.origin, "GET", "/"))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded, match="came free"):
        await client.send(service.origin, "GET", "/", deadline=now() + 0.05)
    go.set()
    assert (await first).status == 200
    assert (await client.send(service.origin, "GET", "/")).status == 200


async def test_deadlines_of_many_calls_are_each_kept(
    serve: ServeOn, make_client: MakeClient
) -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    service, client, start = await serve(never), make_client(), now()
    ended: dict[int, float] = {}

    async def call(tenths: int) -> None:
        with pytest.raises(DeadlineExceeded):
            await client.send(service.origin, "GET", "/", deadline=start + tenths / 10)
        ended[tenths] = now() - start

    await asyncio.gather(*(call(tenths) for tenths in (3, 1, 2, 4)))
    assert sorted(ended) == [1, 2, 3, 4]
    late_s = 3.0  # on a busy machine
    assert all(tenths / 10 - 0.01 < after < tenths / 10 + late_s for tenths, after in ended.items())


async def test_a_cancelled_call_closes_its_connection_and_no_other(
    serve: ServeOn, make_client: MakeClient
) -> None:
    started, cancelled, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        if request.path == "/other":
            await go.wait()
            return Response(200, TEXT, b"other")
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("not reached")

    service, client = await serve(answer), make_client()
    other = asyncio.create_task(client.send(service.origin, "GET", "/other"))
    call = asyncio.create_task(client.send(service.origin, "GET", "/"))
    async with asyncio.timeout(PATIENCE_S):
        await started.wait()
        call.cancel()
        await cancelled.wait()
    go.set()
    assert (await other).body == b"other"
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_calls_cancelled_at_any_moment_leave_the_pool_sound(
    serve: ServeOn, make_client: MakeClient
) -> None:
    service = await serve(echo)
    client = make_client(ClientLimits(connections_per_origin=2))

    async def call(number: int) -> bytes:
        return (await client.send(service.origin, "GET", f"/{number}")).body

    for turns in range(40):
        calls = [asyncio.create_task(call(number)) for number in range(6)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for cancelled in calls[::2]:
            cancelled.cancel()
        async with asyncio.timeout(PATIENCE_S):
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[1::2] == [b"GET /%d? " % number for number in (1, 3, 5)]
        for number in (0, 2, 4):
            result = results[number]
            assert result == b"GET /%d? " % number or isinstance(result, asyncio.CancelledError)


async def test_nobody_listening_is_unavailable(make_client: MakeClient) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await make_client().send(("127.0.0.1", free_port()), "GET", "/")


async def test_calls_go_on_when_the_server_has_come_back(
    serve: ServeOn, make_client: MakeClient
) -> None:
    service, client = await serve(echo), make_client()
    await client.send(service.origin, "GET", "/")
    await service.server.drain(1)
    with pytest.raises(Unavailable):
        await client.send(service.origin, "GET", "/", idempotent=True)
    await serve(echo, service.server.port)
    assert (await client.send(service.origin, "GET", "/")).status == 200


async def test_no_call_is_lost_while_a_server_drains(
    serve: ServeOn, make_client: MakeClient
) -> None:
    answered, refused = 0, 0
    running = asyncio.Event()

    async def slowly(request: Request) -> Response:
        await asyncio.sleep(0.001)
        return Response(200, TEXT)

    service, client = await serve(slowly), make_client()

    async def call_on() -> None:
        nonlocal answered, refused
        while not refused:
            try:
                await client.send(service.origin, "POST", "/")
                answered += 1
                if answered == 50:
                    running.set()
            except Unavailable:
                refused += 1

    callers = [asyncio.create_task(call_on()) for _ in range(8)]
    await running.wait()
    await service.server.drain(PATIENCE_S)
    await asyncio.gather(*callers)  # anything but an honest refusal would be raised here
    assert refused >= 1


async def test_first_headers_go_with_the_first_request_of_a_connection_only(
    serve: ServeOn, make_client: MakeClient
) -> None:
    seen: list[str | None] = []

    async def look(request: Request) -> Response:
        seen.append(request.headers.get("proof"))
        return Response(200, TEXT)

    service = await serve(look)
    client = make_client(first_headers=[(b"proof", b"secret")])
    for _ in range(3):
        await client.send(service.origin, "GET", "/")
    assert seen == ["secret", None, None]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", ()),
        ("/a\r\nHost: y", ()),
        ("/\xe4", ()),
        ("/", ((b"a", b"b\r\nc: d"),)),
        ("/", ((b"a", b"b\n"),)),
        ("/", ((b"a\0", b"b"),)),
    ],
)
async def test_a_request_that_would_break_the_framing_is_not_sent(
    serve: ServeOn,
    make_client: MakeClient,
    target: str,
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    service = await serve(echo)
    with pytest.raises(InvalidRequest):
        await make_client().send(service.origin, "GET", target, headers)


async def test_a_large_answer_is_whole_and_one_above_the_limit_fails(
    serve: ServeOn, make_client: MakeClient
) -> None:
    async def large(request: Request) -> Response:
        if request.path == "/stream":
            return Response(200, TEXT, chunks(20, 100_000))
        return Response(200, TEXT, b"x" * int(request.path[1:]))

    service = await serve(large)
    client = make_client(ClientLimits(body_bytes=1_000_000))
    response = await client.send(service.origin, "GET", "/1000000")
    assert len(response.body) == 1_000_000
    for target in ("/1000001", "/stream"):
        with pytest.raises(ServiceFailure, match="body is above 1000000"):
            await client.send(service.origin, "GET", target)


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_closed_client_refuses_calls_and_ends_those_that_run(
    serve: ServeOn, make_client: MakeClient
) -> None:
    started = asyncio.Event()

    async def never(request: Request) -> Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    service = await serve(never)
    client = make_client(ClientLimits(connections_per_origin=1))
    running = asyncio.create_task(client.send(service.origin, "GET", "/"))
    waiting = asyncio.create_task(client.send(service.origin, "GET", "/"))
    await started.wait()
    await client.close()
    await client.close()
    with pytest.raises(ServiceFailure):
        await running
    for call in (waiting, client.send(service.origin, "GET", "/")):
        with pytest.raises(Unavailable, match="closed"):
            await call


async def test_a_client_is_closed_for_everybody_who_closes_it_at_once(
    serve: ServeOn, make_client: MakeClient
) -> None:
    service, client = await serve(echo), make_client()
    await client.send(service.origin, "GET", "/")
    closing = [asyncio.create_task(client.close()) for _ in range(3)]
    await asyncio.sleep(0)
    closing[0].cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*closing[1:])
    await asyncio.wait(closing)
