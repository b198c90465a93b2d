"""One trace to be looked at: what stands below what, what it waited for, and why it was slow or failed.

The critical path is what the end of the trace waited for, read backwards: of the children of a span the
one that ended last, then the one that ended last before that one began. What is handled after its
publisher has answered, as events are, is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from borough.errors import DeadlineExceeded
from borough.telemetry.otlp_reading import ReadLine, ReadSpan
from borough.telemetry.span import Kind, Value

__all__ = ["Row", "TraceView", "view_of"]

_ERROR = 2
_SLOW_SHARE = 0.4
_LONG_MS = 100.0
_TOO_LATE = DeadlineExceeded.code


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A span in its place. Times are milliseconds, `offset_ms` from the beginning of the trace.

    `self_ms` is what was spent in it and in none of its children.
    """

    span: ReadSpan
    depth: int
    offset_ms: float
    duration_ms: float
    self_ms: float
    is_critical: bool
    is_error: bool
    lines: tuple[ReadLine, ...] = ()


class TraceView(msgspec.Struct, frozen=True, kw_only=True):
    """A whole trace. `why` says in one line what is worth to know of it."""

    trace_id: str
    name: str
    service: str
    began_ns: int
    duration_ms: float
    """From the beginning to the end of all that answered; events may be handled later."""
    total_ms: float
    """To the end of the last span."""
    services: tuple[str, ...]
    error: bool
    is_partial: bool
    why: str
    rows: tuple[Row, ...]


def view_of(spans: Sequence[ReadSpan], lines: Sequence[ReadLine] = ()) -> TraceView | None:
    """The trace that these spans are; None for none."""
    if not spans:
        return None
    known = {span.span_id: span for span in spans}
    children: dict[str, list[ReadSpan]] = {}
    for span in sorted(known.values(), key=lambda span: (span.began_ns, -span.ended_ns)):
        children.setdefault(span.parent if span.parent in known else "", []).append(span)
    roots = children[""] if "" in children else [min(spans, key=lambda span: span.began_ns)]
    root = roots[0]
    critical = set(_critical(root, children))
    said: dict[str, list[ReadLine]] = {}
    for line in sorted(lines, key=lambda line: line.at_ns):
        said.setdefault(line.span_id if line.span_id in known else root.span_id, []).append(line)
    rows = tuple(_rows(roots, children, root.began_ns, critical, said))
    failed = [row for row in rows if row.is_error]
    return TraceView(
        trace_id=root.trace_id,
        name=root.name,
        service=root.service,
        began_ns=root.began_ns,
        duration_ms=_ms(root.ended_ns - root.began_ns),
        total_ms=_ms(max(span.ended_ns for span in spans) - root.began_ns),
        services=tuple(dict.fromkeys(row.span.service for row in rows)),
        error=bool(failed),
        is_partial=any(span.attributes.get("borough.partial") for span in spans),
        why=_why(root, rows, failed),
        rows=rows,
    )


def _rows(
    spans: Sequence[ReadSpan],
    children: dict[str, list[ReadSpan]],
    began_ns: int,
    critical: set[str],
    said: dict[str, list[ReadLine]],
) -> Iterator[Row]:
    stack = [(span, 0) for span in reversed(spans)]
    seen: set[str] = set()  # spans that name each other as parents would never end
    while stack:
        span, depth = stack.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        below = children.get(span.span_id, [])
        yield Row(
            span=span,
            depth=depth,
            offset_ms=_ms(span.began_ns - began_ns),
            duration_ms=_ms(span.ended_ns - span.began_ns),
            self_ms=_ms(span.ended_ns - span.began_ns - _covered(span, below)),
            is_critical=span.span_id in critical,
            is_error=span.status == _ERROR,
            lines=tuple(said.get(span.span_id, ())),
        )
        stack += [(child, depth + 1) for child in reversed(below)]


