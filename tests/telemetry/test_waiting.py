"""Waits are seen as spans of their own: for a thread, a database, a key, a turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from borough.ports import Replica
from borough.reliability.arrival import Arrival
from borough.runtime.discovery import Directory
from borough.runtime.pool import ThreadPool
from borough.runtime.seen_database import DatabaseSight, SeenTransaction
from borough.services.context import CURRENT, Call
from borough.telemetry.recorder import Recorder
from borough.telemetry.trace import TraceContext
from borough.telemetry.waiting import Waits
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies, RequestKind
from borough.transports.http.door import Door, Identity, Route
from borough.transports.http.limits import ClientLimits, DependencyLimits
from borough.transports.http.message import Request, Response
from tests.telemetry.caravan import caravan
from tests.transports.http.listening import Service

TRACE = TraceContext("a" * 32, "b" * 16, is_sampled=True)


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1.0
        self.recorder = Recorder(lambda: self.now, lambda length: bytes(range(length % 256)) * 99)

    def seen(self) -> list[tuple[str, str, float]]:
        """Name, parent and length of each span."""
        return [
            (span.shape.name, span.parent[:1], round(span.ended - span.began, 3))
            for span in self.recorder.take()
        ]


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock, within a sampled call."""
    token = CURRENT.set(Call("front.Front.place", "front", None, None, float("inf"), TRACE))
    yield Clock()
    CURRENT.reset(token)


def test_only_a_wait_that_is_felt_and_sampled_is_recorded(clock: Clock) -> None:
    waits = Waits(clock.recorder, "front", "a thread")
    waits.note(TRACE, 1.0, 1.004)
    waits.note(TraceContext("a" * 32, "b" * 16), 1.0, 2.0)
    assert clock.seen() == []
    waits.note(TRACE, 1.0, 1.2)
    assert clock.seen() == [("wait for a thread", "b", 0.2)]


@pytest.mark.parametrize("leaves", [False, True])
async def test_work_that_waits_for_a_thread_is_seen_waiting_also_where_its_caller_leaves(
    clock: Clock, leaves: bool
) -> None:
    pool, is_free, is_taken = (
        ThreadPool("front", 1, 1, clock.recorder),
        threading.Event(),
        asyncio.Event(),
    )
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(is_taken.set)
        is_free.wait()

    first = asyncio.create_task(pool.run(hold))
    await is_taken.wait()
    second = asyncio.create_task(pool.run(int))
    await asyncio.sleep(0)
    clock.now += 0.3
    if leaves:
        second.cancel()
        await asyncio.wait([second])
    is_free.set()
    await asyncio.wait([first, second])
    assert clock.seen() == [("wait for a thread", "b", 0.3)]
    pool.close()


async def test_a_transaction_is_seen_waiting_for_its_database_and_its_commit(clock: Clock) -> None:
    @asynccontextmanager
    async def slow() -> AsyncIterator[Any]:
        clock.now += 0.2
        yield None
        clock.now += 0.1

    sight = DatabaseSight("front", "sqlite", clock.recorder)
    async with SeenTransaction(slow(), sight, TRACE):
        clock.now += 0.05
    found = clock.seen()
    assert [(name, took) for name, _, took in found] == [
        ("wait for the database", 0.2),
        ("wait for the commit", 0.1),
        ("transaction", 0.35),
    ]


async def test_a_call_is_seen_waiting_for_its_callers_limit(clock: Clock) -> None:
    dependencies = Dependencies(
        Directory({}),
        HttpClient,
        cast(Any, SimpleNamespace(monotonic=lambda: clock.now, random=Random())),
        DependencyLimits(calls_in_flight=1),
        caller="front",
        recorder=clock.recorder,
    )
    bulkhead = dependencies.of("depot").bulkhead
    bulkhead.in_flight = 1
    waiting = asyncio.create_task(bulkhead.enter(clock.now + 10.0, TRACE))
    await asyncio.sleep(0)
    clock.now += 0.4
    bulkhead.leave()
    assert await waiting
    assert clock.seen() == [("wait for room for calls to depot", "b", 0.4)]
    await dependencies.close()


async def test_a_call_is_seen_waiting_for_a_connection(clock: Clock) -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def answer(_: Request) -> Response:
        entered.set()
        await opened.wait()
        return Response(200, (), b"")

    service = await Service.open(answer)
    dependencies = Dependencies(
        Directory({"depot": [Replica("depot-1", *service.origin)]}),
        lambda: HttpClient(ClientLimits(connections_per_origin=1)),
        cast(Any, SimpleNamespace(monotonic=lambda: clock.now, random=Random())),
        caller="front",
        recorder=clock.recorder,
    )
    send, kind = (
        dependencies.of("depot").send,
        RequestKind("GET", "/", idempotent=True, operation=""),
    )
    first = asyncio.create_task(send(kind, b"", b"", float("inf"), TRACE))
    await entered.wait()
    second = asyncio.create_task(send(kind, b"", b"", float("inf"), TRACE))
    await asyncio.sleep(0)
    clock.now += 0.3
    opened.set()
    assert [(await each).status for each in (first, second)] == [200, 200]
    assert clock.seen() == [("wait for a connection to depot", "b", 0.3)]
    await dependencies.close()
    await service.server.close()


@pytest.mark.parametrize("strict", [False, True])
async def test_a_call_from_another_service_is_seen_waiting_for_its_turn(
    clock: Clock, strict: bool
) -> None:
    async with caravan() as running:
        route = Route(running.running._process.host.callees["depot.Depot.fetch"])
        door = Door(
            [route], cast(Any, None), cast(Any, clock), strict=strict, recorder=clock.recorder
        )
        request = SimpleNamespace(headers={}, arrival=Arrival(1.0, 10.0, None, began_at=1.08))
        door.call_for(cast(Any, request), route, ("t-1",), Identity("front", None), TRACE)
        assert clock.seen() == ([] if strict else [("wait for its turn", "b", 0.08)])
