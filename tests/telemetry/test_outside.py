"""Requests to hosts that are no service: spans below the call at hand, counted, and edges of the console's map."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from threading import Barrier, BrokenBarrierError, local

import pytest
from opentelemetry.trace import SpanKind

from borough.alerting.bounds import Bounds
from borough.clock import SystemClock
from borough.console.counts import EdgeCounts, SystemCounts
from borough.console.facts import SystemView, with_own
from borough.console.memory import Memory
from borough.console.watch import Moment
from borough.console.windows import Windows
from borough.observing.otel_bridge import _Provider
from borough.runtime.options import Options
from borough.runtime.outside_sight import OutsideSight
from borough.services.context import CURRENT, Call
from borough.telemetry.measures import Measures
from borough.telemetry.recorder import Recorder
from borough.telemetry.sampling import Sampler
from borough.telemetry.span import Kind
from borough.telemetry.trace import TraceContext

CLOCK = SystemClock()
ISSUER = "issuer.example:8443"


def at_work(*, is_sampled: bool) -> Call:
    """A call to payments, sampled or not."""
    trace = TraceContext("a" * 32, "b" * 16, is_sampled)
    return Call("payments.Payments.charge", "payments", None, None, float("inf"), trace)


def counted(recorder: Recorder) -> list[tuple[str, str, int, int]]:
    """Who has asked which host, how often, and how often in vain."""
    return [
        (each.service, str(each.attributes["server.address"]), each.durations.count, each.faults)
        for each in recorder.measures.series()
        if each.name == "http.client.request.duration"
    ]


async def test_a_request_in_a_thread_is_a_span_below_the_call_with_the_hosts_address() -> None:
    recorder = Recorder(CLOCK.monotonic, CLOCK.token)
    outside = OutsideSight("payments", recorder)

    def ask() -> None:
        with outside.asking(ISSUER, "POST /charges"):
            raise TimeoutError("timed out")

    token = CURRENT.set(at_work(is_sampled=True))
    try:
        with suppress(TimeoutError):
            await asyncio.to_thread(ask)
    finally:
        CURRENT.reset(token)
    (span,) = recorder.take()
    assert (span.shape.service, span.shape.name) == ("payments", "POST /charges")
    assert (span.shape.kind, span.attributes["server.address"]) == (Kind.CLIENT, ISSUER)
    assert (span.trace.trace_id, span.parent) == ("a" * 32, "b" * 16)
    assert span.failure is not None
    assert span.failure.detail == "timed out"
    assert counted(recorder) == [("payments", ISSUER, 1, 1)]


@pytest.mark.parametrize(("fails", "spans"), [(False, 0), (True, 1)])
def test_in_a_trace_that_is_not_sampled_only_what_fails_is_a_span(fails: bool, spans: int) -> None:
    recorder = Recorder(CLOCK.monotonic, CLOCK.token)
    call = at_work(is_sampled=False)
    token = CURRENT.set(call)
    try:
        with suppress(OSError), OutsideSight("payments", recorder).asking(ISSUER, "POST /charges"):
            if fails:
                raise OSError("refused")
    finally:
        CURRENT.reset(token)
    found = recorder.take()
    assert [(each.is_partial, each.parent) for each in found] == [(True, call.partial)] * spans
    assert counted(recorder) == [("payments", ISSUER, 1, int(fails))]


def test_what_an_instrumented_library_asks_is_counted_and_its_database_is_not() -> None:
    recorder = Recorder(CLOCK.monotonic, CLOCK.token)
    tracer = _Provider(recorder, CLOCK, "shop").get_tracer("library")
    asked: list[dict[str, str | int]] = [
        {"server.address": "issuer.example", "server.port": 8443},
        {"server.address": "post.example", "server.port": 443},
        {"server.address": "db.example", "db.system.name": "redis"},
    ]
    for facts in asked:
        tracer.start_span("GET", kind=SpanKind.CLIENT, attributes=facts).end()
    tracer.start_span("GET", kind=SpanKind.SERVER, attributes={"server.address": "x"}).end()
    assert counted(recorder) == [("shop", ISSUER, 1, 0), ("shop", "post.example", 1, 0)]


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_what_an_instrumented_library_asks_in_vain_is_counted_whether_sampled_or_not(
    ratio: float,
) -> None:
    recorder = Recorder(CLOCK.monotonic, CLOCK.token, Sampler(ratio))
    tracer = _Provider(recorder, CLOCK, "shop").get_tracer("library")
    facts: dict[str, str | int] = {"server.address": "issuer.example", "server.port": 8443}
    with (
        suppress(ConnectionError),
        tracer.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes=facts),
    ):
        raise ConnectionError("refused")
    assert counted(recorder) == [("shop", ISSUER, 1, 1)]
    assert len(recorder.take()) == ratio


class Met(str):
    """A host at which threads that have not found it wait for each other for a moment, if they are let."""

    def __init__(self, _: str) -> None:
        self._together = Barrier(2)
        self._asked = local()

    __eq__ = str.__eq__

    def __hash__(self) -> int:
        self._asked.times = getattr(self._asked, "times", 0) + 1
        if self._asked.times == 2:  # the first was in vain
            with suppress(BrokenBarrierError):
                self._together.wait(0.1)
        return super().__hash__()


def test_threads_that_ask_a_new_host_at_once_count_into_one_series() -> None:
    measures, host = Measures(), Met(ISSUER)
    with ThreadPoolExecutor(2) as threads:
        met = [threads.submit(measures.outside, "payments", host) for _ in range(2)]
        found = {id(each.result()) for each in met}
    assert found == {id(each) for each in measures.series()}


def test_hosts_that_are_too_many_to_tell_apart_are_not_counted() -> None:
    recorder = Recorder(CLOCK.monotonic, CLOCK.token)
    for number in range(200):
        with OutsideSight("crawler", recorder).asking(f"h{number}.example", "GET"):
            pass
    assert len(counted(recorder)) == 100


def test_on_the_map_a_host_outside_is_an_edge_of_its_own_kind_unless_it_is_a_service() -> None:
    def asked(address: str) -> EdgeCounts:
        return EdgeCounts(
            kind="outside",
            caller="payments",
            callee=address,
            operation=address,
            count=3,
            failures=1,
            faults=1,
            buckets={-3: 3},
        )

    now = datetime(2026, 11, 26, tzinfo=UTC)
    edges = (asked(ISSUER), asked("orders"))
    counts = SystemCounts(
        state="ready", started_at=now, at=now, services={}, operations={}, edges=edges
    )
    empty = SystemView(name="shop", version="1", services=(), teams=(), calls=(), hearings=())
    view = with_own(empty, ["orders", "payments"], Options())
    memory, windows = Memory(200), Windows()
    memory.take(counts, 1.0)
    windows.add(0.0, {})
    found = Moment(view, counts, windows.changes(), memory, Bounds()).edges()
    assert list(found) == [f"outside payments {ISSUER}"]
    (edge,) = found.values()
    assert (edge.kind, edge.declared, edge.observed, edge.faults) == ("outside", False, True, 1)
