"""Requests that come when they come: an arrival does not wait for the answers before it.

Each has a scheduled time, and its latency and its deadline count from there. Connections are kept and
reused; one whose request is overdue is closed, as a client does that has given up. All is bounded:
where no connection is left, the arrival has failed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import cast

CONNECTIONS = 900
"""Fewer than the edge takes from one address."""


class Outcome:
    """One arrival: when it was due, how long its answer took, and what it was."""

    __slots__ = ("due", "kind", "took_s")

    def __init__(self, due: float, kind: str, took_s: float) -> None:
        self.due = due
        self.kind = kind
        self.took_s = took_s

    @property
    def is_good(self) -> bool:
        """Whether the right answer came in time."""
        return self.kind == "answered"


class Link(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self.due = self.deadline = 0.0
        self.number = -1
        self._to_send = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._to_send)

    def ask(self, number: int, due: float, deadline: float, request: bytes) -> None:
        """Send a request, now or once the connection is open."""
        self.number, self.due, self.deadline = number, due, deadline
        self._received = b""
        if self._transport is None:
            self._to_send = request
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, split, body = self._received.partition(b"\r\n\r\n")
        if not split:
            return
        _, _, rest = head.partition(b"content-length: ")
        if len(body) < int(rest.partition(b"\r\n")[0]):
            return
        status = int(head[9:12])
        if status == 200:
            kind = "answered" if int(body) == self.number + 1 else "wrong"
        else:
            detail = body.partition(b'"detail":"')[2].partition(b'"')[0].decode()
            kind = f"{status}: {detail}"
        self._load.end(self, kind)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lose(self)

    def drop(self) -> None:
        """Close it without a word."""
        if self._transport is not None:
            self._transport.abort()


class Load:
    """Arrivals at one path of a server."""

    def __init__(self, port: int, path: str, timeout_s: float, chance: random.Random) -> None:
        self._port = port
        self._path = path
        self._timeout_s = timeout_s
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._free: list[Link] = []
        self._busy: set[Link] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._number = 0
        self._outcomes: list[Outcome] = []
        self._on_end: Callable[[], None] = lambda: None

    async def open_loop(self, per_s: float, seconds: float) -> list[Outcome]:
        """Arrivals at random times, `per_s` on average; returns once each has an outcome."""
        began = self._loop.time() + 0.05
        due = began
        for due in self._times(began, per_s, seconds):
            while (left := due - self._loop.time()) > 0:
                self._give_up()
                await asyncio.sleep(min(left, 0.01))
            self._ask(due)
        ends = self._loop.time() + self._timeout_s
        while self._busy and self._loop.time() < ends + 1.0:
            await asyncio.sleep(0.01)
            self._give_up()
        return self._taken()

    def _times(self, began: float, per_s: float, seconds: float) -> Iterator[float]:
        due = began
        while due < began + seconds:
            yield due
            due += self._chance.expovariate(per_s)

    async def closed_loop(self, at_once: int, seconds: float) -> list[Outcome]:
        """So many callers, each asks again when it has its answer."""
        ends = self._loop.time() + seconds
        self._on_end = lambda: self._ask_until(ends)
        for _ in range(at_once):
            self._ask(self._loop.time())
        while self._busy:
            await asyncio.sleep(0.01)
            self._give_up()
        self._on_end = lambda: None
        return self._taken()

    def _ask_until(self, ends: float) -> None:
        if self._loop.time() < ends:
            self._ask(self._loop.time())

    def _taken(self) -> list[Outcome]:
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _ask(self, due: float) -> None:
        now = self._loop.time()
        deadline = due + self._timeout_s
        left_ms = int((deadline - now) * 1000)
        if left_ms <= 0:
            self._outcomes.append(Outcome(due, "unsent: the generator is late", now - due))
            return
        self._number += 1
        request = (
            f"GET {self._path}/{self._number} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            f"borough-timeout-ms: {left_ms}\r\n\r\n"
        ).encode()
        if self._free:
            link = self._free.pop()
        elif len(self._busy) < CONNECTIONS:
            link = Link(self)
            task = self._loop.create_task(self._open(link))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._outcomes.append(Outcome(due, "unsent: no connection is free", now - due))
            return
        self._busy.add(link)
        link.ask(self._number, due, deadline, request)

    async def _open(self, link: Link) -> None:
        try:
            await self._loop.create_connection(lambda: link, "127.0.0.1", self._port)
        except OSError:
            self.lose(link)
            return
        if link not in self._busy and link not in self._free:
            link.drop()  # given up while it was opened

    def end(self, link: Link, kind: str) -> None:
        """An answer has come."""
        if link not in self._busy:
            return
        self._busy.discard(link)
        now = self._loop.time()
        if now > link.deadline and kind == "answered":
            kind = "late"
        self._outcomes.append(Outcome(link.due, kind, now - link.due))
        self._free.append(link)
        self._on_end()

    def lose(self, link: Link) -> None:
        """A connection is gone."""
        if link in self._busy:
            self._busy.discard(link)
            self._outcomes.append(Outcome(link.due, "lost", self._loop.time() - link.due))
            self._on_end()
        elif link in self._free:
            self._free.remove(link)

    def _give_up(self) -> None:
        """Leave what is overdue."""
        now = self._loop.time()
        for link in [each for each in self._busy if each.deadline < now]:
            self._busy.discard(link)
            self._outcomes.append(Outcome(link.due, "timeout", now - link.due))
            link.drop()
            self._on_end()

    def close(self) -> None:
        """Close every connection."""
        for link in [*self._free, *self._busy]:
            link.drop()
        self._free.clear()
        self._busy.clear()


def kinds_of(outcomes: list[Outcome]) -> dict[str, int]:
    """How often each outcome was had."""
    return dict(Counter(outcome.kind for outcome in outcomes).most_common())
