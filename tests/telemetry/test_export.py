"""What is recorded leaves in batches; a collector that is away costs a bounded memory and nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from borough.clock import SystemClock
from borough.errors import CallError, ConfigurationError, ServiceFailure, Unavailable
from borough.observing.collector import CollectorSink
from borough.observing.outlet import Outlet
from borough.ports import Signal
from borough.testing.clock import ManualClock
from borough.transports.http.external import place_at
from tests.telemetry.caravan import Seen, caravan
from tests.telemetry.collector import Collector


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    await collector.open()
    yield collector
    await collector.go_away()


async def order(seen: Seen, count: int) -> None:
    for number in range(count):
        await seen.front().place(f"o{number}")


async def test_spans_metrics_and_logs_come_to_the_collector_that_is_named(
    collector: Collector,
) -> None:
    async with caravan(endpoint=collector.url, every_s=0.05, metrics_every_s=0.2) as seen:
        with suppress(CallError):
            await seen.front().place("o1", "badly")
        await seen.front().place("o2")
        await seen.running.quiet()
        await collector.until(lambda: len(collector.spans()) >= 12)
        await collector.until(lambda: "crier borough.events.lag" in collector.metrics())
        await collector.until(lambda: bool(collector.lines()))
    names = {span.name for span in collector.spans()}
    assert {"front.Front/place", "depot.Depot/fetch", "process front.Front.Placed"} <= names
    calls = collector.metrics()["depot rpc.server.call.duration"].exponential_histogram
    (point,) = calls.data_points
    assert (calls.aggregation_temporality, point.count, point.scale) == (2, 2, 0)
    assert sum(point.positive.bucket_counts) == 2
    # Exponent i of theirs covers (2^i, 2^(i+1)] seconds: a call within the process is no slower than 1 s.
    assert -24 < point.positive.offset < 0
    assert len(point.exemplars[0].trace_id) == 16
    failed = collector.metrics()["depot rpc.server.call.failures"].sum
    assert failed.is_monotonic
    assert failed.data_points[0].as_double == 1
    assert "crier borough.events.lag" in collector.metrics()
    broken = [
        line for line in collector.lines() if "depot.Depot.fetch failed" in line.body.string_value
    ]
    assert broken
    assert (broken[0].severity_number, broken[0].severity_text) == (17, "ERROR")
    assert "the shelf broke" in broken[0].body.string_value
    assert len(broken[0].trace_id) == 16


async def test_a_collector_that_goes_away_and_comes_back_misses_only_what_there_was_no_room_for(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    async with caravan(endpoint=collector.url, every_s=0.02) as seen:
        await order(seen, 3)
        await collector.until(lambda: len(collector.spans()) >= 3)
        await collector.go_away()
        await order(seen, 20)
        async with asyncio.timeout(20):
            while "takes no telemetry now" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await collector.open()
        await collector.until(
            lambda: sum(s.name == "front.Front/place" for s in collector.spans()) == 23
        )


async def test_a_collector_that_refuses_is_not_asked_again_for_the_same(
    collector: Collector,
) -> None:
    collector.status = 400
    async with caravan(endpoint=collector.url, every_s=0.02) as seen:
        await order(seen, 1)
        await collector.until(lambda: collector.asked > 0)
        (outlet,) = seen.running.observer.outlets
    assert outlet.refused > 0
    assert outlet.waiting_bytes == outlet.dropped == 0


async def test_what_a_collector_takes_only_in_part_is_counted_and_told(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    partly = ExportTracePartialSuccess(rejected_spans=2, error_message="too\x1b[2J old")
    collector.answer = ExportTraceServiceResponse(partial_success=partly).SerializeToString()
    sink = CollectorSink(place_at(collector.url, "telemetry.endpoint"), {})
    outlet = Outlet("the collector", sink, SystemClock())
    outlet.start()
    for count in (5, 1):
        outlet.put("traces", b"", count)
    await outlet.stop(20)
    assert (outlet.sent, outlet.refused) == (3, 3)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == "the collector has refused a part of traces: too\N{REPLACEMENT CHARACTER}[2J old"


async def test_a_header_that_cannot_be_had_keeps_the_system_from_starting(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", "a-long-secret")
    headers = {"x-key": "env:COLLECTOR_KEY"}
    with pytest.raises(ConfigurationError, match="the environment has no COLLECTOR_KEY"):
        async with caravan(endpoint=collector.url, headers=headers):
            pass  # tests have an environment of their own, which is empty


class Away:
    """A sink that takes nothing until it is told to."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        self.is_away = True
        self.retry_after_s = retry_after_s
        self.refuses: set[Signal] = set()
        self.taken: list[bytes] = []

    async def write(self, signal: Signal, data: bytes) -> None:
        await asyncio.sleep(0)
        if self.is_away:
            raise Unavailable("nobody there", retry_after_s=self.retry_after_s)
        if data == b"bad" or signal in self.refuses:
            raise ServiceFailure("no")
        self.taken.append(data)

    async def close(self) -> None:
        pass


async def test_a_queue_is_bounded_and_counts_what_it_drops_oldest_first() -> None:
    sink, clock = Away(), ManualClock()
    outlet = Outlet("away", sink, clock, room=1000)
    outlet.start()
    for number in range(200):
        outlet.put("traces", b"%03d" % number * 33, 10)
        await asyncio.sleep(0)
        assert outlet.waiting_bytes <= 1000
    sink.is_away = False
    for _ in range(100):
        clock.advance(60)
        await asyncio.sleep(0)
    assert outlet.sent == 10 * len(sink.taken)
    assert outlet.dropped == 2000 - outlet.sent
    assert sink.taken[-1] == b"199" * 33
    outlet.put("traces", b"bad", 7)
    outlet.put("traces", b"good", 1)
    await outlet.stop(5)
    assert outlet.refused == 7
    assert sink.taken[-1] == b"good"


async def test_a_sink_may_say_when_to_come_back_and_not_for_ever() -> None:
    sink, clock = Away(retry_after_s=1e9), ManualClock()
    outlet = Outlet("away", sink, clock)
    outlet.start()
    outlet.put("traces", b"spans", 3)
    while not clock._sleepers:  # noqa: ASYNC110
        await asyncio.sleep(0)
    sink.is_away = False
    clock.advance(300)
    await outlet.stop(30)
    assert (outlet.sent, sink.taken) == (3, [b"spans"])


async def test_a_sink_that_takes_traces_alone_is_complained_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = Away()
    sink.is_away = False
    sink.refuses.add("metrics")
    outlet = Outlet("away", sink, SystemClock())
    outlet.start()
    for _ in range(3):
        outlet.put("metrics", b"m", 1)
        outlet.put("traces", b"t", 1)
    await outlet.stop(5)
    assert (outlet.sent, outlet.refused) == (3, 3)
    assert [record.getMessage() for record in caplog.records] == ["away has refused metrics: no"]


async def test_a_sink_that_stays_away_does_not_hold_up_the_end() -> None:
    outlet = Outlet("away", Away(), SystemClock())
    outlet.start()
    outlet.put("logs", b"x", 3)
    async with asyncio.timeout(20):
        await outlet.stop(0.05)


def test_lines_about_telemetry_are_not_sent() -> None:
    from borough.observing.log_lines import LogLines

    lines = LogLines("shop")
    for name in ("borough.telemetry", "borough.events"):
        lines.handle(logging.LogRecord(name, logging.INFO, "", 1, "said", (), None))
    assert [line.logger for line in lines.take()] == ["borough.events"]
