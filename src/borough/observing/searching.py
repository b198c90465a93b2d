"""Questions to what is kept: traces by what is known of them, one trace whole, who called whom.

These are for a thread or a command: each reads what has come since the last look before it answers,
for at most a few hundred batches. The console's endpoints and `borough trace` ask nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import msgspec

from borough.observing.store import TelemetryFile
from borough.observing.trace_view import TraceView, view_of
from borough.telemetry.durations import Durations
from borough.telemetry.otlp_reading import ReadLine, ReadPoint, ReadSpan, read_metrics
from borough.telemetry.protobuf import Unreadable

__all__ = [
    "ObservedEdge",
    "TraceFilter",
    "TraceSummary",
    "find_traces",
    "gathered_ns",
    "observed_edges",
    "trace_of",
]

_SPANS, _LINES = ", ".join(ReadSpan.__struct_fields__), ", ".join(ReadLine.__struct_fields__)
_MOST_SPANS = 20_000
_SENT_S = 1.0
"""How long it takes at most to read, send and write what a process has recorded."""
_NOT_SCHEDULED = """
not exists (select 1 from spans as root where root.trace_id = spans.trace_id and root.parent = ''
 and root.name glob 'every *' and root.status <> 2)
"""
_TRACE_ID = re.compile(r"[0-9a-f]{32}\Z").match
_attributes = msgspec.json.Decoder(dict[str, str | bool | int | float]).decode
_links = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


class TraceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; what is not given may be anything.

    `text` is a value that names a thing, such as an order's id, also as `NAME=VALUE`; or a trace id.
    `service`, `operation` (a part of the name), `longer_than_ms` and a status of `error` hold together for any one
    span of the trace, be it the answer or the handling of an event long after; that of a service is also one
    by which somebody asked it, such as the door, for who is refused there never comes to the service. It may be
    the address of a host outside. `ok` and `shorter_than_ms` hold for all of a trace, and for none that is still
    coming in. Without `schedules`, what a schedule has begun is left out, unless it failed.
    """

    service: str | None = None
    operation: str | None = None
    status: Literal["ok", "error"] | None = None
    longer_than_ms: float | None = None
    shorter_than_ms: float | None = None
    text: str | None = None
    since_ns: int = 0
    schedules: bool = True
    limit: int = 50


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The span that took as long as was asked for, where that is not the one that answered."""

    span_id: str
    name: str
    service: str
    duration_ms: float


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A trace in a list."""

    trace_id: str
    name: str
    service: str
    began_ns: int
    duration_ms: float
    spans: int
    services: tuple[str, ...]
    error: bool
    is_partial: bool
    is_coming: bool
    why: str
    found: Found | None = None


class ObservedEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Who called, or heard, whom: as the metrics have it since each process began.

    Of events `caller` is the publisher and `callee` who heard. Times are milliseconds. Calls are counted
    where they are answered; those to services elsewhere, which tell nothing here, where they are made.
    """

    kind: Literal["call", "event"]
    caller: str
    callee: str
    operation: str
    count: int
    failures: int
    """Also declared problems, and what the caller did wrong."""
    faults: int
    """Those failures that are the fault of who answers."""
    per_s: float
    p50_ms: float
    p95_ms: float


def gathered_ns(now_s: float, pace_s: float = 1.0) -> int:
    """What ended before has come from every process that hands over each `pace_s` seconds: nanoseconds since 1970."""
    return int((now_s - 2 * pace_s - _SENT_S) * 1e9)


def find_traces(
    file: TelemetryFile, asked: TraceFilter, *, gathered_ns: int | None = None
) -> list[TraceSummary]:
    """The latest traces that fit, the newest first.

    What ended before `gathered_ns` has been handed over by all processes; None: everything has.
    """
    text = asked.text
    if text:
        file.settle("traces", containing=_needles(text))
    else:
        file.settle("traces")
    where, values = _conditions(asked)
    found = file.rows(
        f"select trace_id, max(began_ns) as latest from spans where {where} "
        "group by trace_id order by latest desc limit ?",
        (*values, asked.limit * 4),
    )
    if text:  # what belongs to those traces may stand in other batches
        file.settle("traces", containing=_trace_ids([each for each, _ in found]))
    summaries: list[TraceSummary] = []
    for trace_id, _ in found:
        view = trace_of(file, trace_id, with_lines=False, is_settled=True, gathered_ns=gathered_ns)
        if view is not None and _fits(view, asked):
            longest = None
            if asked.longer_than_ms is not None:
                longest = _longest(file, view, where, values)
            summaries.append(_summary(view, longest))
            if len(summaries) == asked.limit:
                break
    return summaries


def _needles(text: str) -> list[bytes]:
    """What a batch holds that has the value, or the trace."""
    value = text.rpartition("=")[2]
    found = [value.encode()]
    return found + _trace_ids([value])


def _trace_ids(texts: Sequence[str]) -> list[bytes]:
    """Those that are whole trace ids, as a batch holds them."""
    return [bytes.fromhex(text) for text in texts if _TRACE_ID(text)]


def _conditions(asked: TraceFilter) -> tuple[str, list[Any]]:
    where: list[str] = ["began_ns >= ?"]
    values: list[Any] = [asked.since_ns]
    conditions: list[tuple[str, Any]] = []
    if asked.service is not None:
        name = msgspec.json.encode(asked.service).decode()
        where.append("(service = ? or instr(attributes, ?) > 0 or instr(attributes, ?) > 0)")
        values += [asked.service, f'"peer.service":{name}', f'"server.address":{name}']
    if asked.operation is not None:
        conditions.append(("instr(lower(name), ?) > 0", asked.operation.lower()))
    if asked.status == "error":
        conditions.append(("status = ?", 2))
    if asked.longer_than_ms is not None:
        conditions.append(("ended_ns - began_ns >= ?", int(asked.longer_than_ms * 1e6)))
    if asked.text is not None:
        text = asked.text
        where.append("(trace_id = ? or trace_id in (select trace_id from words where word = ?))")
        values += [text, text]
    if not asked.schedules:
        where.append(_NOT_SCHEDULED)
    for condition, value in conditions:
        where.append(condition)
        values.append(value)
    return " and ".join(where), values


def _fits(view: TraceView, asked: TraceFilter) -> bool:
    """What one span cannot tell: that no span is bad, or long. Of half a trace nobody knows."""
    if asked.status == "ok" and (view.error or view.is_coming):
        return False
    if asked.shorter_than_ms is None:
        return True
    return not view.is_coming and view.duration_ms <= asked.shorter_than_ms


def _longest(
    file: TelemetryFile, view: TraceView, where: str, values: Sequence[Any]
) -> Found | None:
    """Of the spans of a trace that fit the longest, unless that is what answered."""
    rows = file.rows(
        "select span_id, name, service, ended_ns - began_ns from spans "
        f"where trace_id = ? and {where} order by ended_ns - began_ns desc limit 1",
        (view.trace_id, *values),
    )
    for span_id, name, service, took_ns in rows:
        if span_id != view.rows[0].span.span_id:
            return Found(span_id=span_id, name=name, service=service, duration_ms=took_ns / 1e6)
    return None


def _summary(view: TraceView, found: Found | None) -> TraceSummary:
    return TraceSummary(
        trace_id=view.trace_id,
        name=view.name,
        service=view.service,
        began_ns=view.began_ns,
        duration_ms=view.duration_ms,
        spans=len(view.rows),
        services=view.services,
        error=view.error,
        is_partial=view.is_partial,
        is_coming=view.is_coming,
        why=view.why,
        found=found,
    )


def trace_of(
    file: TelemetryFile,
    trace_id: str,
    *,
    with_lines: bool = True,
    is_settled: bool = False,
    gathered_ns: int | None = None,
) -> TraceView | None:
    """A trace whole, with what was logged in it; None where nothing is kept of it.

    `trace_id` may be the beginning of one, where it is the beginning of only one. For `gathered_ns` see `find_traces`.
    """
    if not is_settled:
        needles = _trace_ids([trace_id])
        file.settle("traces", containing=needles)
        file.settle("logs", containing=needles)
    if len(trace_id) < 32:
        found = file.rows(
            "select distinct trace_id from spans where trace_id >= ? and trace_id < ? limit 2",
            (trace_id, trace_id + "g"),
        )
        if len(found) != 1:
            return None
        trace_id = found[0][0]
    rows = file.rows(
        f"select {_SPANS} from spans where trace_id = ? limit {_MOST_SPANS}", (trace_id,)
    )
    lines: list[ReadLine] = []
    if with_lines:
        said = file.rows(f"select {_LINES} from lines where trace_id = ?", (trace_id,))
        lines = [_read_line(row) for row in said]
    return view_of([_read_span(row) for row in rows], lines, gathered_ns=gathered_ns)


def _read_span(row: Sequence[Any]) -> ReadSpan:
    *plain, attributes, links = row
    values = dict(zip(ReadSpan.__struct_fields__, plain, strict=False))
    return ReadSpan(**values, attributes=_attributes(attributes), links=_links(links))


def _read_line(row: Sequence[Any]) -> ReadLine:
    *plain, attributes = row
    values = dict(zip(ReadLine.__struct_fields__, plain, strict=False))
    return ReadLine(**values, attributes=_attributes(attributes))


def observed_edges(file: TelemetryFile, since_ns: int = 0) -> list[ObservedEdge]:
    """Who called whom and who heard whom, by operation, counted since `since_ns`."""
    first: dict[Any, ReadPoint] = {}
    last: dict[Any, ReadPoint] = {}
    for (body,) in file.rows(
        "select body from batches where signal = 'metrics' and at_ns >= ? order by id", (since_ns,)
    ):
        try:
            for point in read_metrics(body):
                if point.name in _EDGES or point.name.endswith((_FAILURES, _FAULTS)):
                    key = (
                        point.instance,
                        point.service,
                        point.name,
                        *sorted(point.attributes.items()),
                    )
                    first.setdefault(key, point)
                    last[key] = point
        except Unreadable:
            continue
    return sorted(_edges(first, last), key=lambda edge: (edge.kind, edge.caller, edge.callee))


_EDGES = {
    "rpc.server.call.duration": "call",
    "rpc.client.call.duration": "call",
    "messaging.process.duration": "event",
}
_FAILURES, _FAULTS = ".failures", ".faults"
_Stretch = tuple[int, int, int]
"""From when to when a process was heard of, in nanoseconds since 1970, and how many it counted meanwhile."""


def _edges(first: dict[Any, ReadPoint], last: dict[Any, ReadPoint]) -> Iterable[ObservedEdge]:
    merged: dict[tuple[str, str, str, str], tuple[Durations, list[_Stretch]]] = {}
    counted: dict[tuple[str, str, str, str], Counter[str]] = {}
    here = {point.service for point in last.values() if point.name.startswith("rpc.server.call")}
    for key, point in last.items():
        edge = _edge_of(point, here)
        if edge is None:
            continue
        kind_of_failure = next(
            (end for end in (_FAILURES, _FAULTS) if point.name.endswith(end)), ""
        )
        if kind_of_failure:
            counted.setdefault(edge, Counter())[kind_of_failure] += int(point.value)
            continue
        durations, stretches = merged.setdefault(edge, (Durations(), []))
        for exponent, count in point.buckets.items():
            if -30 <= exponent < 33:
                durations.counts[exponent] += count
        before = first[key]
        stretches.append((before.at_ns, point.at_ns, max(0, point.count - before.count)))
    for edge, (durations, stretches) in merged.items():
        kind, caller, callee, operation = edge
        yield ObservedEdge(
            kind="call" if kind == "call" else "event",
            caller=caller,
            callee=callee,
            operation=operation,
            count=durations.count,
            failures=counted[edge][_FAILURES] if edge in counted else 0,
            faults=counted[edge][_FAULTS] if edge in counted else 0,
            per_s=_rate(stretches),
            p50_ms=durations.quantile(0.5) * 1e3,
            p95_ms=durations.quantile(0.95) * 1e3,
        )


def _rate(stretches: Sequence[_Stretch]) -> float:
    """By the second, from the first that was heard of any process to the last: one may have followed another."""
    took_ns = max(end for _, end, _ in stretches) - min(begin for begin, _, _ in stretches)
    return sum(count for _, _, count in stretches) / took_ns * 1e9 if took_ns > 0 else 0.0


def _edge_of(point: ReadPoint, here: Collection[str]) -> tuple[str, str, str, str] | None:
    """Whose point it is; `here` are the services that count themselves what they are asked."""
    facts = {name: str(value) for name, value in point.attributes.items()}
    if point.name.startswith("rpc.server.call"):
        operation = f"{facts.get('rpc.service')}.{facts.get('rpc.method')}"
        return "call", facts.get("borough.caller", ""), point.service, operation
    if point.name.startswith("rpc.client.call"):
        callee = facts.get("peer.service", "")
        operation = f"{facts.get('rpc.service')}.{facts.get('rpc.method')}"
        return None if callee in here else ("call", point.service, callee, operation)
    if point.name.startswith("messaging.process"):
        topic = facts.get("messaging.destination.name", "")
        handler = facts.get("messaging.consumer.group.name", "")
        return "event", topic.partition(".")[0], point.service, handler
    return None
