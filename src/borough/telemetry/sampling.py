"""Head sampling: decided once, where a trace begins, by its id; all that follows keeps to it.

Two processes decide alike for one trace, since the id decides (its last 56 bits are random, as W3C
Trace Context level 2 asks). A parent's decision holds where the parent is one of ours.
"""

from __future__ import annotations

from collections.abc import Callable

from borough.telemetry.trace import TraceContext

__all__ = ["Sampler"]

_WHOLE = 1 << 56


class Sampler:
    """Keeps `ratio` (0 to 1) of the traces that begin here."""

    __slots__ = ("_below", "ratio")

    def __init__(self, ratio: float = 1.0) -> None:
        self.ratio = ratio
        self._below = round(min(max(ratio, 0.0), 1.0) * _WHOLE)

    def keeps(self, trace_id: str) -> bool:
        """Whether a trace of this id is recorded."""
        return int(trace_id[18:], 16) < self._below

    def start(self, token: Callable[[int], bytes]) -> TraceContext:
        """A new trace, kept or not; `token` gives unpredictable bytes."""
        bits = token(24).hex()
        kept = self._below == _WHOLE or int(bits[18:32], 16) < self._below
        return TraceContext(bits[:32], bits[32:], kept, is_start=True)

    def decide(self, trace: TraceContext) -> TraceContext:
        """The same trace by our own decision, whatever a stranger asks for."""
        kept = self.keeps(trace.trace_id)
        if trace.is_sampled == kept:
            return trace
        return TraceContext(trace.trace_id, trace.span_id, kept, trace.state, trace.baggage)
