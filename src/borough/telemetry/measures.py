"""What is measured all the time: durations that places register once, and points read when asked for.

Names, units and attributes are OpenTelemetry's where it has them; ours begin with `borough.`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from threading import Lock
from typing import Literal

import msgspec

from borough.telemetry.durations import Durations, RecentDurations
from borough.telemetry.span import Failure, Span, Value

__all__ = ["Measured", "Measures", "Point", "PointKind"]

PointKind = Literal["sum", "gauge", "durations"]
_FAILURES, _FAULTS, _SLOW = ".failures", ".faults", ".slow"
_DURATION = ".duration"
_MOST_OUTSIDE = 100


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one metric. A `sum` only grows; of `durations` the unit is seconds."""

    name: str
    doc: str
    unit: str
    kind: PointKind
    service: str
    attributes: Mapping[str, Value] = {}
    value: float = 0.0
    durations: Durations | None = None
    exemplar: Span | None = None
    """A recent span that it counts."""


class Measured:
    """One series of durations with its failures, by `error.type`, and a span that it has counted lately."""

    __slots__ = (
        "attributes",
        "doc",
        "durations",
        "exemplar",
        "failures",
        "faults",
        "name",
        "service",
    )

    def __init__(
        self,
        name: str,
        doc: str,
        service: str,
        attributes: Mapping[str, Value],
        durations: Durations,
    ) -> None:
        self.name = name
        self.doc = doc
        self.service = service
        self.attributes = dict(attributes)
        self.durations = durations
        self.failures: dict[str, int] = {}
        self.faults = 0
        """How many failures were the fault of who answers: no declared problem, nothing that a caller did."""
        self.exemplar: Span | None = None

    def fail(self, failure: Failure) -> None:
        """Count a failure."""
        self.failures[failure.kind] = self.failures.get(failure.kind, 0) + 1
        self.faults += failure.is_fault

    def points(self) -> Iterator[Point]:
        """What it says now."""
        yield Point(
            name=self.name,
            doc=self.doc,
            unit="s",
            kind="durations",
            service=self.service,
            attributes=self.attributes,
            durations=self.durations,
            exemplar=self.exemplar,
        )
        name = self.name.removesuffix(_DURATION)
        # From the beginning, at 0: what appears at 1 has not grown for who asks how fast it grows.
        yield Point(
            name=name + _FAULTS,
            doc="Failures that were the fault of who answers",
            unit="1",
            kind="sum",
            service=self.service,
            attributes=self.attributes,
            value=self.faults,
        )
        if isinstance(self.durations, RecentDurations) and self.durations.bound_s < inf:
            yield Point(
                name=name + _SLOW,
                doc="Those that took as long as the bound of their objective, or longer",
                unit="1",
                kind="sum",
                service=self.service,
                attributes=self.attributes,
                value=self.durations.slow,
            )
        for kind, count in self.failures.items():
            yield Point(
                name=name + _FAILURES,
                doc="Failures, by error.type",
                unit="1",
                kind="sum",
                service=self.service,
                attributes={**self.attributes, "error.type": kind},
                value=count,
            )


class Measures:
    """The series of a process. One that is registered again takes the place of its namesake."""

    __slots__ = ("_meeting", "_outside", "_series")

    def __init__(self) -> None:
        self._meeting = Lock()
        """Held by a thread that asks a host for the first time: two would register two, and only one is told."""
        self._series: dict[tuple[object, ...], Measured] = {}
        self._outside: dict[tuple[str, str], Measured] = {}

    def add(
        self,
        name: str,
        doc: str,
        service: str,
        attributes: Mapping[str, Value],
        durations: Durations,
    ) -> Measured:
        """Measure something from now on."""
        found = Measured(name, doc, service, attributes, durations)
        self._series[name, service, *sorted(attributes.items())] = found
        return found

    def outside(self, service: str, address: str) -> Measured | None:
        """A service's requests to a host that is no service; None where there are too many hosts to tell apart."""
        found = self._outside.get((service, address))
        if found is not None or len(self._outside) >= _MOST_OUTSIDE:
            return found
        name, doc = "http.client.request.duration", "Requests to hosts that are no service"
        facts = {"server.address": address}
        with self._meeting:
            found = self._outside.get((service, address))
            if found is None and len(self._outside) < _MOST_OUTSIDE:
                found = self.add(name, doc, service, facts, Durations())
                self._outside[service, address] = found
        return found

    def count_outside(
        self, service: str, address: str, seconds: float, failure: Failure | None
    ) -> None:
        """Count one of these requests, which took so long."""
        measured = self.outside(service, address)
        if measured is not None:
            measured.durations.add(seconds)
            if failure is not None:
                measured.fail(failure)

    def series(self) -> list[Measured]:
        """All of them, with all counted that was put down until now."""
        found = list(self._series.values())
        for measured in found:
            measured.durations.settle()
        return found

    def points(self) -> Iterator[Point]:
        """What all of them say now."""
        for measured in self.series():
            yield from measured.points()
