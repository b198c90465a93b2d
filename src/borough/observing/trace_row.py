"""A span in its place in a trace, and what it waited for where it did no work."""

from __future__ import annotations

import msgspec

from borough.telemetry.otlp_reading import ReadLine, ReadSpan
from borough.telemetry.span import Kind
from borough.telemetry.waiting import WAITING_FOR

__all__ = ["Row", "waits_for"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A span in its place. Times are milliseconds, `offset_ms` from the beginning of the trace.

    `self_ms` is what was spent in it and in none of its children: waiting for `waits_for`, where that
    is not empty. `is_later`: it belongs to the handling of an event, for which no answer waits.
    """

    span: ReadSpan
    depth: int
    offset_ms: float
    duration_ms: float
    self_ms: float
    is_critical: bool
    is_error: bool
    is_later: bool = False
    waits_for: str = ""
    lines: tuple[ReadLine, ...] = ()


def waits_for(span: ReadSpan, *, has_below: bool) -> str:
    """What the own time of a span was spent waiting for; empty where it worked, or nobody knows.

    Who asks another service has the time between both in itself, which is no wait for anything in particular.
    """
    facts = span.attributes
    if WAITING_FOR in facts:
        return str(facts[WAITING_FOR])
    if span.kind != Kind.CLIENT:
        return ""
    if "peer.service" in facts:
        return "" if has_below else str(facts["peer.service"])
    is_outside = "server.address" in facts and "db.system.name" not in facts
    return str(facts["server.address"]) if is_outside else ""
