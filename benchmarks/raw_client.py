"""The client of all HTTP servers that are compared: raw connections, callbacks only, nothing awaited.

A worker: each line on standard input is a `Load`, each line out its figures. The sum is looked for
in every answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from benchmarks.answering import answer_lines, run
from benchmarks.closed_loop import WARM_S, cpu_ns, percentile
from benchmarks.payload import CENTS, http_request

_EXPECTED = b'"in_cents":%d' % CENTS


class Load(msgspec.Struct):
    """Which server to ask how much. `pace_s`: so long between a connection's requests, 0: at once."""

    port: int
    path: str
    connections: int
    seconds: float
    pids: tuple[int, ...] = ()
    pace_s: float = 0.0
    warm_s: float = WARM_S


class Pinging(asyncio.Protocol):
    """Asks again when the answer is complete."""

    def __init__(self, request: bytes, took_s: list[float], pace_s: float) -> None:
        self._request = request
        self._took_s = took_s
        self._pace_s = pace_s
        self._size = 0
        self._came = b""
        self._sent_at = 0.0
        self.is_running = True
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take bytes until the answer is whole. All answers of a server are equally long."""
        came = self._came + data if self._came else data
        if not self._size:
            self._size = _size_of(came)
        if len(came) < self._size or not self._size:
            self._came = came
            return
        self._took_s.append(time.perf_counter() - self._sent_at)
        assert _EXPECTED in came, came
        assert len(came) == self._size, came
        self._came = b""
        if not self.is_running:
            self.ended.set_result(None)
        elif self._pace_s:
            asyncio.get_running_loop().call_later(self._pace_s, self._ask)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Only this end may leave."""
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionResetError("the server left"))

    def leave(self) -> None:
        """Close."""
        self._transport.close()


def _size_of(came: bytes) -> int:
    head, found, _ = came.partition(b"\r\n\r\n")
    if not found:
        return 0
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(head) + 4 + int(value)
    raise ValueError(f"no length in {head!r}")


async def load(document: Any) -> dict[str, float]:
    """Put a server under load and measure."""
    wanted = msgspec.convert(document, Load)
    loop = asyncio.get_running_loop()
    request, took_s = http_request(wanted.path), list[float]()
    clients: list[Pinging] = []
    for _ in range(wanted.connections):
        _, client = await loop.create_connection(
            lambda: Pinging(request, took_s, wanted.pace_s), "127.0.0.1", wanted.port
        )
        clients.append(client)
    await asyncio.sleep(wanted.warm_s)
    figures = await _measured(took_s, wanted.seconds, wanted.pids)
    for client in clients:
        client.is_running = False
    for client in clients:
        await client.ended
        client.leave()
    return figures


async def _measured(took_s: list[float], seconds: float, pids: Sequence[int]) -> dict[str, float]:
    del took_s[:]
    started, own, others = time.perf_counter(), time.process_time_ns(), cpu_ns(pids)
    await asyncio.sleep(seconds)
    count, elapsed_s = len(took_s), time.perf_counter() - started
    own, others = time.process_time_ns() - own, cpu_ns(pids) - others
    taken = took_s[:count]
    return {
        "calls_per_s": count / elapsed_s,
        "p50_us": percentile(taken, 0.5) * 1e6,
        "p99_us": percentile(taken, 0.99) * 1e6,
        "client_us": own / count / 1e3,
        "server_us": others / count / 1e3,
    }


if __name__ == "__main__":
    run(lambda: answer_lines(load))
