"""What recording costs: a local call untraced, unsampled and traced; record and encode beside OpenTelemetry's SDK."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import uvloop
from msgspec.structs import force_setattr

from benchmarks.children import SERVER_CORE, pinned
from benchmarks.report import Report
from benchmarks.servers import MARKET
from borough.runtime.client import Caller
from borough.runtime.footing import settle_memory
from borough.runtime.system import System
from borough.telemetry.otlp import Resource, Scope
from borough.telemetry.otlp_traces import SpanEncoder
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Kind, Shape
from borough.telemetry.trace import TraceContext
from borough.testing import start
from borough.transports.sight import Sight

WHAT = "one process on core 0; a span has six attributes, five of them given when it begins"
CALLS = 4_000
TURNS = 10
SPANS = 4_000
BATCH = 512
NAMES = ("http.request.method", "url.path", "tenant", "attempt", "app.order_id")
Values = Callable[[int], tuple[Any, ...]]


def measure(rounds: int) -> Report:
    """All of it, in turn."""
    report = Report("telemetry", WHAT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pinned(SERVER_CORE):
        runner.run(_calls(report, rounds))
        for name, values, bar in (
            ("repeated", _repeated, 15.0),
            ("all distinct", _distinct, 6.0),
        ):
            ours = report.new(f"borough, record and encode, {name}", "us/span")
            theirs = report.new(f"opentelemetry sdk, {name}", "us/span")
            for _ in range(rounds):
                ours.values.append(_ours(values))
                theirs.values.append(_theirs(values))
            ratio = theirs.over(ours, f"sdk over borough, {name}")
            report.hold(report.add(ratio), at_least=bar)
    return report


async def _calls(report: Report, rounds: int) -> None:
    """The least of several turns each: whatever else the machine does only adds."""
    untraced = report.new("local call, untraced", "us")
    unsampled = report.new("unsampled, more than untraced", "us")
    traced = report.new("traced, more than untraced", "us")
    async with start(System.load(MARKET)) as running:
        host = running._process.host
        caller = Caller("desk", host.clock)
        recorder = Recorder(host.clock.monotonic, host.clock.token)
        total, single = host.callees["pricing.Pricing.total"], host.callees["desk.Desk.single"]
        sight = Sight(total.operation, recorder)

        async def turn(seen: Sight | None, *, is_sampled: bool) -> float:
            call = caller.first_call()
            force_setattr(call, "trace", TraceContext("1" * 32, "2" * 16, is_sampled))
            single.sight, total.sight = None, seen
            took: float = await single.run((CALLS,), call)
            recorder.take()
            return took / 1e3

        await turn(sight, is_sampled=True)
        settle_memory()
        for _ in range(rounds):
            turns = [
                (
                    await turn(None, is_sampled=False),
                    await turn(sight, is_sampled=False),
                    await turn(sight, is_sampled=True),
                )
                for _ in range(TURNS)
            ]
            none, not_kept, kept = map(min, zip(*turns, strict=True))
            untraced.values.append(none)
            unsampled.values.append(not_kept - none)
            traced.values.append(kept - none)
    report.hold(unsampled, at_most=0.3)
    report.hold(traced, at_most=2.5)


def _repeated(number: int) -> tuple[Any, ...]:
    return "POST", "/orders", "acme", number % 3, f"o-{number % 10}"


def _distinct(number: int) -> tuple[Any, ...]:
    return f"POST{number}", f"/orders/{number}", f"tenant-{number}", number, f"o-{number}"


_RESOURCE = Resource({"service.name": "orders"})
_SHAPE = Shape("orders", "orders.Orders/place", Kind.SERVER, {"rpc.system": "borough"}, NAMES)


def _ours(values: Values) -> float:
    recorder = Recorder(time.monotonic, os.urandom)
    encoder = SpanEncoder(lambda _: _RESOURCE, Scope("borough", "0"))
    parent = recorder.start()
    given = [values(number) for number in range(SPANS)]
    started = time.perf_counter_ns()
    for value in given:
        recorder.note(_SHAPE, parent, recorder.monotonic(), values=value)
        if recorder.waiting == BATCH:
            encoder.encode(recorder.take(), 0)
    encoder.encode(recorder.take(), 0)
    return (time.perf_counter_ns() - started) / SPANS / 1e3


def _theirs(values: Values) -> float:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

    ended: list[ReadableSpan] = []

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Keep())
    tracer = provider.get_tracer("benchmarks")
    given = [
        {"rpc.system": "borough", **dict(zip(NAMES, values(n), strict=True))} for n in range(SPANS)
    ]
    started = time.perf_counter_ns()
    for attributes in given:
        tracer.start_span("orders.Orders/place", attributes=attributes).end()
        if len(ended) == BATCH:
            encode_spans(ended).SerializeToString()
            ended.clear()
    encode_spans(ended).SerializeToString()
    return (time.perf_counter_ns() - started) / SPANS / 1e3
