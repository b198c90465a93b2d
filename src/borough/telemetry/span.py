"""A span as it is recorded: what changes from one to the next, and a shape that they share.

A shape holds the name, the kind, the service and all attributes that never change; it is made once
for an operation, a statement, an event type. A call within a process is recorded once and read as
two spans, the caller's and the callee's: they begin and end together. The caller's has an id that
follows from the callee's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from borough.telemetry.trace import TraceContext

__all__ = ["Failure", "Kind", "Shape", "Span", "Value", "twin_id"]

Value = str | bool | int | float
Link = tuple[str, str]
"""Trace id and span id of another span."""


class Kind(IntEnum):
    """The kinds of OpenTelemetry, by their numbers."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Failure(msgspec.Struct, frozen=True, gc=False):
    """How a span ended badly: its `error.type`, a sentence, and whether that is a fault of the system."""

    kind: str
    detail: str
    is_fault: bool = True


class Shape:
    """What all spans of one place have in common. `encoded` is the encoder's own, made when first needed."""

    __slots__ = ("attributes", "encoded", "kind", "name", "names", "service", "twin")

    def __init__(
        self,
        service: str,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Value] | None = None,
        names: Sequence[str] = (),
        twin: Shape | None = None,
    ) -> None:
        """`names` are those of `Span.values`; `twin` is the caller's side, for a call within the process."""
        self.service = service
        self.name = name
        self.kind = kind
        self.attributes = dict(attributes or {})
        self.names = tuple(names)
        self.twin = twin
        self.encoded: Any = None


class Span(msgspec.Struct, gc=False):
    """One span. Times are in seconds on the recorder's monotonic clock; `parent` is empty for a root."""

    shape: Shape
    trace: TraceContext
    parent: str
    began: float
    ended: float
    failure: Failure | None = None
    values: tuple[Value | None, ...] = ()
    """Those of `shape.names`, in order, each name's of one type; None for one that is not there."""
    links: Sequence[Link] = ()
    is_partial: bool = False
    """Recorded though its trace was not sampled, as it ended badly or late."""

    @property
    def attributes(self) -> dict[str, Value]:
        """All attributes, those of the shape included."""
        named = zip(self.shape.names, self.values, strict=False)
        found = {
            **self.shape.attributes,
            **{name: value for name, value in named if value is not None},
        }
        if self.failure is not None:
            found["error.type"] = self.failure.kind
        if self.is_partial:
            found["borough.partial"] = True
        return found

    def both(self) -> Iterator[Span]:
        """The spans that are meant: itself, and before it the caller's where the call was local."""
        twin = self.shape.twin
        if twin is None:
            yield self
            return
        outer = twin_id(self.trace.span_id)
        yield msgspec.structs.replace(
            self, shape=twin, trace=self.trace.child(outer), values=(), links=()
        )
        yield msgspec.structs.replace(self, parent=outer)


_FLIPPED = {digit: f"{int(digit, 16) ^ 8:x}" for digit in "0123456789abcdef"}


def twin_id(span_id: str) -> str:
    """The id of the caller's side: the callee's with its first bit turned over."""
    return _FLIPPED[span_id[0]] + span_id[1:]
