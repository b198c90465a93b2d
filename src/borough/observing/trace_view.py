"""One trace to be looked at: what stands below what, what the answer needed, and whether all of it is here.

The critical path is what the end of the trace waited for, read backwards: of the children of a span the
one that ended last, then the one that ended last before that one began. What is handled after its
publisher has answered, as events are, is no part of it.

Each process hands over its spans in its own time, so a young trace may be half a trace, and so may one
of which a caller, or who was asked, has not been heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from borough.observing.trace_row import Row, waits_for
from borough.observing.trace_sentence import why
from borough.telemetry.otlp_reading import ReadLine, ReadSpan
from borough.telemetry.span import Kind

__all__ = ["TraceView", "view_of"]

_ERROR = 2
_CALLER_NS = 60 * 1_000_000_000
"""A caller that has not been heard may still be at work for so long."""
_ASKED_NS = 7 * 1_000_000_000
"""Exporters of others hand over every five seconds."""


class TraceView(msgspec.Struct, frozen=True, kw_only=True):
    """A whole trace. `why` says in one line what is worth to know of it; `is_coming`: more is to be expected."""

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
    is_coming: bool
    why: str
    rows: tuple[Row, ...]


def view_of(
    spans: Sequence[ReadSpan],
    lines: Sequence[ReadLine] = (),
    *,
    gathered_ns: int | None = None,
) -> TraceView | None:
    """The trace that these spans are; None for none.

    All that ended before `gathered_ns`, nanoseconds since 1970, has been handed over; None: all of it has.
    """
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
    is_partial = any(span.attributes.get("borough.partial") for span in spans)
    is_coming = gathered_ns is not None and _is_coming(
        root, rows, gathered_ns, is_partial=is_partial
    )
    return TraceView(
        trace_id=root.trace_id,
        name=root.name,
        service=root.service,
        began_ns=root.began_ns,
        duration_ms=_ms(root.ended_ns - root.began_ns),
        total_ms=_ms(max(span.ended_ns for span in spans) - root.began_ns),
        services=tuple(dict.fromkeys(row.span.service for row in rows)),
        error=any(row.is_error for row in rows),
        is_partial=is_partial,
        is_coming=is_coming,
        why=why(root, rows, is_coming=is_coming),
        rows=rows,
    )


def _is_coming(root: ReadSpan, rows: Sequence[Row], gathered_ns: int, *, is_partial: bool) -> bool:
    """Whether a part of what has been asked and answered is still to come."""
    young_ns = max(row.span.ended_ns for row in rows) - gathered_ns
    if young_ns > _CALLER_NS:  # a clock that runs ahead
        return False
    # What comes from a stranger names the stranger's span, and of a partial trace nobody knows what belongs to it.
    is_ours = root.kind != Kind.SERVER or "borough.caller" in root.attributes
    lacks_caller = bool(root.parent) and is_ours and not is_partial
    lacks_asked = any(
        row.waits_for and row.waits_for == row.span.attributes.get("peer.service")
        for row in rows
        if not row.is_error
    )
    return (
        young_ns > 0
        or (lacks_caller and young_ns > -_CALLER_NS)
        or (lacks_asked and young_ns > -_ASKED_NS)
    )


def _rows(
    spans: Sequence[ReadSpan],
    children: dict[str, list[ReadSpan]],
    began_ns: int,
    critical: set[str],
    said: dict[str, list[ReadLine]],
) -> Iterator[Row]:
    root = spans[0]
    stack = [(span, 0, False) for span in reversed(spans)]
    seen: set[str] = set()  # spans that name each other as parents would never end
    while stack:
        span, depth, is_later = stack.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        below = children.get(span.span_id, [])
        is_later = is_later or (span.kind == Kind.CONSUMER and span is not root)
        yield Row(
            span=span,
            depth=depth,
            offset_ms=_ms(span.began_ns - began_ns),
            duration_ms=_ms(span.ended_ns - span.began_ns),
            self_ms=_ms(span.ended_ns - span.began_ns - _covered(span, below)),
            is_critical=span.span_id in critical,
            is_error=span.status == _ERROR,
            is_later=is_later,
            waits_for=waits_for(span, has_below=bool(below)),
            lines=tuple(said.get(span.span_id, ())),
        )
        stack += [(child, depth + 1, is_later) for child in reversed(below)]


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


def _ms(nanoseconds: int) -> float:
    return nanoseconds / 1e6
