"""Takes what a process has recorded, once a second, and hands it to every outlet as OTLP bytes.

Encoding is done in small turns, so that the loop never waits for it; sending is the outlets'.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from borough.clock import Clock
from borough.ending import each_ended
from borough.observing.log_lines import LogLines
from borough.observing.outlet import Outlet
from borough.ports import Signal
from borough.telemetry.measures import Point
from borough.telemetry.otlp import Resource, Scope
from borough.telemetry.otlp_logs import encode_logs
from borough.telemetry.otlp_metrics import encode_metrics
from borough.telemetry.otlp_traces import SpanEncoder
from borough.telemetry.recorder import Recorder

__all__ = ["Exporter", "Pace"]

_log = logging.getLogger("borough.telemetry")
_TURN = 128
"""So many spans are encoded before others have their turn: well below a millisecond."""
_BATCH = 2048


class Pace(Protocol):
    """How often what is sent."""

    @property
    def every_s(self) -> float: ...

    @property
    def metrics_every_s(self) -> float: ...


Gather = Callable[[], AsyncIterator[Point]]


class Exporter:
    """The exporter of a process. It attaches `lines` to the root logger while it runs."""

    def __init__(
        self,
        recorder: Recorder,
        resource_of: Callable[[str], Resource],
        scope: Scope,
        clock: Clock,
        outlets: Sequence[Outlet],
        lines: LogLines,
        gather: Gather,
        pace: Pace,
    ) -> None:
        self._recorder = recorder
        self._resource_of = resource_of
        self._scope = scope
        self._clock = clock
        self._outlets = outlets
        self._lines = lines
        self._gather = gather
        self._pace = pace
        self._encoder = SpanEncoder(resource_of, scope)
        self._hurry = asyncio.Event()
        self._began_ns = int(clock.epoch_s() * 1e9)
        self._measured_at = clock.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()

        def hurry() -> None:
            with suppress(RuntimeError):  # the loop may be closed while a thread records
                loop.call_soon_threadsafe(self._hurry.set)

        self._recorder.hurry = hurry
        logging.getLogger().addHandler(self._lines)
        for outlet in self._outlets:
            outlet.start()
        self._task = asyncio.create_task(self._run(), name="telemetry")

    async def stop(self, grace_s: float) -> None:
        """Send what there is, within the grace. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        logging.getLogger().removeHandler(self._lines)
        self._recorder.hurry = None
        task.cancel()
        await asyncio.wait([task])
        stops = [partial(outlet.stop, grace_s) for outlet in self._outlets]
        await each_ended([partial(self.flush, with_metrics=True), *stops])

    async def _run(self) -> None:
        while True:
            self._hurry.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.every_s):
                    await self._hurry.wait()
            due = self._measured_at + self._pace.metrics_every_s
            try:
                await self.flush(with_metrics=self._clock.monotonic() >= due)
            except Exception:
                _log.exception("what was recorded could not be encoded")

    async def flush(self, *, with_metrics: bool = False) -> None:
        """Hand everything to the outlets now."""
        offset_ns = self.offset_ns
        spans = self._recorder.take()
        for at in range(0, len(spans), _BATCH):
            batch = spans[at : at + _BATCH]
            parts: list[bytes] = []
            for turn in range(0, len(batch), _TURN):
                parts.append(self._encoder.encode(batch[turn : turn + _TURN], offset_ns))
                await asyncio.sleep(0)
            # Messages that stand one behind the other are one message.
            self._put("traces", b"".join(parts), len(batch))
        if lines := self._lines.take():
            self._put("logs", encode_logs(lines, self._resource_of, self._scope), len(lines))
        if with_metrics:
            self._measured_at = self._clock.monotonic()
            points = [point async for point in self._gather()]
            points += self.losses()
            data = encode_metrics(
                points,
                self._resource_of,
                self._scope,
                began_ns=self._began_ns,
                now_ns=int(self._clock.epoch_s() * 1e9),
                offset_ns=offset_ns,
            )
            self._put("metrics", data, len(points))

    @property
    def offset_ns(self) -> int:
        """What leads from the clock of the spans to nanoseconds since 1970."""
        return int((self._clock.epoch_s() - self._clock.monotonic()) * 1e9)

    def _put(self, signal: Signal, data: bytes, count: int) -> None:
        for outlet in self._outlets:
            outlet.put(signal, data, count)

    def losses(self) -> Iterator[Point]:
        """How much of what was recorded was lost on its way."""
        recorder = self._recorder
        found = [("ring", "spans", recorder.dropped), ("ring", "logs", self._lines.dropped)]
        found += [(each.name, "all", each.dropped + each.refused) for each in self._outlets]
        for where, what, count in found:
            yield Point(
                name="borough.telemetry.dropped",
                doc="Spans and log lines that were lost on their way",
                unit="1",
                kind="sum",
                service="borough",
                attributes={"where": where, "what": what},
                value=count,
            )
