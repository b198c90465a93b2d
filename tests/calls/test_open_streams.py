"""A stream is a call until its first item; then it goes on beside calls, and takes none's place."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol, cast

import pytest

from borough import ANYONE, contract, get
from borough.clock import SystemClock
from borough.contracts.reading import read_contract
from borough.errors import DeadlineExceeded, ServiceFailure, Unavailable
from borough.ports import Replica
from borough.reliability.admission import Gate
from borough.runtime.discovery import Directory
from borough.runtime.options import LimitOptions
from borough.services.context import Call
from borough.transports.callee import Callee
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies
from borough.transports.http.door import Door, Identity, Route
from borough.transports.http.message import Connection, Headers, Request
from borough.transports.http.remote import RemoteTransport
from tests.transports.http.listening import Service as Listening

CLOCK = SystemClock()


@contract("news", version="1.0")
class News(Protocol):
    @get("/ticks", allow=ANYONE)
    def ticks(self) -> AsyncIterator[int]: ...

    @get("/one", allow=ANYONE)
    async def one(self) -> int: ...


OPERATIONS = read_contract(News).operations


async def ticks() -> AsyncIterator[int]:
    for number in range(1000):
        yield number


async def one() -> int:
    return 1


class Desk:
    """Room for one call and two streams."""

    def __init__(self) -> None:
        self.gate = Gate(1, 2)
        self._ticks = Callee(OPERATIONS["ticks"], ticks, self.gate, CLOCK.monotonic)
        self._one = Callee(OPERATIONS["one"], one, self.gate, CLOCK.monotonic)

    def call(self, name: str) -> Call:
        return Call(OPERATIONS[name].wire_name, "news", None, None, CLOCK.monotonic() + 30, None)

    async def one(self) -> object:
        return await self._one.run((), self.call("one"))

    async def begun(self) -> AsyncGenerator[int]:
        """A stream that has sent its first item."""
        stream = cast("AsyncGenerator[int]", self._ticks.stream((), self.call("ticks")))
        assert await anext(stream) == 0
        return stream


async def test_a_service_answers_calls_beside_streams_that_are_open() -> None:
    desk = Desk()
    streams = [await desk.begun(), await desk.begun()]
    assert await desk.one() == 1
    for stream in streams:
        await stream.aclose()
    assert (desk.gate.in_flight, desk.gate.streams) == (0, 0)


async def test_a_stream_too_many_is_refused_until_another_one_ends() -> None:
    desk = Desk()
    streams = [await desk.begun(), await desk.begun()]
    with pytest.raises(Unavailable, match="news has too many streams open"):
        await desk.begun()
    assert desk.gate.refused == 1
    await streams[0].aclose()
    assert [item async for item in await desk.begun()] == list(range(1, 1000))
    await streams[1].aclose()
    assert (desk.gate.in_flight, desk.gate.streams) == (0, 0)


def refused() -> AsyncIterator[int]:
    raise RuntimeError("there are none")


class Three:
    """An iterator that is no generator: it cannot be closed."""

    def __init__(self) -> None:
        self._left = 3

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return self._left


async def test_a_stream_that_fails_before_it_is_one_takes_no_place() -> None:
    gate = Gate(1, 2)
    callee = Callee(OPERATIONS["ticks"], refused, gate, CLOCK.monotonic)
    for _ in range(3):
        with pytest.raises(ServiceFailure):
            await anext(callee.stream((), Desk().call("ticks")))
    assert (gate.in_flight, gate.streams, callee.failures) == (0, 0, 3)


async def test_a_stream_need_not_be_a_generator() -> None:
    gate = Gate(1, 2)
    callee = Callee(OPERATIONS["ticks"], Three, gate, CLOCK.monotonic)
    assert [item async for item in callee.stream((), Desk().call("ticks"))] == [2, 1, 0]
    assert (gate.in_flight, gate.streams) == (0, 0)


async def giving_up_at_once() -> AsyncIterator[int]:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()
    yield 1


async def giving_up_later() -> AsyncIterator[int]:
    yield 1
    raise TimeoutError("what it asked did not answer")


@pytest.mark.parametrize("handler", [giving_up_at_once, giving_up_later])
async def test_a_time_limit_of_the_handler_s_own_is_its_failure_and_no_deadline_of_the_stream(
    handler: Callable[[], AsyncIterator[int]],
) -> None:
    gate = Gate(1, 2)
    callee = Callee(OPERATIONS["ticks"], handler, gate, CLOCK.monotonic)
    with pytest.raises(ServiceFailure, match=r"news\.News\.ticks failed"):
        async for _ in callee.stream((), Desk().call("ticks")):
            pass
    assert (gate.in_flight, gate.streams, callee.failures) == (0, 0, 1)


async def bad_loser() -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        raise RuntimeError("an inside")


async def test_what_a_handler_makes_of_a_reader_that_leaves_is_its_failure_and_not_the_reader_s() -> (
    None
):
    gate = Gate(1, 2)
    callee = Callee(OPERATIONS["ticks"], bad_loser, gate, CLOCK.monotonic)
    stream = callee.stream((), Desk().call("ticks"))
    assert await anext(stream) == 1
    await stream.aclose()
    assert (gate.in_flight, gate.streams, callee.failures) == (0, 0, 1)


async def silent() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


async def test_a_stream_that_falls_silent_is_late_and_no_failure_of_its_handler() -> None:
    gate = Gate(1, 2)
    callee = Callee(OPERATIONS["ticks"], silent, gate, CLOCK.monotonic, stream_idle_s=0.01)
    stream = callee.stream((), Desk().call("ticks"))
    assert await anext(stream) == 1
    with pytest.raises(DeadlineExceeded, match="sent nothing in time"):
        await anext(stream)
    assert (gate.in_flight, gate.streams, callee.failures) == (0, 0, 0)


async def test_a_stream_that_falls_silent_elsewhere_is_told_as_here() -> None:
    limits = LimitOptions(stream_idle_s=0.05)
    gate = Gate(1, 2)
    callee = Callee(
        OPERATIONS["ticks"], silent, gate, CLOCK.monotonic, stream_idle_s=limits.stream_idle_s
    )
    door = Door([Route(callee)], lambda request, route: Identity(None, None), CLOCK, strict=False)
    elsewhere = await Listening.open(door.answer)
    directory = Directory()
    directory.update({"news": [Replica("news.1", *elsewhere.origin)]})
    dependencies = Dependencies(directory, lambda: HttpClient(limits.for_client()), CLOCK)
    send = RemoteTransport(dependencies).bind(OPERATIONS["ticks"])
    try:
        stream = send((), Desk().call("ticks"))
        assert await anext(stream) == 1
        with pytest.raises(DeadlineExceeded, match="sent nothing in time"):
            await anext(stream)
    finally:
        await dependencies.close()
        await elsewhere.server.close()


async def test_a_stream_that_is_closed_before_it_is_read_has_ended_its_handler() -> None:
    has_ended = False

    async def endless() -> AsyncIterator[int]:
        nonlocal has_ended
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            has_ended = True

    gate = Gate(1, 2)
    route = Route(Callee(OPERATIONS["ticks"], endless, gate, CLOCK.monotonic))
    door = Door([route], lambda request, route: Identity(None, None), CLOCK, strict=True)
    here = Connection(("127.0.0.1", 1))
    response = await door.answer(Request("GET", "/news/ticks", "", Headers({}), b"", here))
    assert (has_ended, gate.streams) == (False, 1)
    await cast("AsyncGenerator[bytes]", response.body).aclose()  # as for HEAD
    assert (has_ended, gate.streams) == (True, 0)
