"""A service that others call falls ill: it gets little more than it is asked for, and other calls go on as before.

In each episode one of two dependencies refuses connections, closes them, hangs, or takes 30 s, in turns
with times in which it is well and called as often. What counts: attempts are at most 1.2 times the calls; each
call ends by its deadline; the other dependency's calls all succeed, at their usual median and p99; when the ill
one is well again, its calls succeed within 5 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import uvloop

from borough.clock import SystemClock
from borough.errors import CallError
from borough.ports import Replica
from borough.reliability.repeats import Repeats
from borough.runtime.discovery import Directory
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies, Dependency
from borough.transports.http.message import Request, Response
from borough.transports.http.server import HttpServer
from rigs.episodes import Episode, Fault, Rig
from rigs.pair.system import any_port
from rigs.planted import replace

ILLNESSES = ("refuses", "closes", "hangs", "slow")
SLOW_S = 30.0
TIMEOUT_S = 1.0
SLACK_S = 0.3
TURNS = 6
TURN_S = 1.0
WELL_PER_S = 200
WELL_S = 0.003
"""What the sound dependency waits for something of its own."""
ILL_PER_S = 100
MOST_ATTEMPTS = 1.2
MEDIAN, P99, P99_MORE_S = 1.15, 1.3, 0.005
NORMAL_WITHIN_S = 5.0
GOOD_IN_A_ROW = 30


class Patient:
    """A server that falls ill, and counts the requests that reach it."""

    def __init__(self) -> None:
        self.port = any_port()
        self.illness = ""
        self.requests = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def be(self, illness: str) -> None:
        """Fall ill, or be well with `""`. Who is connected is cut off."""
        self.illness = illness
        await self.close()
        if illness != "refuses":
            self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for writer in list(self._open):
                writer.close()
            await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if self.illness == "closes":
                    break
                if self.illness:  # until the caller leaves
                    async with asyncio.timeout(SLOW_S if self.illness == "slow" else None):
                        await reader.read(1)
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


class Calls:
    """Calls to one dependency, each when it is due: how long they took, and how many came to nothing."""

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency
        self._clock = SystemClock()
        self.took_s: list[float] = []
        self.errors: list[str] = []
        self.offered = 0

    async def at_rate(self, per_s: float, seconds: float, after_s: float = 0.0) -> None:
        """So many a second, whatever becomes of them; returns when all have ended."""
        loop = asyncio.get_running_loop()
        began = loop.time() + after_s
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_s * seconds)):
                await asyncio.sleep(began + number / per_s - loop.time())
                group.create_task(self.one())

    async def one(self) -> bool:
        """One call; returns whether it was answered."""
        self.offered += 1
        began = self._clock.monotonic()
        try:
            deadline = began + TIMEOUT_S
            answer = await self._dependency.exchange("GET", "/", deadline=deadline, idempotent=True)
            if answer.status != 200:
                self.errors.append(f"answered {answer.status}")
        except CallError as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            return False
        finally:
            self.took_s.append(self._clock.monotonic() - began)
        return answer.status == 200

    def percentile(self, part: float) -> float:
        """The time below which this part of the calls lay, in seconds."""
        ordered = sorted(self.took_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def play(seed: int) -> Episode:
    """One illness."""
    chance = random.Random(seed)
    illness = ILLNESSES[seed % len(ILLNESSES)]
    rate = ILL_PER_S * chance.uniform(1.0, 3.0)
    patient, server = Patient(), HttpServer(_well)
    await server.open("127.0.0.1", 0)
    places = {"ill": patient.port, "well": server.port}
    directory = Directory(
        {name: [Replica(name, "127.0.0.1", port)] for name, port in places.items()}
    )
    dependencies = Dependencies(directory, HttpClient, SystemClock(), caller="rig")
    ill = dependencies.of("ill")
    usual, sick = Calls(ill), Calls(ill)
    calm, beside = Calls(dependencies.of("well")), Calls(dependencies.of("well"))
    attempts, normal_after_s = 0, list[float | None]()
    try:
        for turn in range(TURNS + 1):
            await patient.be("")
            normal_after_s.append(await _until_good(usual.one))
            await _both(calm, usual, rate)
            if not turn:  # code and connections are new
                calm.took_s.clear()
            repeats, requests, offered = ill.repeats.count, patient.requests, sick.offered
            await patient.be(illness)
            await _both(beside, sick, rate)
            sent = sick.offered - offered + ill.repeats.count - repeats
            attempts += max(sent, patient.requests - requests)
            if not turn:
                beside.took_s.clear()
        facts = {
            "illness": illness,
            "offered": sick.offered,
            "attempts": attempts,
            "normal_after_s": normal_after_s,
            "median_ms": [round(each.percentile(0.5) * 1000, 2) for each in (calm, beside)],
            "p99_ms": [round(each.percentile(0.99) * 1000, 2) for each in (calm, beside)],
        }
        late = [each for each in normal_after_s if each is None or each > NORMAL_WITHIN_S]
        wrong = tuple(judge(sick, attempts, calm, beside, is_normal=not late))
        return Episode(seed, wrong, facts)
    finally:
        await dependencies.close()
        await patient.close()
        await server.close()


async def _both(well: Calls, ill: Calls, rate: float) -> None:
    """A turn of calls to both."""
    async with asyncio.TaskGroup() as group:
        group.create_task(well.at_rate(WELL_PER_S, TURN_S))
        group.create_task(ill.at_rate(rate, TURN_S, after_s=0.5 / WELL_PER_S))


async def _well(_request: Request) -> Response:
    await asyncio.sleep(WELL_S)
    return Response(200, (), b"ok")


async def _until_good(call: Callable[[], Awaitable[bool]]) -> float | None:
    """After how many seconds all calls in a row begin to succeed; None: not in time."""
    loop = asyncio.get_running_loop()
    began = good_since = loop.time()
    good = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(NORMAL_WITHIN_S + TIMEOUT_S):
            while good < GOOD_IN_A_ROW:
                if await call():
                    good += 1
                else:
                    good, good_since = 0, loop.time()
                await asyncio.sleep(0.01)
            return round(good_since - began, 2)
    return None


def judge(
    sick: Calls, attempts: int, calm: Calls, beside: Calls, *, is_normal: bool
) -> Iterator[str]:
    """What is wrong with these calls, in words."""
    if attempts > MOST_ATTEMPTS * sick.offered:
        yield f"attempts: {attempts} for {sick.offered} calls"
    longest_s = max(sick.took_s)
    if longest_s > TIMEOUT_S + SLACK_S:
        yield f"late: a call took {longest_s:.2f} s of {TIMEOUT_S} s"
    for error in (calm.errors + beside.errors)[:1]:
        yield f"error: a call that does not need it got {error}"
    before_s, with_it_s = calm.percentile(0.5), beside.percentile(0.5)
    if with_it_s > MEDIAN * before_s:
        yield f"median: {with_it_s * 1000:.2f} ms beside it, {before_s * 1000:.2f} ms without"
    before_s, with_it_s = calm.percentile(0.99), beside.percentile(0.99)
    if with_it_s > max(P99 * before_s, before_s + P99_MORE_S):
        yield f"p99: {with_it_s * 1000:.2f} ms beside it, {before_s * 1000:.2f} ms without"
    if not is_normal:
        yield f"not normal: calls still fail {NORMAL_WITHIN_S} s after it is well"


def _granted(self: Repeats, attempts: int, **_facts: Any) -> float | None:
    """Every repeat is granted, whatever was answered."""
    if attempts >= self.terms.attempts:
        return None
    self.count += 1
    return 0.0


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One illness for each seed."""
    sound = Repeats.wait_s
    if planted is not None:
        replace(Repeats, "wait_s", _granted)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for seed in seeds:
                yield runner.run(play(seed))
    finally:
        replace(Repeats, "wait_s", sound)


PLANTED = {"repeats": Fault(4, "attempts: ")}
RIG = Rig("illnesses", run, PLANTED)
