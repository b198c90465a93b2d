"""W3C Trace Context: the ids that travel with every call and event.

A context is immutable; a hop makes a child with a span id of its own. `traceparent` is read
strictly (lower-case, non-zero ids) and forward-compatibly (an unknown version's first four
fields are used), as the recommendation asks; anything else starts a new trace. `tracestate` and
`baggage` belong to others: they are bounded, and passed on as they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

import msgspec

__all__ = [
    "TraceContext",
    "read_baggage",
    "read_traceparent",
    "travelling",
    "usual_context",
]

_FLAGS = ("00", "01")
_ZERO_TRACE, _ZERO_SPAN = "0" * 32, "0" * 16
_USUAL = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\Z").match
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_LONGEST_STATE = 512
_LONGEST_BAGGAGE = 8192
_TEXT = re.compile(r"[\x20-\x7e\t]*\Z").match


class TraceContext(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Trace id (32 hex digits), span id of the current hop (16) and whether the trace is sampled.

    `state` and `baggage` are the header values that came with it, empty where none did.
    """

    trace_id: str
    span_id: str
    is_sampled: bool = False
    state: str = ""
    baggage: str = ""
    is_start: bool = False
    """Kept within the process: nothing is recorded under the span id, it only begins the trace."""

    @classmethod
    def start(cls, token: Callable[[int], bytes]) -> TraceContext:
        """A new trace; `token` gives unpredictable bytes."""
        bits = token(24).hex()
        return cls(bits[:32], bits[32:], is_start=True)

    def child(self, span_id: str) -> TraceContext:
        """The same trace, one hop further."""
        return TraceContext(self.trace_id, span_id, self.is_sampled, self.state, self.baggage)

    @property
    def traceparent(self) -> str:
        """The header value, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{_FLAGS[self.is_sampled]}"

    @property
    def parent(self) -> str:
        """The span id that a child names as its parent; empty where there is no such span."""
        return "" if self.is_start else self.span_id

    def __repr__(self) -> str:
        return f"TraceContext({self.traceparent!r})"


def usual_context(value: str) -> TraceContext | None:
    """The context in a `traceparent` value of version 00, its form known to be right; None where it is zero."""
    trace_id, span_id = value[3:35], value[36:52]
    if trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN:
        return None
    return TraceContext(trace_id, span_id, value[54] == "1")


def read_traceparent(value: str | None) -> TraceContext | None:
    """The context in a `traceparent` value, or None where there is none that is valid."""
    if value is None:
        return None
    if _USUAL(value) is not None:  # no groups: half the time
        return usual_context(value)
    found = _TRACEPARENT.match(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    if trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN:
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & 1 == 1)


def travelling(trace: TraceContext, state: str | None, baggage: str | None) -> TraceContext:
    """The context with what came beside it. What is too long, or no text of a header, stays behind."""
    kept_state = state if state and len(state) <= _LONGEST_STATE and _TEXT(state) else ""
    kept = baggage if baggage and len(baggage) <= _LONGEST_BAGGAGE and _TEXT(baggage) else ""
    if not kept_state and not kept:
        return trace
    return TraceContext(trace.trace_id, trace.span_id, trace.is_sampled, kept_state, kept)


def read_baggage(text: str) -> dict[str, str]:
    """The entries of a `baggage` value by name, without their properties; what is no entry is left out."""
    found: dict[str, str] = {}
    for member in text.split(","):
        name, equals, value = member.partition(";")[0].partition("=")
        if equals and name.strip():
            found[name.strip()] = unquote(value.strip())
    return found
