"""A replica that hangs is left out, also where the timer of who calls is first to say that time is up."""

import asyncio
from contextlib import suppress

import pytest

from borough.clock import SystemClock
from borough.errors import CallError
from borough.ports import Replica
from borough.runtime.discovery import Directory
from borough.services.context import CURRENT, Call
from borough.transports.http.dependency import Dependencies, RequestKind
from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import MakeClient, ServeOn
from tests.transports.http.listening import LEFT_OUT, PATIENCE_S, TEXT

OK = Response(200, TEXT, b"found")


class AheadClock(SystemClock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@pytest.mark.parametrize(
    ("passed_s", "given_s", "own_s", "answering"),
    [
        (60.0, 50.0, None, {"quick"}),
        (0.0, 50.0, None, {"quick", "hung"}),
        (60.0, 0.9, None, {"quick", "hung"}),
        (60.0, 0.9, 0.9, {"quick"}),
        (60.0, 0.4, 0.9, {"quick", "hung"}),
    ],
)
async def test_who_gives_up_when_time_is_over_has_had_no_answer(
    serve: ServeOn,
    make_client: MakeClient,
    passed_s: float,
    given_s: float,
    own_s: float | None,
    answering: set[str],
) -> None:
    hangs, came = True, asyncio.Event()
    answered: set[str] = set()

    async def hung(_: Request) -> Response:
        if hangs:
            came.set()
            await asyncio.Event().wait()
        answered.add("hung")
        return OK

    async def quick(_: Request) -> Response:
        answered.add("quick")
        return OK

    clock = AheadClock()
    replicas = [Replica(str(each), *(await serve(each)).origin) for each in (hung, quick)]
    dependency = Dependencies(Directory({"search": replicas}), make_client, clock, LEFT_OUT).of(
        "search"
    )
    within = Call("front.Front.place", "front", None, None, float("inf"), None, keeps_to_s=own_s)
    token = CURRENT.set(within)
    given_up = 0
    while given_up < LEFT_OUT.balance.failures:
        kind = RequestKind("GET", "/", idempotent=True, operation="")
        asking = asyncio.create_task(dependency.send(kind, b"", b"", clock.monotonic() + given_s))
        hears = asyncio.create_task(came.wait())
        await asyncio.wait((asking, hears), return_when=asyncio.FIRST_COMPLETED)
        hears.cancel()
        if came.is_set():
            came.clear()
            clock.ahead_s += passed_s
            asking.cancel()
            given_up += 1
        with suppress(asyncio.CancelledError, CallError):
            await asking
        clock.ahead_s = 0.0
    CURRENT.reset(token)
    hangs = False
    answered.clear()
    kind = RequestKind("GET", "/", idempotent=True, operation="")
    until = clock.monotonic() + PATIENCE_S * 4
    await asyncio.gather(*(dependency.send(kind, b"", b"", until) for _ in range(40)))
    assert answered == answering
