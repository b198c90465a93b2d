"""The way to one sink: a bounded queue and one sender, with back-off while the sink is away.

Nobody waits for it. What the queue has no room for is dropped, oldest first, and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from borough.clock import Clock
from borough.errors import BoroughError, CallError, Unavailable
from borough.ports import Signal, SpanSink
from borough.reliability.backoff import Backoff
from borough.reliability.retry_after import LONGEST_WAIT_S

__all__ = ["Outlet"]

_log = logging.getLogger("borough.telemetry")
_WAITS = Backoff(1.0, 30.0)
_ROOM = 8 * 1024 * 1024


class Outlet:
    """Sends batches to `sink`, named `name` in what is said of it.

    `sent`, `dropped` and `refused` count batches' items (spans, lines, points).
    """

    def __init__(self, name: str, sink: SpanSink, clock: Clock, room: int = _ROOM) -> None:
        self.name = name
        self.sent = 0
        self.dropped = 0
        self.refused = 0
        self.waiting_bytes = 0
        self._sink = sink
        self._clock = clock
        self._room = room
        self._is_full = False
        self._queue: deque[tuple[Signal, bytes, int]] = deque()
        self._refusing: set[Signal] = set()
        self._some = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sender: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._sender = asyncio.create_task(self._send_all(), name=f"telemetry to {self.name}")

    def put(self, signal: Signal, data: bytes, count: int) -> None:
        """Send a batch of so many items when it is its turn."""
        self._queue.append((signal, data, count))
        self.waiting_bytes += len(data)
        while self.waiting_bytes > self._room and self._queue:
            _, oldest, items = self._queue.popleft()
            self.waiting_bytes -= len(oldest)
            self.dropped += items
            if not self._is_full:
                self._is_full = True
                room_mib = self._room / 1024 / 1024
                _log.warning(
                    "%s is away for long: %.0f MiB wait, and the oldest is dropped",
                    self.name,
                    room_mib,
                )
        if self._queue:
            self._empty.clear()
            self._some.set()

    async def _send_all(self) -> None:
        failures = 0
        while True:
            if not self._queue:
                self._empty.set()
                self._some.clear()
                await self._some.wait()
                continue
            signal, data, count = self._queue.popleft()
            self.waiting_bytes -= len(data)
            try:
                rejected = await self._sink.write(signal, data)
            except Unavailable as error:
                failures += 1
                if failures == 1:
                    _log.warning("%s takes no telemetry now: %s", self.name, error)
                self._put_back(signal, data, count)
                wait_s = _WAITS.delay_s(failures, 0.5 + self._clock.random.random() / 2)
                await self._clock.sleep(
                    max(wait_s, min(error.retry_after_s or 0.0, LONGEST_WAIT_S))
                )
            except BoroughError as error:
                self._refuse(signal, count, _said(error))
            except Exception:
                self.refused += count
                _log.exception("sending telemetry to %s failed", self.name)
            else:
                missing = 0 if rejected is None else min(rejected.count, count)
                self.sent += count - missing
                if rejected is None:
                    self._refusing.discard(signal)
                else:
                    self._refuse(signal, missing, rejected.why, "a part of ")
                if failures:
                    _log.info("%s takes telemetry again; %d dropped", self.name, self.dropped)
                failures = 0
                self._is_full = False

    def _refuse(self, signal: Signal, count: int, why: str, part: str = "") -> None:
        self.refused += count
        if signal not in self._refusing:  # who takes traces alone refuses metrics for ever
            _log.warning("%s has refused %s%s: %s", self.name, part, signal, why)
        self._refusing.add(signal)

    def _put_back(self, signal: Signal, data: bytes, count: int) -> None:
        """It is the first again, where there is room."""
        if self.waiting_bytes + len(data) > self._room:
            self.dropped += count
            return
        self._queue.appendleft((signal, data, count))
        self.waiting_bytes += len(data)

    async def stop(self, grace_s: float) -> None:
        """Send what waits, within the grace, then close the sink."""
        sender, self._sender = self._sender, None
        if sender is not None:
            try:
                async with asyncio.timeout(grace_s):
                    await self._empty.wait()
            except TimeoutError:
                self.dropped += sum(count for _, _, count in self._queue)
            sender.cancel()
            await asyncio.wait([sender])
        await self._sink.close()


def _said(error: BoroughError) -> str:
    return error.detail if isinstance(error, CallError) else str(error)
