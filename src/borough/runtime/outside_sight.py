"""How a service's requests to hosts outside are seen: a client's span with `server.address`, and how long they took."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from borough.services.context import CURRENT
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Failure, Kind, Shape, Span
from borough.transports.sight import failure_of, partial_of

__all__ = ["OutsideSight"]

_MOST_SHAPES = 256


class OutsideSight:
    """See `Outside`: those of one service. Without a recorder nothing is seen."""

    def __init__(self, service: str, recorder: Recorder | None) -> None:
        self._service = service
        self._recorder = recorder
        self._shapes: dict[tuple[str, str], Shape] = {}

    @contextmanager
    def asking(self, address: str, what: str, /) -> Generator[None]:
        """See `Outside`."""
        recorder = self._recorder
        if recorder is None:
            yield
            return
        began, failure = recorder.monotonic(), None
        try:
            yield
        except BaseException as error:
            failure = failure_of(error)
            raise
        finally:
            self._end(recorder, address, what, began, failure)

    def _end(
        self, recorder: Recorder, address: str, what: str, began: float, failure: Failure | None
    ) -> None:
        ended = recorder.monotonic()
        recorder.measures.count_outside(self._service, address, ended - began, failure)
        call = CURRENT.get()
        trace = None if call is None else call.trace
        if call is None or trace is None:
            return
        is_sampled = trace.is_sampled
        above = trace.parent
        if not is_sampled:
            is_bad = failure is not None and failure.is_fault
            if not is_bad and ended - began < recorder.slow_s:
                return
            above = partial_of(call, recorder)
        own = trace.child(recorder.new_id())
        shape = self._shape(address, what)
        recorder.add(Span(shape, own, above, began, ended, failure, is_partial=not is_sampled))

    def _shape(self, address: str, what: str) -> Shape:
        found = self._shapes.get((address, what))
        if found is None:
            found = Shape(self._service, what, Kind.CLIENT, {"server.address": address})
            if len(self._shapes) < _MOST_SHAPES:  # some put ids into names
                self._shapes[address, what] = found
        return found
