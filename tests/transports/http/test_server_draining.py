"""Replicas come and go under bursts of calls that may run only once, and none of these fails."""

import asyncio
import random
import socket
from collections import Counter

import pytest

from borough.clock import SystemClock, thread_cpu_s
from borough.errors import CallError
from borough.ports import Replica
from borough.reliability.repeats import RepeatTerms
from borough.runtime.discovery import Directory
from borough.transports.http.dependency import Dependencies
from borough.transports.http.limits import DependencyLimits
from borough.transports.http.message import Request, Response
from borough.transports.http.server import HttpServer
from tests.transports.http.conftest import MakeClient

CLOCK = SystemClock()
CALLERS = 6
CHANGES = 12
ONCE = DependencyLimits(calls_in_flight=4000, repeats=RepeatTerms(attempts=1))


async def answer(_request: Request) -> Response:
    await asyncio.sleep(random.expovariate(1 / 0.003))
    return Response(200, (), b"done")


class Bursts:
    """Callers that go from nothing to many new connections, and back."""

    def __init__(self, make_client: MakeClient) -> None:
        self.directory = Directory()
        self.failures: Counter[str] = Counter()
        self.done = 0
        self._callers = [
            Dependencies(self.directory, make_client, CLOCK, ONCE) for _ in range(CALLERS)
        ]
        self._over = False

    async def ask(self, caller: Dependencies) -> None:
        until = CLOCK.monotonic() + 10
        try:
            await caller.of("search").exchange("POST", "/", body=b"{}", deadline=until)
        except CallError as error:
            self.failures[f"{type(error).__name__}: {error}"] += 1
        else:
            self.done += 1

    async def go_on(self, caller: Dependencies) -> None:
        while not self._over:
            burst = random.choice([1, 2, 5, 40])
            await asyncio.gather(*(self.ask(caller) for _ in range(burst)))
            await asyncio.sleep(random.choice([0, 0, 0.02, 0.12]))

    async def replaced(
        self, old: tuple[Replica, HttpServer], *, drains: bool
    ) -> tuple[Replica, HttpServer]:
        """Another one in its place: told, then the old one untold, then drained or just closed."""
        new = await opened()
        self.directory.update({"search": [old[0], new[0]]})
        await asyncio.sleep(0.05)
        self.directory.update({"search": [new[0]]})
        await (old[1].drain(10) if drains else old[1].close())
        return new

    async def run(self, *, drains: bool) -> None:
        now = await opened()
        self.directory.update({"search": [now[0]]})
        tasks = [asyncio.ensure_future(self.go_on(caller)) for caller in self._callers]
        for _ in range(CHANGES):
            await asyncio.sleep(random.random() * 0.1)
            now = await self.replaced(now, drains=drains)
        self._over = True
        await asyncio.gather(*tasks)
        for caller in self._callers:
            await caller.close()
        await now[1].close()


async def opened() -> tuple[Replica, HttpServer]:
    server = HttpServer(answer)
    await server.open("127.0.0.1", 0)
    return Replica(f"search-{server.port}", "127.0.0.1", server.port), server


async def test_a_server_that_closes_while_it_accepts_comes_to_its_end() -> None:
    _, server = await opened()
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
    until = thread_cpu_s() + 0.02
    while thread_cpu_s() < until:
        pass
    server.end_work(server.monotonic())  # a handler has computed: all who wait are accepted
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await server.close()
    for each in waiting:
        each.close()


@pytest.mark.parametrize("drains", [True, False], ids=["drained", "just closed"])
async def test_who_has_connected_to_a_replica_that_drains_is_answered(
    make_client: MakeClient, drains: bool
) -> None:
    bursts = Bursts(make_client)
    await bursts.run(drains=drains)
    assert bursts.done > 100
    assert bool(bursts.failures) != drains, bursts.failures  # without a drain it would be seen
