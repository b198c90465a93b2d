"""Metrics as OTLP: what the official classes read is what was measured, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    MetricsData,
)

from borough.telemetry.durations import Durations
from borough.telemetry.measures import Point, PointKind
from borough.telemetry.otlp import Resource, Scope
from borough.telemetry.otlp_metrics import encode_metrics
from borough.telemetry.span import Kind, Shape, Span
from borough.telemetry.trace import TraceContext
from tests.telemetry.test_otlp_traces import OFFSET_NS, SPAN, TRACE, attributes_of

BEGAN_NS, NOW_NS = 1_700_000_000_000_000_001, 1_700_000_060_000_000_002


def decoded(*points: Point) -> MetricsData:
    """As the official classes read them."""
    encoded = encode_metrics(
        points,
        lambda service: Resource({"service.name": service}),
        Scope("borough", "0.1"),
        began_ns=BEGAN_NS,
        now_ns=NOW_NS,
        offset_ns=OFFSET_NS,
    )
    return MetricsData.FromString(encoded)


def one(*points: Point) -> Metric:
    """The only metric."""
    ((metric,),) = (
        scope.metrics for each in decoded(*points).resource_metrics for scope in each.scope_metrics
    )
    return metric


def point(kind: PointKind, **fields: Any) -> Point:
    return Point(
        name="borough.thing", doc="How much of it", unit="1", kind=kind, service="orders", **fields
    )


def test_a_metric_says_whose_it_is_and_who_measured() -> None:
    (resource,) = decoded(point("gauge", value=1)).resource_metrics
    assert attributes_of(resource.resource.attributes) == {"service.name": "orders"}
    (scope,) = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("borough", "0.1")


@pytest.mark.parametrize("kind", ["gauge", "sum"])
def test_every_field_of_a_number_is_where_the_specification_has_it(kind: PointKind) -> None:
    first = point(kind, value=2.5, attributes={"topic": "orders.Orders", "n": 3, "on": True})
    metric = one(first, point(kind, value=7))
    assert (metric.name, metric.description, metric.unit) == (
        "borough.thing",
        "How much of it",
        "1",
    )
    assert metric.WhichOneof("data") == kind
    data = metric.gauge if kind == "gauge" else metric.sum
    one_point, other = data.data_points
    assert attributes_of(one_point.attributes) == {"topic": "orders.Orders", "n": 3, "on": True}
    assert (one_point.start_time_unix_nano, one_point.time_unix_nano) == (BEGAN_NS, NOW_NS)
    assert one_point.WhichOneof("value") == "as_double"
    assert (one_point.as_double, other.as_double) == (2.5, 7.0)
    if kind == "sum":
        assert metric.sum.is_monotonic
        assert metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE


def test_every_field_of_a_histogram_is_where_the_specification_has_it() -> None:
    durations = Durations()
    for seconds in (0.3, 0.3, 1.5, 3.0):
        durations.add(seconds)
    shape = Shape("orders", "orders.Orders/place", Kind.SERVER)
    span = Span(shape, TraceContext(TRACE, SPAN, is_sampled=True), "", 10.0, 11.5)
    metric = one(point("durations", durations=durations, exemplar=span, attributes={"n": 1}))
    histogram = metric.exponential_histogram
    assert histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    (found,) = histogram.data_points
    assert attributes_of(found.attributes) == {"n": 1}
    assert (found.start_time_unix_nano, found.time_unix_nano) == (BEGAN_NS, NOW_NS)
    assert (found.count, found.scale) == (4, 0)
    assert found.sum == pytest.approx(5.1)
    assert (found.zero_count, list(found.negative.bucket_counts)) == (0, [])
    # From 2^-2: two of 0.25 to 0.5 s, none up to 1 s, one up to 2 s, one up to 4 s.
    assert (found.positive.offset, list(found.positive.bucket_counts)) == (-2, [2, 0, 1, 1])
    (exemplar,) = found.exemplars
    assert exemplar.time_unix_nano == OFFSET_NS + 11_500_000_000
    assert exemplar.as_double == 1.5
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (TRACE, SPAN)


def test_a_histogram_of_nothing_counts_nothing() -> None:
    (found,) = one(point("durations", durations=Durations())).exponential_histogram.data_points
    assert (found.count, found.sum, len(found.positive.bucket_counts)) == (0, 0.0, 0)
    assert not found.exemplars


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(2.0**-29, 2.0**32), min_size=1, max_size=30))
def test_any_duration_lies_in_the_bucket_that_counts_it(taken: list[float]) -> None:
    durations = Durations()
    for seconds in taken:
        durations.add(seconds)
    (found,) = one(point("durations", durations=durations)).exponential_histogram.data_points
    buckets = found.positive
    assert sum(buckets.bucket_counts) == found.count == len(taken)
    for index, count in enumerate(buckets.bucket_counts):
        # They have a bucket without its lower bound and with its upper one, we the other way round.
        lower, upper = 2.0 ** (buckets.offset + index), 2.0 ** (buckets.offset + index + 1)
        assert count == sum(lower <= seconds < upper for seconds in taken)


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False), st.integers(0, 2**63 - 1))
def test_any_number_comes_out_as_it_went_in(gauge: float, total: int) -> None:
    assert one(point("gauge", value=gauge)).gauge.data_points[0].as_double == gauge
    assert one(point("sum", value=total)).sum.data_points[0].as_double == float(total)
