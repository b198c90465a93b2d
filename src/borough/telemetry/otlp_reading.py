"""OTLP read again, whoever wrote it: spans and log lines with the attributes of their resource.

What is unknown is left out, as protobuf asks; what cannot be read at all is `Unreadable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from struct import Struct
from typing import Any, cast

import msgspec

from borough.telemetry.protobuf import Unreadable, fields
from borough.telemetry.span import Value

__all__ = ["ReadLine", "ReadPoint", "ReadSpan", "read_logs", "read_metrics", "read_traces"]

_DOUBLE = Struct("<d").unpack
_AS_BYTES = Struct("<Q").pack
_Message = tuple[int, "int | bytes"]
_LARGEST = (1 << 63) - 1
"""Of a number that is kept: SQLite has no larger one."""
_DEEPEST = 32
"""Values of values: a deeper one is left out."""


class ReadSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span. Times are nanoseconds since 1970; `status` is 0 (unset), 1 (ok) or 2 (error)."""

    trace_id: str
    span_id: str
    parent: str
    service: str
    instance: str
    name: str
    kind: int
    began_ns: int
    ended_ns: int
    status: int
    message: str
    attributes: dict[str, Value]
    links: tuple[tuple[str, str], ...]


class ReadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A log line."""

    at_ns: int
    severity: int
    level: str
    text: str
    service: str
    trace_id: str
    span_id: str
    attributes: dict[str, Value]


class ReadPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a metric. Of durations `buckets` has counts by the exponent of the upper bound."""

    at_ns: int
    name: str
    service: str
    instance: str
    attributes: dict[str, Value]
    value: float
    count: int
    buckets: dict[int, int]


class _Resource:
    __slots__ = ("instance", "service")

    def __init__(self, attributes: Mapping[str, Value]) -> None:
        self.service = str(attributes.get("service.name", "unknown"))
        self.instance = str(attributes.get("service.instance.id", ""))


def read_traces(data: bytes) -> Iterator[ReadSpan]:
    """The spans of `TracesData`. Raises `Unreadable`."""
    for resource, body in _items(data):
        yield _span(resource, body)


def read_logs(data: bytes) -> Iterator[ReadLine]:
    """The lines of `LogsData`. Raises `Unreadable`."""
    for resource, body in _items(data):
        yield _line(resource, body)


def read_metrics(data: bytes) -> Iterator[ReadPoint]:
    """The points of `MetricsData` that are gauges, sums or exponential histograms. Raises `Unreadable`."""
    for resource, body in _items(data):
        name = ""
        for number, value in fields(body):
            if number == 1:
                name = _text(value)
            elif number in (5, 7, 10):
                for inner, point in fields(_body(value)):
                    if inner == 1:
                        yield _point(resource, name, _body(point), is_histogram=number == 10)


def _items(data: bytes) -> Iterator[tuple[_Resource, bytes]]:
    for number, group in fields(data):
        if number != 1:
            continue
        attributes: dict[str, Value] = {}
        scopes: list[bytes] = []
        for inner, value in fields(_body(group)):
            if inner == 1:
                attributes = _attributes(_body(value), 1)
            elif inner == 2:
                scopes.append(_body(value))
        resource = _Resource(attributes)
        for scope in scopes:
            for inner, value in fields(scope):
                if inner == 2:
                    yield resource, _body(value)


def _span(resource: _Resource, body: bytes) -> ReadSpan:
    trace_id = span_id = parent = name = message = ""
    kind = began_ns = ended_ns = status = 0
    attributes: dict[str, Value] = {}
    links: list[tuple[str, str]] = []
    for number, value in fields(body):
        if number == 1:
            trace_id = _body(value).hex()
        elif number == 2:
            span_id = _body(value).hex()
        elif number == 4:
            parent = _body(value).hex()
        elif number == 5:
            name = _text(value)
        elif number == 6:
            kind = _kept(value)
        elif number == 7:
            began_ns = _kept(value)
        elif number == 8:
            ended_ns = _kept(value)
        elif number == 9:
            _put(attributes, _body(value))
        elif number == 13:
            links.append(_link(_body(value)))
        elif number == 15:
            for inner, part in fields(_body(value)):
                if inner == 2:
                    message = _text(part)
                elif inner == 3:
                    status = _kept(part)
    return ReadSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent=parent,
        service=resource.service,
        instance=resource.instance,
        name=name,
        kind=kind,
        began_ns=began_ns,
        ended_ns=max(began_ns, ended_ns),
        status=status,
        message=message,
        attributes=attributes,
        links=tuple(links),
    )


