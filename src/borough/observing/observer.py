"""All of a process's telemetry together: the exporter with its outlets, the metrics, the loop's delay.

It runs for every process that serves, also where nobody takes what is recorded: metrics are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.observing.collector import CollectorSink, collector_of
from borough.observing.exporter import Exporter
from borough.observing.gathering import process_points
from borough.observing.log_lines import LogLines
from borough.observing.outlet import Outlet
from borough.observing.resources import Resources
from borough.ports import SpanSink
from borough.runtime.configuration import Configuration
from borough.services.context import where
from borough.telemetry.durations import Durations
from borough.telemetry.logs import style_logs
from borough.telemetry.measures import Point
from borough.telemetry.openmetrics import open_metrics
from borough.telemetry.otlp import Scope
from borough.telemetry.recorder import Recorder
from borough.transports.http.external import place_at

__all__ = ["Observer"]

_LOOK_S = 0.2
_SETTLE_EACH = 5


class Observer:
    """Observes one process. `sinks` are further ones, by name; `points` are those of what runs in it."""

    def __init__(
        self,
        configuration: Configuration,
        recorder: Recorder | None,
        clock: Clock,
        *,
        version_of: Callable[[str], str],
        points: Callable[[], AsyncIterator[Point]],
    ) -> None:
        self.sinks: dict[str, SpanSink] = {}
        self.outlets: list[Outlet] = []
        self._configuration = configuration
        self._recorder = recorder
        self._clock = clock
        self._version_of = version_of
        self._points = points
        self._loop_delay = Durations()
        self._began_s = clock.epoch_s()
        self._exporter: Exporter | None = None
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in a running loop. Raises `ConfigurationError` for a collector that is named wrongly."""
        style_logs(self._configuration.options.telemetry.logs, where)
        if self._recorder is None:
            return
        if self._configuration.options.telemetry.bridge:
            self._bridge(self._recorder)
        keeper = self._configuration.options.telemetry.keeper
        if keeper is not None and "the keeper" not in self.sinks:  # which may be in this process
            self.sinks["the keeper"] = CollectorSink(place_at(keeper, "telemetry.keeper"), {})
        collector = collector_of(self._configuration)
        if collector is not None:
            self.sinks["the collector"] = collector
        self.outlets = [Outlet(name, sink, self._clock) for name, sink in self.sinks.items()]
        if self.outlets:
            self._exporter = self._make_exporter(self._recorder)
            self._exporter.start()
        self._watching = asyncio.create_task(self._watch(self._recorder), name="loop delay")

    def _bridge(self, recorder: Recorder) -> None:
        try:
            from borough.observing.otel_bridge import install_bridge
        except ImportError as error:
            raise ConfigurationError(
                "telemetry.bridge needs OpenTelemetry's API: pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH[otel]'"
            ) from error
        install_bridge(recorder, self._clock, self._configuration.options.system.name)

    def _make_exporter(self, recorder: Recorder) -> Exporter:
        name = self._configuration.options.system.name
        instance = self._clock.token(8).hex()
        resources = Resources(name, instance, self._version_of, self._configuration.environment)
        return Exporter(
            recorder,
            resources,
            Scope("borough", _own_version()),
            self._clock,
            self.outlets,
            LogLines(name),
            self.gather,
            self._configuration.options.telemetry,
        )

    async def _watch(self, recorder: Recorder) -> None:
        """See how late the loop is, and count what was put down on hot paths."""
        loop, looks = asyncio.get_running_loop(), 0
        while True:
            due = loop.time() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            self._loop_delay.add(max(0.0, loop.time() - due))
            looks += 1
            if not looks % _SETTLE_EACH:
                recorder.measures.series()

    async def gather(self) -> AsyncIterator[Point]:
        """Every metric of this moment."""
        async for point in self._points():
            yield point
        for point in process_points(self._loop_delay, self._began_s):
            yield point

    async def metrics(self) -> bytes:
        """The same as OpenMetrics."""
        points = [point async for point in self.gather()]
        if self._exporter is not None:
            # Told here, too: a collector that is away never hears of them.
            points += self._exporter.losses()
        return open_metrics(points, self._clock.epoch_s() - self._clock.monotonic())

    async def flush(self) -> None:
        """Hand what was recorded to the outlets now."""
        if self._exporter is not None:
            await self._exporter.flush()

    async def stop(self, grace_s: float) -> None:
        """Send what there is, within the grace. Idempotent."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            await exporter.stop(grace_s)

    def state(self) -> Mapping[str, tuple[int, int]]:
        """What each outlet has sent, and lost."""
        return {each.name: (each.sent, each.dropped + each.refused) for each in self.outlets}


def _own_version() -> str:
    try:
        return version("borough")
    except PackageNotFoundError:  # run from a tree that is not installed
        return "0"
