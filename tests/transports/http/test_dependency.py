"""What a caller does about replicas that are gone, break off, refuse or do not fit. Real servers answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from borough.clock import SystemClock
from borough.errors import DeadlineExceeded, InvalidRequest, ServiceFailure, Unavailable
from borough.ports import Replica
from borough.runtime.discovery import Directory
from borough.testing import free_port
from borough.transports.http.contacts import Ask, Incompatible
from borough.transports.http.dependency import Dependencies, Dependency
from borough.transports.http.limits import ClientLimits, DependencyLimits
from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import MakeClient, ServeOn
from tests.transports.http.listening import LEFT_OUT, PATIENCE_S, TEXT, Service

CLOCK = SystemClock()
PROBLEM = ((b"content-type", b"application/problem+json"),)
Origins = list[tuple[str, int]]
Depend = Callable[..., Dependency]


def replica(origin: tuple[str, int]) -> Replica:
    return Replica(f"search-{origin[1]}", *origin)


@pytest.fixture
def depend(make_client: MakeClient) -> Depend:
    """`depend(origins, limits, greet)` makes the calls of `orders` to a `search` at these origins."""

    def made(
        origins: Origins, limits: DependencyLimits | None = None, **more: object
    ) -> Dependency:
        directory = Directory({"search": [replica(origin) for origin in origins]})
        dependencies = Dependencies(directory, make_client, CLOCK, limits, caller="orders", **more)  # type: ignore[arg-type]
        return dependencies.of("search")

    return made


class Counting:
    """Answers in a certain way, and counts what it was asked."""

    def __init__(self, serve: ServeOn, *answers: Response | str) -> None:
        self._serve = serve
        self._answers = list(answers)
        self.asked: list[Request] = []
        self.service: Service

    async def open(self) -> tuple[str, int]:
        self.service = await self._serve(self._answer)
        return self.service.origin

    async def _answer(self, request: Request) -> Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Response):
            return answer
        if answer == "break":
            await self.service.server.close()
        raise AssertionError("cancelled before")


def problem(status: int, code: str, *, retryable: bool) -> Response:
    return Response(status, PROBLEM, msgspec.json.encode({"code": code, "retryable": retryable}))


def soon() -> float:
    return CLOCK.monotonic() + PATIENCE_S


OK = Response(200, TEXT, b"found")
BUSY = problem(503, "unavailable", retryable=True)


class Breaking:
    """Takes requests and closes the connection instead of answering, or after half an answer."""

    def __init__(self, half: bytes = b"") -> None:
        self._half = half
        self.requests: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self._half)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def breaking() -> AsyncIterator[Callable[..., object]]:
    servers: list[asyncio.Server] = []

    async def open_one(half: bytes = b"") -> tuple[Breaking, tuple[str, int]]:
        script, port = Breaking(half), free_port()
        servers.append(await asyncio.start_server(script.talk, "127.0.0.1", port))
        return script, ("127.0.0.1", port)

    yield open_one
    for server in servers:
        server.close()
        await server.wait_closed()


# --- whom it calls ----------------------------------------------------------------------------------


async def test_a_call_goes_to_a_replica_with_the_time_left(serve: ServeOn, depend: Depend) -> None:
    counting = Counting(serve, OK)
    dependency = depend([await counting.open()])
    response = await dependency.exchange(
        "POST", "/find?q=a", [(b"x-a", b"b")], b"{}", deadline=CLOCK.monotonic() + 2
    )
    assert (response.status, response.body) == (200, b"found")
    (asked,) = counting.asked
    assert (asked.path, asked.query, asked.body) == ("/find", "q=a", b"{}")
    assert asked.headers.get("x-a") == "b"
    assert 1000 < int(asked.headers.get("borough-timeout-ms") or "") <= 2000


async def test_a_call_without_a_deadline_says_none(serve: ServeOn, depend: Depend) -> None:
    counting = Counting(serve, OK)
    await depend([await counting.open()]).exchange("GET", "/")
    assert "borough-timeout-ms" not in counting.asked[0].headers


async def test_the_time_left_is_less_with_each_attempt(serve: ServeOn, depend: Depend) -> None:
    counting = Counting(serve, BUSY, BUSY, OK)
    dependency = depend([await counting.open()])
    await dependency.exchange("GET", "/", deadline=CLOCK.monotonic() + 2)
    left = [int(each.headers.get("borough-timeout-ms") or "") for each in counting.asked]
    assert len(left) == 3
    assert left == sorted(left, reverse=True)
    assert left[0] > left[2]


async def test_replicas_share_the_calls(serve: ServeOn, depend: Depend) -> None:
    countings = [Counting(serve, OK) for _ in range(3)]
    dependency = depend([await each.open() for each in countings])
    await asyncio.gather(*(dependency.exchange("GET", "/", deadline=soon()) for _ in range(90)))
    assert min(len(each.asked) for each in countings) > 10


async def test_where_no_replica_is_known_the_call_is_refused_in_one_sentence(
    depend: Depend,
) -> None:
    with pytest.raises(Unavailable, match="No replica of search takes calls now"):
        await depend([]).exchange("GET", "/", deadline=soon())


async def test_what_the_directory_says_counts_for_the_next_call(
    serve: ServeOn, make_client: MakeClient
) -> None:
    before, after = Counting(serve, OK), Counting(serve, OK)
    directory = Directory({"search": [replica(await before.open())]})
    dependency = Dependencies(directory, make_client, CLOCK).of("search")
    await dependency.exchange("GET", "/", deadline=soon())
    directory.update({"search": [replica(await after.open())]})
    await dependency.exchange("GET", "/", deadline=soon())
    assert [len(before.asked), len(after.asked)] == [1, 1]


async def test_a_replica_that_is_gone_costs_no_call_while_another_is_there(
    serve: ServeOn, depend: Depend
) -> None:
    counting = Counting(serve, OK)
    dependency = depend([("127.0.0.1", free_port()), await counting.open()], LEFT_OUT)
    for _ in range(50):
        assert (await dependency.exchange("POST", "/", deadline=soon())).status == 200
    assert dependency.repeats.count <= 2


# --- what is sent again -----------------------------------------------------------------------------


async def test_what_was_refused_before_it_ran_is_sent_again(serve: ServeOn, depend: Depend) -> None:
    counting = Counting(serve, BUSY, OK)
    dependency = depend([await counting.open()])
    response = await dependency.exchange("POST", "/", body=b"{}", deadline=soon())
    assert response.status == 200
    assert [each.body for each in counting.asked] == [b"{}", b"{}"]


@pytest.mark.parametrize(
    "answer",
    [
        problem(503, "unavailable", retryable=False),
        problem(500, "service-failure", retryable=False),
        problem(504, "deadline-exceeded", retryable=False),
        problem(503, "out-of-stock", retryable=True),
        Response(503, TEXT, b"not a document"),
        problem(400, "invalid-request", retryable=False),
    ],
)
async def test_what_may_have_run_or_failed_further_down_comes_back_as_it_is(
    serve: ServeOn, depend: Depend, answer: Response
) -> None:
    counting = Counting(serve, answer, OK)
    dependency = depend([await counting.open()])
    response = await dependency.exchange("GET", "/", deadline=soon(), idempotent=True)
    assert (response.status, response.body) == (answer.status, answer.body)
    assert len(counting.asked) == 1


async def test_a_refusal_comes_back_as_it_is_when_all_attempts_are_used(
    serve: ServeOn, depend: Depend
) -> None:
    counting = Counting(serve, BUSY)
    dependency = depend([await counting.open()])
    response = await dependency.exchange("GET", "/", deadline=soon())
    assert (response.status, response.body) == (503, BUSY.body)
    assert len(counting.asked) == dependency.limits.repeats.attempts


async def test_an_unanswered_request_that_must_not_run_twice_is_never_sent_again(
    breaking: Callable[..., object], depend: Depend
) -> None:
    for half in (b"", b"HTTP/1.1 200 OK\r\ncontent-le"):
        script, origin = await breaking(half)  # type: ignore[misc]
        with pytest.raises(ServiceFailure):
            await depend([origin]).exchange("POST", "/", deadline=soon())
        assert len(script.requests) == 1


async def test_an_unanswered_request_that_may_run_twice_is_sent_to_another_replica(
    serve: ServeOn, breaking: Callable[..., object], depend: Depend
) -> None:
    script, origin = await breaking()  # type: ignore[misc]
    counting = Counting(serve, OK)
    dependency = depend([origin, await counting.open()], LEFT_OUT)
    for _ in range(20):
        response = await dependency.exchange("GET", "/", deadline=soon(), idempotent=True)
        assert response.status == 200
    assert len(counting.asked) == 20
    assert len(script.requests) <= dependency.limits.balance.failures


async def test_a_dead_dependency_gets_at_most_a_fifth_more_than_it_is_asked_for(
    serve: ServeOn, breaking: Callable[..., object], depend: Depend
) -> None:
    script, origin = await breaking()  # type: ignore[misc]
    dependency = depend([origin])

    async def call() -> None:
        with pytest.raises(ServiceFailure):
            await dependency.exchange("GET", "/", deadline=soon(), idempotent=True)

    await asyncio.gather(*(call() for _ in range(200)))
    assert 200 < len(script.requests) <= 1.2 * 200


async def test_a_deadline_that_has_passed_sends_nothing(serve: ServeOn, depend: Depend) -> None:
    counting = Counting(serve, OK)
    dependency = depend([await counting.open()])
    with pytest.raises(DeadlineExceeded, match="No time was left to call search"):
        await dependency.exchange("GET", "/", deadline=CLOCK.monotonic())
    assert counting.asked == []


# --- what is not sent at all ------------------------------------------------------------------------


async def test_a_burst_waits_and_one_more_is_refused(serve: ServeOn, depend: Depend) -> None:
    go = asyncio.Event()

    async def wait(request: Request) -> Response:
        await go.wait()
        return OK

    service = await serve(wait)
    dependency = depend([service.origin], DependencyLimits(calls_in_flight=2, burst_waiting=1))
    go.set()
    burst = [dependency.exchange("GET", "/", deadline=soon()) for _ in range(3)]
    assert [each.status for each in await asyncio.gather(*burst)] == [200] * 3
    go.clear()
    calls = [asyncio.create_task(dependency.exchange("GET", "/")) for _ in range(4)]
    with pytest.raises(Unavailable, match="orders has 2 calls to search in flight"):
        await calls[3]
    go.set()
    assert [(await each).status for each in calls[:3]] == [200] * 3
    assert dependency.bulkhead.in_flight == 0


async def test_most_calls_are_not_sent_to_who_refuses_all(serve: ServeOn, depend: Depend) -> None:
    counting = Counting(serve, BUSY)
    dependency = depend([await counting.open()])
    kinds = Counter[str]()
    for _ in range(300):
        try:
            await dependency.exchange("POST", "/", deadline=soon())
            kinds["refused there"] += 1
        except Unavailable as error:
            kinds[str(error)] += 1
    assert kinds["search has refused most calls lately; this one was not sent"] > 200
    assert len(counting.asked) < 100


# --- cancelling, and streams ------------------------------------------------------------------------


async def test_a_cancelled_call_cancels_the_handler(serve: ServeOn, depend: Depend) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("not reached")

    service = await serve(never)
    dependency = depend([service.origin])
    call = asyncio.create_task(dependency.exchange("GET", "/", deadline=soon()))
    async with asyncio.timeout(PATIENCE_S):
        await started.wait()
        call.cancel()
        await cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert dependency.bulkhead.in_flight == 0


async def lines(count: int, ends: bool = True) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b"%d\n" % number
    if not ends:
        raise RuntimeError("broken on purpose")


async def test_a_stream_that_breaks_after_it_began_is_not_begun_again(
    serve: ServeOn, depend: Depend
) -> None:
    asked = 0

    async def answer(request: Request) -> Response:
        nonlocal asked
        asked += 1
        return Response(200, TEXT, lines(3, ends=False))

    service = await serve(answer)
    dependency = depend([service.origin])
    async with dependency.stream("GET", "/", deadline=soon(), idempotent=True) as stream:
        with pytest.raises(ServiceFailure):
            await stream.read()
    assert asked == 1
    assert dependency.bulkhead.in_flight == 0


async def test_a_stream_that_was_refused_is_asked_for_again(serve: ServeOn, depend: Depend) -> None:
    counting = Counting(serve, BUSY, Response(200, TEXT, lines(3)))
    dependency = depend([await counting.open()])
    async with dependency.stream("GET", "/", deadline=soon()) as stream:
        assert await stream.read() == b"0\n1\n2\n"
    assert len(counting.asked) == 2


async def test_a_refusal_instead_of_a_stream_can_be_read_when_all_attempts_are_used(
    serve: ServeOn, depend: Depend
) -> None:
    counting = Counting(serve, BUSY)
    dependency = depend([await counting.open()])
    async with dependency.stream("GET", "/", deadline=soon()) as stream:
        assert stream.status == 503
        assert await stream.read() == BUSY.body


async def test_who_does_not_read_a_stream_holds_the_handler_back(
    serve: ServeOn, depend: Depend
) -> None:
    made = 0

    async def much() -> AsyncIterator[bytes]:
        nonlocal made
        while made < 10_000:
            made += 1
            yield b"x" * 10_000
            await asyncio.sleep(0)

    async def answer(request: Request) -> Response:
        return Response(200, TEXT, much())

    service = await serve(answer)
    async with depend([service.origin]).stream("GET", "/", deadline=soon()) as stream:
        await anext(stream)
        seen = -1
        async with asyncio.timeout(PATIENCE_S):
            while seen != made:
                seen = made
                await asyncio.sleep(0.1)
        assert made < 2_000


# --- first contact ----------------------------------------------------------------------------------


async def test_replicas_are_greeted_once_before_their_first_call(
    serve: ServeOn, depend: Depend
) -> None:
    countings = [Counting(serve, OK) for _ in range(2)]
    origins = [await each.open() for each in countings]
    greeted: list[bytes] = []

    async def greet(ask: Ask) -> Incompatible:
        greeted.append((await ask("/borough/hello")).body)
        return {}

    dependency = depend(origins, greet=greet)
    await asyncio.gather(*(dependency.exchange("GET", "/", deadline=soon()) for _ in range(40)))
    assert greeted == [b"found", b"found"]
    for counting in countings:
        assert [each.path for each in counting.asked].count("/borough/hello") == 1
        assert counting.asked[0].path == "/borough/hello"


async def test_an_operation_that_a_replica_cannot_answer_goes_to_one_that_can(
    serve: ServeOn, depend: Depend
) -> None:
    old, new = Counting(serve, Response(200, TEXT, b"old")), Counting(serve, OK)
    origins = [await old.open(), await new.open()]

    async def greet(ask: Ask) -> Incompatible:
        is_old = (await ask("/borough/hello")).body == b"old"
        return {"search.find": lambda: InvalidRequest("too old")} if is_old else {}

    dependency = depend(origins, greet=greet)
    for _ in range(20):
        await dependency.exchange("GET", "/", deadline=soon(), operation="search.find")
    assert [len(old.asked) <= 1, len(new.asked)] == [True, 21]
    await asyncio.gather(
        *(dependency.exchange("GET", "/", deadline=soon(), operation="other") for _ in range(40))
    )
    assert len(old.asked) > 5


async def test_an_operation_that_no_replica_can_answer_is_refused_as_the_greeting_says(
    serve: ServeOn, depend: Depend
) -> None:
    countings = [Counting(serve, OK) for _ in range(2)]

    async def greet(ask: Ask) -> Incompatible:
        return {"search.find": lambda: InvalidRequest("2.0 has no field q")}

    dependency = depend([await each.open() for each in countings], greet=greet)
    for _ in range(3):
        with pytest.raises(InvalidRequest, match="no field q"):
            await dependency.exchange("GET", "/", deadline=soon(), operation="search.find")
    assert all(counting.asked == [] for counting in countings)
    assert dependency.bulkhead.in_flight == 0


async def test_a_replica_that_does_not_introduce_itself_gets_no_call(
    serve: ServeOn, breaking: Callable[..., object], depend: Depend
) -> None:
    script, origin = await breaking()  # type: ignore[misc]
    counting = Counting(serve, OK)

    async def greet(ask: Ask) -> Incompatible:
        await ask("/borough/hello")
        return {}

    dependency = depend([origin, await counting.open()], greet=greet)
    for _ in range(20):
        await dependency.exchange("POST", "/", deadline=soon())
    assert all(request.startswith(b"GET /borough/hello") for request in script.requests)


# --- isolation --------------------------------------------------------------------------------------


async def test_dependencies_in_one_process_share_no_connections(
    serve: ServeOn, make_client: MakeClient
) -> None:
    go = asyncio.Event()

    async def answer(request: Request) -> Response:
        await go.wait() if request.path == "/slow" else None
        return OK

    service = await serve(answer)
    itself = [replica(service.origin)]
    dependencies = Dependencies(
        Directory({"search": itself, "orders": itself}),
        lambda: make_client(ClientLimits(connections_per_origin=2)),
        CLOCK,
    )
    slow = [asyncio.create_task(dependencies.of("search").exchange("GET", "/slow")) for _ in "abcd"]
    await asyncio.sleep(0)
    assert (await dependencies.of("orders").exchange("GET", "/", deadline=soon())).status == 200
    go.set()
    await asyncio.gather(*slow)
