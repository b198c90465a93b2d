"""The span recorder of a process: a ring of what has ended, until it is taken away once a second.

Recording is an append; nothing waits, nothing grows beyond the ring, and what does not fit is
counted. Who has no recorder records nothing, at the cost of one comparison.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from weakref import WeakSet

from borough.telemetry.measures import Measures
from borough.telemetry.sampling import Sampler
from borough.telemetry.span import Failure, Shape, Span, Value
from borough.telemetry.trace import TraceContext

__all__ = ["Recorder", "start_trace"]

_IDS = 512
_RECORDERS: WeakSet[Recorder] = WeakSet()


def _begin_anew() -> None:
    """A forked process must not repeat the ids of its parent."""
    for recorder in _RECORDERS:
        recorder.ids.clear()


os.register_at_fork(after_in_child=_begin_anew)


def start_trace(recorder: Recorder | None, token: Callable[[int], bytes]) -> TraceContext:
    """The beginning of a trace, where nothing may be recorded at all."""
    return TraceContext.start(token) if recorder is None else recorder.start()


class Recorder:
    """Spans of all services of a process. Times come from `monotonic`, ids from `token`.

    `recorded` counts spans since the start, `dropped` those that the ring had no room for. A call
    longer than `slow_s` (seconds) is recorded even in a trace that is not sampled. `default_timeout_s` is the time
    of a call that asks for none, in seconds. `bounds` says in how many seconds a service aims to answer, where that
    is not what its contract says.
    """

    __slots__ = (
        "__weakref__", "_half", "_ring", "_taken", "_token", "bounds", "default_timeout_s", "hurry", "ids",
        "measures", "monotonic", "recorded", "sampler", "slow_s",
    )  # fmt: skip

    def __init__(
        self,
        monotonic: Callable[[], float],
        token: Callable[[int], bytes],
        sampler: Sampler | None = None,
        *,
        slow_s: float = 1.0,
        default_timeout_s: float = 10.0,
        bounds: Mapping[str, float] = MappingProxyType({}),
        room: int = 32_768,
    ) -> None:
        self.monotonic = monotonic
        self.sampler = sampler or Sampler()
        self.slow_s = slow_s
        self.default_timeout_s = default_timeout_s
        self.bounds = bounds
        self.ids: list[str] = []
        """Span ids made in advance; who finds none asks `new_id`."""
        self.measures = Measures()
        self.hurry: Callable[[], None] | None = None
        """Called, in whatever thread, when half of the room is taken."""
        self.recorded = 0
        self._taken = 0
        self._token = token
        self._half = room // 2
        self._ring: deque[Span] = deque(maxlen=room)
        _RECORDERS.add(self)

    def new_id(self) -> str:
        """A fresh span id."""
        ids = self.ids
        if not ids:
            bits = self._token(8 * _IDS).hex()
            ids += [bits[at : at + 16] for at in range(0, 16 * _IDS, 16)]
        return ids.pop()

    def start(self) -> TraceContext:
        """The beginning of a trace, sampled or not."""
        return self.sampler.start(self._token)

    def add(self, span: Span) -> None:
        """Keep a span until it is taken; the oldest goes where there is no room."""
        self.recorded += 1
        ring = self._ring
        ring.append(span)
        if len(ring) == self._half and self.hurry is not None:
            self.hurry()

    def note(
        self,
        shape: Shape,
        parent: TraceContext,
        began: float,
        *,
        failure: Failure | None = None,
        values: tuple[Value | None, ...] = (),
        trace: TraceContext | None = None,
    ) -> None:
        """Record what has ended now, where its trace is sampled.

        `trace` is its own context where it had one while it ran.
        """
        if parent.is_sampled:
            own = parent.child(self.new_id()) if trace is None else trace
            self.add(Span(shape, own, parent.parent, began, self.monotonic(), failure, values))

    def take(self) -> list[Span]:
        """All that has been recorded since the last time, oldest first."""
        ring = self._ring
        taken = [ring.popleft() for _ in range(len(ring))]  # other threads may add meanwhile
        self._taken += len(taken)
        return taken

    @property
    def waiting(self) -> int:
        """How many spans wait to be taken."""
        return len(self._ring)

    @property
    def dropped(self) -> int:
        """How many have been lost since the start, as nobody took them in time."""
        return max(0, self.recorded - self._taken - len(self._ring))
