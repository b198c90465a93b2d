"""Time in which a call did nothing, as something that others hold was not free: a span below the call.

Only what took long enough to be felt is recorded, so that who does not wait pays for two looks at the clock.
"""

from __future__ import annotations

from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Kind, Shape, Span
from borough.telemetry.trace import TraceContext

__all__ = ["WAITING_FOR", "Waits"]

WAITING_FOR = "borough.waiting_for"
"""The attribute that says in words what was waited for, as in "waiting for a thread"."""
_FELT_S = 0.005


class Waits:
    """What the calls of one service waited for, such as `a thread`."""

    __slots__ = ("_shape", "recorder")

    def __init__(self, recorder: Recorder, service: str, what: str) -> None:
        self.recorder = recorder
        self._shape = Shape(service, f"wait for {what}", Kind.INTERNAL, {WAITING_FOR: what})

    def note(self, parent: TraceContext, began: float, ended: float) -> None:
        """Something below `parent` waited from `began` to `ended`, in seconds on the recorder's clock."""
        if ended - began >= _FELT_S and parent.is_sampled:
            own = parent.child(self.recorder.new_id())
            self.recorder.add(Span(self._shape, own, parent.parent, began, ended))
