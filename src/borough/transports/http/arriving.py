"""The trace context of a request: as it came, or begun here.

A stranger's trace id is kept, so that both can find the request; whether to record it is decided here,
and a stranger's baggage goes no further.
"""

from __future__ import annotations

from collections.abc import Callable

from borough.telemetry.recorder import Recorder, start_trace
from borough.telemetry.trace import TraceContext, read_traceparent, travelling
from borough.transports.http.message import Request

__all__ = ["arriving_trace"]


def arriving_trace(
    request: Request,
    recorder: Recorder | None,
    token: Callable[[int], bytes],
    *,
    is_strange: bool,
) -> TraceContext:
    """The context that a request belongs to; `is_strange` where who asks is not of this system."""
    trace = request.trace
    if trace is None:
        header = request.headers.get
        trace = read_traceparent(header("traceparent"))
        if trace is None:
            return start_trace(recorder, token)
        raw = request.headers.raw
        if "tracestate" in raw or "baggage" in raw:
            baggage = None if is_strange else header("baggage")
            trace = travelling(trace, header("tracestate"), baggage)
    return recorder.sampler.decide(trace) if is_strange and recorder is not None else trace
