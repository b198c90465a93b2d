"""W3C Trace Context: the ids that travel with every call and event.

A context is immutable; a hop makes a child with a span id of its own. `traceparent` is read
strictly (lower-case, non-zero ids) and forward-compatibly (an unknown version's first four
fields are used), as the recommendation asks; anything else starts a new trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

__all__ = ["TraceContext", "read_traceparent"]

_FLAGS = ("00", "01")
_ZERO_TRACE, _ZERO_SPAN = "0" * 32, "0" * 16
_USUAL = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\Z").match
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")


class TraceContext(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Trace id (32 hex digits), span id of the current hop (16) and flags (bit 0: sampled)."""

    trace_id: str
    span_id: str
    flags: int = 0

    @classmethod
    def start(cls, token: Callable[[int], bytes], flags: int = 0) -> TraceContext:
        """A new trace; `token` gives unpredictable bytes."""
        bits = token(24).hex()
        return cls(bits[:32], bits[32:], flags)

    def child(self, token: Callable[[int], bytes]) -> TraceContext:
        """The same trace, one hop further."""
        return TraceContext(self.trace_id, token(8).hex(), self.flags)

    @property
    def traceparent(self) -> str:
        """The header value, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{_FLAGS[self.flags & 1]}"

    def __repr__(self) -> str:
        return f"TraceContext({self.traceparent!r})"


def read_traceparent(value: str | None) -> TraceContext | None:
    """The context in a `traceparent` value, or None where there is none that is valid."""
    if value is None:
        return None
    if _USUAL(value) is not None:  # no groups: half the time
        trace_id, span_id = value[3:35], value[36:52]
        if trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN:
            return None
        return TraceContext(trace_id, span_id, int(value[54]))
    found = _TRACEPARENT.match(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    if trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN:
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & 1)
