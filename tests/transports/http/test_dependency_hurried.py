"""Who has too little time for an answer learns nothing of who does not answer. Real servers answer."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest

from borough.clock import SystemClock
from borough.errors import CallError, DeadlineExceeded
from borough.ports import Replica
from borough.reliability.repeats import RepeatTerms
from borough.reliability.throttle import ThrottleTerms
from borough.runtime.discovery import Directory
from borough.transports.http.dependency import Dependencies, Dependency
from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import MakeClient, ServeOn
from tests.transports.http.listening import LEFT_OUT, PATIENCE_S, TEXT

CLOCK = SystemClock()
OK = Response(200, TEXT, b"found")
BUSY = Response(
    503,
    ((b"content-type", b"application/problem+json"),),
    msgspec.json.encode({"code": "unavailable", "retryable": True}),
)
HURRIED_S, NOT_ENOUGH_S = 0.1, 0.9


def reached(
    make_client: MakeClient, origins: Sequence[tuple[str, int]], enough_s: float
) -> Dependency:
    """The calls to a `search` at these origins; those with less time than that say nothing of it."""
    replicas = [Replica(f"search-{origin[1]}", *origin) for origin in origins]
    limits = msgspec.structs.replace(
        LEFT_OUT,
        enough_s=enough_s,
        throttle=ThrottleTerms(window_s=60.0, spare=0),
        repeats=RepeatTerms(attempts=1),
    )
    return Dependencies(Directory({"search": replicas}), make_client, CLOCK, limits).of("search")


async def ask(dependency: Dependency, time_s: float) -> int:
    answer = await dependency.exchange("GET", "/", deadline=CLOCK.monotonic() + time_s)
    return answer.status


@pytest.mark.parametrize(("enough_s", "answering"), [(1.0, {"slow", "quick"}), (0.01, {"quick"})])
async def test_a_slow_replica_is_left_out_only_for_calls_that_had_time_enough(
    serve: ServeOn, make_client: MakeClient, enough_s: float, answering: set[str]
) -> None:
    is_slow, unanswered = True, 0
    answered: set[str] = set()

    async def slow(_: Request) -> Response:
        nonlocal unanswered
        if is_slow:
            unanswered += 1
            await asyncio.Event().wait()
        answered.add("slow")
        return OK

    async def quick(_: Request) -> Response:
        answered.add("quick")
        return OK

    origins = [(await serve(answer)).origin for answer in (slow, quick)]
    dependency = reached(make_client, origins, enough_s)
    while unanswered < LEFT_OUT.balance.failures:
        with suppress(DeadlineExceeded):
            await ask(dependency, HURRIED_S)
    is_slow = False
    answered.clear()
    await asyncio.gather(*(ask(dependency, PATIENCE_S) for _ in range(40)))
    assert answered == answering


@pytest.mark.parametrize(("enough_s", "is_held_back"), [(1.0, False), (0.01, True)])
async def test_refusals_of_calls_without_time_hold_no_other_call_back(
    serve: ServeOn, make_client: MakeClient, enough_s: float, *, is_held_back: bool
) -> None:
    asked = 0

    async def busy(_: Request) -> Response:
        nonlocal asked
        asked += 1
        return BUSY

    dependency = reached(make_client, [(await serve(busy)).origin], enough_s)
    for _ in range(60):
        with suppress(CallError):
            await ask(dependency, NOT_ENOUGH_S)
    assert (asked < 60) is is_held_back
