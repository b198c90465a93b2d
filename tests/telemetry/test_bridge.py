"""A library that is instrumented with OpenTelemetry records into the trace of the call that uses it."""

from __future__ import annotations

import pytest
from opentelemetry import propagate
from opentelemetry import trace as api
from opentelemetry.trace import SpanKind, Status, StatusCode

from borough.clock import SystemClock
from borough.observing.otel_bridge import _Provider
from borough.services.context import CURRENT, Call
from borough.telemetry.recorder import Recorder
from borough.telemetry.sampling import Sampler
from borough.telemetry.span import Kind, Span
from borough.telemetry.trace import TraceContext

CLOCK = SystemClock()
TRACE = TraceContext("a" * 32, "b" * 16, is_sampled=True)


class Library:
    """An instrumented library, and the recorder of the process."""

    def __init__(self, ratio: float = 1.0) -> None:
        self.recorder = Recorder(CLOCK.monotonic, CLOCK.token, Sampler(ratio))
        self.tracer = _Provider(self.recorder, CLOCK, "shop").get_tracer("library")

    def spans(self) -> list[Span]:
        return self.recorder.take()


@pytest.fixture
def library() -> Library:
    return Library()


def test_its_spans_stand_below_the_call_at_hand_and_each_other(library: Library) -> None:
    token = CURRENT.set(Call("o", "orders", None, None, float("inf"), TRACE))
    try:
        with library.tracer.start_as_current_span("outer", kind=SpanKind.CLIENT) as outer:
            outer.set_attribute("peer", "redis")
            outer.set_attributes({"count": 3, "tags": ["a", "b"]})
            library.tracer.start_span("inner").end()
    finally:
        CURRENT.reset(token)
    inner, outer_span = library.spans()
    assert outer_span.trace.trace_id == inner.trace.trace_id == TRACE.trace_id
    assert (outer_span.parent, inner.parent) == (TRACE.span_id, outer_span.trace.span_id)
    assert (outer_span.shape.service, outer_span.shape.kind) == ("orders", Kind.CLIENT)
    assert outer_span.attributes == {
        "otel.scope.name": "library",
        "peer": "redis",
        "count": 3,
        "tags": "a, b",
    }


def test_what_it_sends_names_its_span(library: Library) -> None:
    carrier: dict[str, str] = {}
    with library.tracer.start_as_current_span("request") as span:
        propagate.inject(carrier)
        context = span.get_span_context()
    assert carrier["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def test_what_it_has_read_from_a_header_is_the_parent(library: Library) -> None:
    context = propagate.extract({"traceparent": TRACE.traceparent})
    library.tracer.start_span("handled", context=context).end()
    (span,) = library.spans()
    assert (span.trace.trace_id, span.parent) == (TRACE.trace_id, TRACE.span_id)


def test_an_exception_and_an_error_status_are_failures(library: Library) -> None:
    with pytest.raises(ValueError), library.tracer.start_as_current_span("fails"):  # noqa: PT011
        raise ValueError("no")
    span = library.tracer.start_span("told")
    span.set_status(Status(StatusCode.ERROR, "it said so"))
    span.end()
    raised, told = library.spans()
    assert raised.failure is not None
    assert told.failure is not None
    assert raised.failure.kind == "ValueError"
    assert told.failure.detail == "it said so"


def test_links_names_and_times_are_its_own(library: Library) -> None:
    now_ns = int(CLOCK.epoch_s() * 1e9)
    other = api.SpanContext(1, 2, is_remote=True)
    span = library.tracer.start_span("a", links=[api.Link(other)], start_time=now_ns - 5 * 10**9)
    span.update_name("b")
    span.end(now_ns)
    span.end()
    (found,) = library.spans()
    assert found.shape.name == "b"
    assert abs(found.ended - found.began - 5) < 0.01
    assert list(found.links) == [("0" * 31 + "1", "0" * 15 + "2")]


def test_a_trace_that_is_not_sampled_is_not_recorded_and_is_passed_on_so() -> None:
    library = Library(ratio=0.0)
    carrier: dict[str, str] = {}
    with library.tracer.start_as_current_span("request") as span:
        assert not span.is_recording()
        propagate.inject(carrier)
    assert carrier["traceparent"].endswith("-00")
    assert library.spans() == []
