"""Log lines as OTLP: what a logger said, masked, with the trace and the service it was said in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from borough.telemetry.otlp import Attributes, Resource, Scope, fixed64, grouped
from borough.telemetry.protobuf import delimited, text, varint
from borough.telemetry.span import Value
from borough.telemetry.trace import TraceContext

__all__ = ["LogLine", "encode_logs"]

_ATTRIBUTES = Attributes(6)
_STEPS = ((50, 21), (40, 17), (30, 13), (20, 9), (10, 5))
"""Python's levels and the severity numbers that mean the same."""


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `at_ns` is in nanoseconds since 1970, `level` one of `logging`."""

    at_ns: int
    level: int
    level_name: str
    logger: str
    text: str
    service: str
    trace: TraceContext | None = None
    attributes: dict[str, Value] = {}


def encode_logs(
    lines: Iterable[LogLine], resource_of: Callable[[str], Resource], scope: Scope
) -> bytes:
    """`LogsData`."""
    groups: dict[str, list[bytes]] = {}
    for line in lines:
        groups.setdefault(line.service, []).append(delimited(2, _record(line)))
    return grouped(((resource_of(service), parts) for service, parts in groups.items()), scope)


def _record(line: LogLine) -> bytes:
    severity = next((number for level, number in _STEPS if line.level >= level), 1)
    found = fixed64(1, line.at_ns) + b"\x10" + varint(severity) + text(3, line.level_name)
    found += delimited(5, text(1, line.text))
    found += _ATTRIBUTES.all({"logger.name": line.logger, **line.attributes})
    trace = line.trace
    if trace is not None:
        found += b"\x45" + trace.is_sampled.to_bytes(4, "little")
        found += bytes.fromhex(f"4a10{trace.trace_id}5208{trace.span_id}")
    return found + fixed64(11, line.at_ns)
