"""Points as OpenMetrics 1.0 text, as Prometheus scrapes it.

A dot of a name is an underscore, the unit is its suffix, a service is the label `service_name`.
Histograms have the same buckets always, from 2^-14 to 2^5 seconds, so that they can be added up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from borough.telemetry.durations import LOWEST, Durations
from borough.telemetry.measures import Point
from borough.telemetry.span import Span, Value

__all__ = ["CONTENT_TYPE", "open_metrics"]

CONTENT_TYPE = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
_NO_LETTER = re.compile(r"[^a-zA-Z0-9_]")
_UNITS = {"s": "seconds", "By": "bytes", "1": ""}
_FIRST, _LAST = -14, 5
_KINDS = {"sum": "counter", "gauge": "gauge", "durations": "histogram"}


def open_metrics(points: Iterable[Point], offset_s: float) -> bytes:
    """The exposition; `offset_s` leads from the clock of the spans to seconds since 1970."""
    families: dict[str, list[Point]] = {}
    for point in points:
        families.setdefault(_name(point), []).append(point)
    lines: list[str] = []
    for name, found in sorted(families.items()):
        first = found[0]
        lines.append(f"# TYPE {name} {_KINDS[first.kind]}")
        if unit := _UNITS.get(first.unit, ""):
            lines.append(f"# UNIT {name} {unit}")
        lines.append(f"# HELP {name} {_escaped(first.doc)}")
        for point in found:
            lines += _samples(name, point, offset_s)
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _name(point: Point) -> str:
    unit = _UNITS.get(point.unit, "")
    name = _NO_LETTER.sub("_", point.name)
    return name if not unit or name.endswith(f"_{unit}") else f"{name}_{unit}"


def _samples(name: str, point: Point, offset_s: float) -> list[str]:
    labels = {"service_name": point.service, **point.attributes}
    if point.durations is not None:
        return _histogram(name, labels, point.durations, point.exemplar, offset_s)
    suffix = "_total" if point.kind == "sum" else ""
    return [f"{name}{suffix}{_labels(labels)} {_number(point.value)}"]


def _histogram(
    name: str,
    labels: Mapping[str, Value],
    durations: Durations,
    span: Span | None,
    offset_s: float,
) -> list[str]:
    lines: list[str] = []
    counts = durations.counts
    below = sum(counts[exponent] for exponent in range(LOWEST, _FIRST))
    took = None if span is None else span.ended - span.began
    for exponent in range(_FIRST, _LAST + 1):
        below += counts[exponent]
        bound = 2.0**exponent
        line = f"{name}_bucket{_labels(labels, le=repr(bound))} {below}"
        if span is not None and took is not None and took < bound:
            at_s = span.ended + offset_s
            line += f' # {{trace_id="{span.trace.trace_id}"}} {took:.9f} {at_s:.3f}'
            took = None
        lines.append(line)
    count = durations.count
    lines.append(f"{name}_bucket{_labels(labels, le='+Inf')} {count}")
    lines.append(f"{name}_count{_labels(labels)} {count}")
    lines.append(f"{name}_sum{_labels(labels)} {durations.total_s!r}")
    return lines


def _labels(labels: Mapping[str, Value], le: str | None = None) -> str:
    pairs = [
        f'{_NO_LETTER.sub("_", key)}="{_escaped(str(value))}"' for key, value in labels.items()
    ]
    if le is not None:
        pairs.append(f'le="{le}"')
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
