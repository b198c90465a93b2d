"""Spans as OTLP: what the official classes read is what was recorded, field by field."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from borough.telemetry.otlp import Resource, Scope
from borough.telemetry.otlp_traces import SpanEncoder
from borough.telemetry.span import Failure, Kind, Shape, Span, Value, twin_id
from borough.telemetry.trace import TraceContext

ENCODER = SpanEncoder(
    lambda service: Resource({"service.name": service, "service.version": "1.2"}),
    Scope("borough", "0.1"),
)
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
OFFSET_NS = 1_700_000_000_000_000_000


def decoded(*spans: Span) -> list[tuple[dict[str, Any], Any]]:
    """Each span with the attributes of its resource, as the official classes read them."""
    data = TracesData.FromString(ENCODER.encode(spans, OFFSET_NS))
    return [
        (attributes_of(resource.resource.attributes), span)
        for resource in data.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes_of(pairs: Any) -> dict[str, Any]:
    """Attributes by name."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def test_every_field_of_a_span_is_where_the_specification_has_it() -> None:
    shape = Shape(
        "orders", "orders.Orders/place", Kind.SERVER, {"rpc.system": "borough"}, ("n", "id")
    )
    trace = TraceContext(TRACE, SPAN, True, "vendor=1")
    failure = Failure("ServiceFailure", "it broke")
    links = [(TRACE, PARENT)]
    ((resource, span),) = decoded(
        Span(shape, trace, PARENT, 1.5, 2.25, failure, (7, "o1"), links, False)
    )
    assert resource == {"service.name": "orders", "service.version": "1.2"}
    assert span.trace_id.hex() == TRACE
    assert span.span_id.hex() == SPAN
    assert span.parent_span_id.hex() == PARENT
    assert span.trace_state == "vendor=1"
    assert span.name == "orders.Orders/place"
    assert span.kind == 2
    assert span.start_time_unix_nano == OFFSET_NS + 1_500_000_000
    assert span.end_time_unix_nano == OFFSET_NS + 2_250_000_000
    assert attributes_of(span.attributes) == {
        "rpc.system": "borough",
        "n": 7,
        "id": "o1",
        "error.type": "ServiceFailure",
    }
    assert (span.status.code, span.status.message) == (2, "it broke")
    assert span.flags == 1
    (link,) = span.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE, PARENT)


def test_a_root_has_no_parent_and_a_span_that_went_well_no_status() -> None:
    ((_, span),) = decoded(
        Span(Shape("a", "b", Kind.INTERNAL), TraceContext(TRACE, SPAN, is_sampled=True), "", 1, 2)
    )
    assert span.parent_span_id == b""
    assert not span.HasField("status")


def test_a_local_call_is_read_as_both_of_its_sides() -> None:
    outer = Shape("desk", "pricing.Pricing/total", Kind.CLIENT, {"peer.service": "pricing"})
    inner = Shape("pricing", "pricing.Pricing/total", Kind.SERVER, twin=outer)
    recorded = Span(inner, TraceContext(TRACE, SPAN, is_sampled=True), PARENT, 1, 2)
    (one, client), (two, server) = decoded(recorded)
    assert (one["service.name"], two["service.name"]) == ("desk", "pricing")
    assert client.parent_span_id.hex() == PARENT
    assert client.span_id.hex() == server.parent_span_id.hex() == twin_id(SPAN)
    assert server.span_id.hex() == SPAN
    assert [span.trace.span_id for span in recorded.both()] == [twin_id(SPAN), SPAN]


def test_what_is_no_fault_has_an_error_type_and_no_error_status() -> None:
    lost = Failure("Lost", "", is_fault=False)
    ((_, span),) = decoded(
        Span(
            Shape("a", "b", Kind.SERVER), TraceContext(TRACE, SPAN, is_sampled=True), "", 1, 2, lost
        )
    )
    assert attributes_of(span.attributes) == {"error.type": "Lost"}
    assert span.status.code == 0


def test_a_partial_span_says_so() -> None:
    ((_, span),) = decoded(
        Span(Shape("a", "b", Kind.SERVER), TraceContext(TRACE, SPAN), "", 1, 2, is_partial=True)
    )
    assert attributes_of(span.attributes) == {"borough.partial": True}
    assert span.flags == 0


VALUES: st.SearchStrategy[Value] = (
    st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(min_size=1), VALUES), st.lists(VALUES | st.none(), max_size=6))
def test_any_attribute_comes_out_as_it_went_in(
    fixed: dict[str, Value], values: list[Value | None]
) -> None:
    names = tuple(f"borough.value.{number}" for number in range(len(values)))
    shape = Shape("a", "b", Kind.CLIENT, fixed, names)
    span = Span(
        shape, TraceContext(TRACE, SPAN, is_sampled=True), PARENT, 1, 2, values=tuple(values)
    )
    expected = {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in span.attributes.items()
    }
    ((_, read),) = decoded(span)
    assert attributes_of(read.attributes) == expected


@pytest.mark.parametrize("length", [0, 1, 90, 120, 127, 128, 200, 3000, 20_000])
def test_texts_of_any_length_are_carried_and_the_longest_are_cut(length: int) -> None:
    shape = Shape("a", "b", Kind.CLIENT, {}, ("text",))
    span = Span(shape, TraceContext(TRACE, SPAN, is_sampled=True), "", 1, 2, values=("x" * length,))
    ((_, read),) = decoded(span)
    assert len(attributes_of(read.attributes)["text"]) == min(length, 4096)


def test_long_texts_that_never_come_again_leave_little_behind() -> None:
    trace = TraceContext(TRACE, SPAN, is_sampled=True)
    shape = Shape("a", "b", Kind.SERVER, {}, ("url.path",))
    tracemalloc.start()
    try:
        for number in range(400):
            path = f"/{number}" + "x" * 8000
            ENCODER.encode([Span(shape, trace, "", 1, 2, values=(path,))], OFFSET_NS)
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
