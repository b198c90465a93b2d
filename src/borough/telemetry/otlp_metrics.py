"""Points as OTLP metrics: cumulative sums, gauges, exponential histograms of scale 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct

from borough.telemetry.durations import LOWEST, Durations
from borough.telemetry.measures import Point
from borough.telemetry.otlp import Attributes, Resource, Scope, fixed64, grouped
from borough.telemetry.protobuf import delimited, text, varint
from borough.telemetry.span import Span

__all__ = ["encode_metrics"]

_DOUBLE = Struct("<d").pack
_OF_NUMBER, _OF_HISTOGRAM = Attributes(7), Attributes(1)
_CUMULATIVE = b"\x10\x02"
_MONOTONIC = b"\x18\x01"


class _Times:
    """From when a value is cumulative, until when, and how spans' clock leads to that of the world."""

    __slots__ = ("fields", "now_ns", "offset_ns")

    def __init__(self, began_ns: int, now_ns: int, offset_ns: int) -> None:
        self.fields = fixed64(2, began_ns) + fixed64(3, now_ns)
        self.now_ns = now_ns
        self.offset_ns = offset_ns


def encode_metrics(
    points: Iterable[Point],
    resource_of: Callable[[str], Resource],
    scope: Scope,
    *,
    began_ns: int,
    now_ns: int,
    offset_ns: int,
) -> bytes:
    """`MetricsData`; times are nanoseconds since 1970, `offset_ns` leads there from the spans' clock."""
    times = _Times(began_ns, now_ns, offset_ns)
    metrics: dict[tuple[str, str], tuple[Point, list[bytes]]] = {}
    for point in points:
        found = metrics.setdefault((point.service, point.name), (point, []))
        found[1].append(delimited(1, _data_point(point, times)))
    groups: dict[str, list[bytes]] = {}
    for (service, _), (point, data) in metrics.items():
        groups.setdefault(service, []).append(_metric(point, b"".join(data)))
    return grouped(((resource_of(service), parts) for service, parts in groups.items()), scope)


def _metric(point: Point, data: bytes) -> bytes:
    head = text(1, point.name) + text(2, point.doc) + text(3, point.unit)
    if point.kind == "gauge":
        return delimited(2, head + delimited(5, data))
    if point.kind == "sum":
        return delimited(2, head + delimited(7, data + _CUMULATIVE + _MONOTONIC))
    return delimited(2, head + delimited(10, data + _CUMULATIVE))


def _data_point(point: Point, times: _Times) -> bytes:
    if point.durations is None:
        return _OF_NUMBER.all(point.attributes) + times.fields + b"\x21" + _DOUBLE(point.value)
    exemplar = b"" if point.exemplar is None else delimited(11, _exemplar(point.exemplar, times))
    return (
        _OF_HISTOGRAM.all(point.attributes) + times.fields + _histogram(point.durations) + exemplar
    )


def _histogram(durations: Durations) -> bytes:
    counts = durations.counts
    used = [exponent for exponent in range(LOWEST, len(counts) + LOWEST) if counts[exponent]]
    head = fixed64(4, durations.count) + b"\x29" + _DOUBLE(durations.total_s)
    if not used:
        return head
    first, last = used[0], used[-1]
    packed = b"".join(varint(counts[exponent]) for exponent in range(first, last + 1))
    # Their bucket `i` holds what is above 2^i and at most 2^(i+1).
    buckets = b"\x08" + varint(_zigzag(first - 1)) + delimited(2, packed)
    return head + b"\x30\x00" + delimited(8, buckets)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _exemplar(span: Span, times: _Times) -> bytes:
    at_ns = int(span.ended * 1e9) + times.offset_ns
    ids = bytes.fromhex(f"2208{span.trace.span_id}2a10{span.trace.trace_id}")
    return fixed64(2, at_ns) + b"\x19" + _DOUBLE(span.ended - span.began) + ids