def _link(body: bytes) -> tuple[str, str]:
    found = {number: value for number, value in fields(body) if number in (1, 2)}
    return _body(found.get(1, b"")).hex(), _body(found.get(2, b"")).hex()


def _line(resource: _Resource, body: bytes) -> ReadLine:
    found: dict[int, Any] = {}
    attributes: dict[str, Value] = {}
    for number, value in fields(body):
        if number == 6:
            _put(attributes, _body(value))
        else:
            found[number] = value
    said = _value(_body(found[5])) if 5 in found else ""
    return ReadLine(
        at_ns=_kept(found.get(1) or found.get(11) or 0),
        severity=_kept(found.get(2, 0)),
        level=_text(found.get(3, b"")),
        text=str(said),
        service=resource.service,
        trace_id=_body(found.get(9, b"")).hex(),
        span_id=_body(found.get(10, b"")).hex(),
        attributes=attributes,
    )


def _point(resource: _Resource, name: str, body: bytes, *, is_histogram: bool) -> ReadPoint:
    attributes: dict[str, Value] = {}
    at_ns = count = 0
    value_of = 0.0
    buckets: dict[int, int] = {}
    for number, value in fields(body):
        if number == (1 if is_histogram else 7):
            _put(attributes, _body(value))
        elif number == 3:
            at_ns = _kept(value)
        elif is_histogram and number == 4:
            count = _kept(value)
        elif number == (5 if is_histogram else 4):
            double = _double(value)
            value_of = double if isfinite(double) else 0.0
        elif not is_histogram and number == 6:
            value_of = float(_signed(_number(value)))
        elif is_histogram and number == 8:
            buckets = _buckets(_body(value))
    return ReadPoint(
        at_ns=at_ns,
        name=name,
        service=resource.service,
        instance=resource.instance,
        attributes=attributes,
        value=value_of,
        count=count,
        buckets=buckets,
    )


def _buckets(body: bytes) -> dict[int, int]:
    offset, counts = 0, [0]
    for number, value in fields(body):
        if number == 1:
            zigzag = _number(value)
            offset = (zigzag >> 1) ^ -(zigzag & 1)
        elif number == 2:
            counts = [_number(each) for _, each in fields(_tagged(_body(value)))]
    return {offset + 1 + index: count for index, count in enumerate(counts) if count}


def _tagged(packed: bytes) -> bytes:
    """Packed numbers, each as a field of its own: they are then read like all others."""
    out = bytearray()
    starts = True
    for byte in packed:
        if starts:
            out.append(0x08)
        out.append(byte)
        starts = byte < 128
    return bytes(out)


def _attributes(body: bytes, field: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for number, value in fields(body):
        if number == field:
            _put(found, _body(value))
    return found


def _put(found: dict[str, Value], pair: bytes) -> None:
    key, value = _pair(pair)
    found[key] = _value(value)


def _pair(body: bytes) -> tuple[str, bytes]:
    key, value = "", b""
    for number, part in fields(body):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = _body(part)
    return key, value


def _value(body: bytes) -> Value:
    found = _nested(body, 0)
    if isinstance(found, list | dict):  # once for all of it: quotes in quotes double their marks
        return msgspec.json.encode(found).decode()
    return cast("Value", found)


def _nested(body: bytes, depth: int) -> Any:
    for number, value in fields(body):
        if number == 1:
            return _text(value)
        if number == 2:
            return bool(value)
        if number == 3:
            return _signed(_number(value))
        if number == 4:
            double = _double(value)  # JSON, in which it is kept, has neither infinity nor NaN
            return double if isfinite(double) else str(double)
        if number == 7:
            return _body(value).hex()
        if number in (5, 6) and depth == _DEEPEST:
            return ""
        if number == 5:
            inner = [_body(each) for number, each in fields(_body(value)) if number == 1]
            return [_nested(each, depth + 1) for each in inner]
        if number == 6:
            pairs = [_pair(_body(each)) for number, each in fields(_body(value)) if number == 1]
            return {key: _nested(each, depth + 1) for key, each in pairs}
    return ""


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _double(value: int | bytes) -> float:
    return float(_DOUBLE(_AS_BYTES(_number(value)))[0])


def _number(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    raise Unreadable("a number was expected")


def _kept(value: int | bytes) -> int:
    return min(_number(value), _LARGEST)


def _body(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise Unreadable("a message was expected")


def _text(value: int | bytes) -> str:
    return _body(value).decode("utf-8", "replace")