def _covered(span: ReadSpan, children: Sequence[ReadSpan]) -> int:
    """Nanoseconds of a span in which a child of it ran."""
    covered, upto = 0, span.began_ns
    for child in children:
        began, ended = max(child.began_ns, upto), min(child.ended_ns, span.ended_ns)
        if ended > began:
            covered += ended - began
            upto = ended
    return covered


def _critical(root: ReadSpan, children: dict[str, list[ReadSpan]]) -> Iterator[str]:
    stack, seen = [(root, root.ended_ns)], set[str]()
    while stack:
        span, end_ns = stack.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        yield span.span_id
        for child in sorted(
            children.get(span.span_id, []), key=lambda child: child.ended_ns, reverse=True
        ):
            if child.ended_ns <= end_ns and child.ended_ns > child.began_ns:
                stack.append((child, child.ended_ns))
                end_ns = child.began_ns


def _why(root: ReadSpan, rows: Sequence[Row], failed: Sequence[Row]) -> str:
    if failed:
        # The cause stands deepest, and first of those.
        cause = max(failed, key=lambda row: (row.depth, -row.span.began_ns))
        kind = cause.span.attributes.get("error.type", "an error")
        detail = f": {cause.span.message}" if cause.span.message else ""
        attempt = cause.span.attributes.get("borough.attempt")
        which = f", attempt {attempt}," if isinstance(attempt, int) and attempt > 1 else ""
        address = cause.span.attributes.get("server.address")
        at = f" at {address}" if address else ""
        told = f"{cause.span.service} failed in {cause.span.name}{at}{which} with {kind}{detail}"
        # Who runs out of time is seldom who took it; and what took most of the time may have waited in vain.
        took_long = cause.duration_ms >= _SLOW_SHARE * _ms(root.ended_ns - root.began_ns)
        is_slow = kind == _TOO_LATE or (took_long and cause.duration_ms >= _LONG_MS)
        ends = (_spent(root, rows) if is_slow else None, _given_up(rows))
        return "; ".join([told, *(each for each in ends if each)])
    slowest = _slowest(rows)
    return _spent(root, rows) or (
        f"no span stands out; the longest is {slowest.span.name} in {slowest.span.service}"
    )


def _given_up(rows: Sequence[Row]) -> str | None:
    """Which event was given up after its last attempt, and has not been handled since."""
    found: dict[tuple[Value, Value], str] = {}
    for row in sorted(rows, key=lambda row: row.span.began_ns):
        facts = row.span.attributes
        attempt, most = facts.get("borough.attempt"), facts.get("borough.attempts")
        if not isinstance(attempt, int) or not isinstance(most, int):
            continue
        handler = facts.get("messaging.consumer.group.name", "")
        event = handler, facts.get("messaging.message.id", "")
        if row.is_error and attempt >= most:
            found[event] = (
                f"{handler} has given up the event after {attempt} attempts: a dead letter"
            )
        elif not row.is_error:
            found.pop(event, None)
    return next(iter(found.values()), None)


def _slowest(rows: Sequence[Row]) -> Row:
    return max((row for row in rows if row.is_critical), key=lambda row: row.self_ms)


def _spent(root: ReadSpan, rows: Sequence[Row]) -> str | None:
    """Where most of the time went, None where it went nowhere in particular."""
    slowest = _slowest(rows)
    whole_ms = _ms(root.ended_ns - root.began_ns)
    share = slowest.self_ms / whole_ms if whole_ms else 0.0
    if share < _SLOW_SHARE:
        return None
    what = "waiting for" if slowest.span.kind == Kind.CLIENT else "in"
    whole = f"{whole_ms / 1000:.1f} s" if whole_ms >= 1000 else f"{whole_ms:.3g} ms"
    return (
        f"{100 * share:.0f} % of {whole} were spent {what} {slowest.span.name} "
        f"({slowest.span.service})"
    )


def _ms(nanoseconds: int) -> float:
    return nanoseconds / 1e6
