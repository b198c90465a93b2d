"""Libraries that are instrumented with OpenTelemetry record into the same trace, without its SDK.

This is a tracer provider of its API. A span that such a library begins stands below its own active
one, or else below the call at hand; it goes through the recorder, sampled as the trace is. What has
begun outside of any call begins a trace. Span events are not kept, but for a recorded exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes, AttributeValue

from borough.clock import Clock
from borough.services.context import where
from borough.telemetry.masking import masked
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Failure, Kind, Shape, Span, Value
from borough.telemetry.trace import TraceContext

__all__ = ["install_bridge"]

_MOST = 512
_INNER = frozenset({"db.system", "db.system.name", "messaging.system", "peer.service"})
_KINDS = {
    SpanKind.INTERNAL: Kind.INTERNAL,
    SpanKind.SERVER: Kind.SERVER,
    SpanKind.CLIENT: Kind.CLIENT,
    SpanKind.PRODUCER: Kind.PRODUCER,
    SpanKind.CONSUMER: Kind.CONSUMER,
}


def install_bridge(recorder: Recorder, clock: Clock, service: str) -> None:
    """Record what OpenTelemetry's API is told from now on; `service` where no service is at work.

    It counts once for the process: OpenTelemetry warns of a second provider, and keeps the first.
    """
    api.set_tracer_provider(_Provider(recorder, clock, service))


class _Provider(api.TracerProvider):
    def __init__(self, recorder: Recorder, clock: Clock, service: str) -> None:
        self._recorder = recorder
        self._clock = clock
        self._service = service

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> api.Tracer:
        return _Tracer(self._recorder, self._clock, self._service, instrumenting_module_name)


class _Tracer(api.Tracer):
    def __init__(self, recorder: Recorder, clock: Clock, service: str, scope: str) -> None:
        self.recorder = recorder
        self.clock = clock
        self.scope = scope
        self._service = service
        self._shapes: dict[tuple[Any, ...], Shape] = {}

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> api.Span:
        here = where()
        service, call_trace = (self._service, None) if here is None else here
        parent = _context_of(api.get_current_span(context)) or call_trace
        if parent is None:
            parent = self.recorder.start()
        began = self.recorder.monotonic() if start_time is None else self.moment(start_time)
        span = _Span(self, service or self._service, name, kind, parent, began)
        if attributes:
            span.set_attributes(attributes)
        for link in links or ():
            span.add_link(link.context)
        return span

    def start_as_current_span(
        self, name: str, *args: Any, end_on_exit: bool = True, **options: Any
    ) -> Any:
        """See OpenTelemetry."""
        return api.use_span(self.start_span(name, *args, **options), end_on_exit)

    def moment(self, epoch_ns: int) -> float:
        """A time of the world on the recorder's clock."""
        return epoch_ns / 1e9 - self.clock.epoch_s() + self.recorder.monotonic()

    def shape(
        self, service: str, name: str, kind: SpanKind, attributes: Mapping[str, Value]
    ) -> Shape:
        """The shape of spans alike: attributes of the same names and types."""
        types = tuple(map(type, attributes.values()))
        place = service, name, kind, tuple(attributes), types
        found = self._shapes.get(place)
        if found is None:
            scope: dict[str, Value] = {"otel.scope.name": self.scope}
            found = Shape(service, name, _KINDS[kind], scope, tuple(attributes))
            if len(self._shapes) < _MOST:  # some libraries put ids into names
                self._shapes[place] = found
        return found


class _Span(api.Span):
    def __init__(
        self,
        tracer: _Tracer,
        service: str,
        name: str,
        kind: SpanKind,
        parent: TraceContext,
        began: float,
    ) -> None:
        self._tracer = tracer
        self._service = service
        self._name = name
        self._kind = kind
        self._parent = parent
        self._began = began
        self.context = parent.child(tracer.recorder.new_id())
        self._attributes: dict[str, Value] = {}
        self._links: list[tuple[str, str]] = []
        self._failure: Failure | None = None
        self._has_ended = False

    def end(self, end_time: int | None = None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        tracer = self._tracer
        ended = tracer.recorder.monotonic() if end_time is None else tracer.moment(end_time)
        self._measure(ended)
        if not self.is_sampled:
            return
        shape = tracer.shape(self._service, self._name, self._kind, self._attributes)
        tracer.recorder.add(
            Span(
                shape,
                self.context,
                self._parent.parent,
                self._began,
                ended,
                self._failure,
                tuple(self._attributes.values()),
                tuple(self._links),
            )
        )

    def _measure(self, ended: float) -> None:
        """A request to a host outside is counted. A database or a broker is no such host."""
        facts = self._attributes
        address = facts.get("server.address")
        if self._kind is not SpanKind.CLIENT or not isinstance(address, str) or _INNER & {*facts}:
            return
        port = facts.get("server.port")
        name = address if port in (None, 80, 443) else f"{address}:{port}"
        took_s = max(0.0, ended - self._began)
        self._tracer.recorder.measures.count_outside(self._service, name, took_s, self._failure)

    @property
    def is_sampled(self) -> bool:
        """Whether its trace is."""
        return self.context.is_sampled

    def get_span_context(self) -> SpanContext:
        context = self.context
        return SpanContext(
            int(context.trace_id, 16),
            int(context.span_id, 16),
            is_remote=False,
            trace_flags=TraceFlags(int(context.is_sampled)),
            trace_state=TraceState.from_header([context.state] if context.state else []),
        )

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        is_plain = isinstance(value, (str, bool, int, float))
        self._attributes[key] = value if is_plain else ", ".join(map(str, value))  # type: ignore[assignment,arg-type]

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Not kept."""

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        self._links.append((f"{context.trace_id:032x}", f"{context.span_id:016x}"))

    def update_name(self, name: str) -> None:
        self._name = name

    def is_recording(self) -> bool:
        # Libraries tell failures only to a span that records, and requests outside are counted in any trace.
        is_counted = self._kind is SpanKind.CLIENT
        return (self.is_sampled or is_counted) and not self._has_ended

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        said = status.description if isinstance(status, Status) else description
        if code is StatusCode.ERROR:
            kind = "error" if self._failure is None else self._failure.kind
            self._failure = Failure(kind, masked(said or ""))
        elif code is StatusCode.OK:
            self._failure = None

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self._failure = Failure(type(exception).__name__, masked(str(exception)))


def _context_of(span: api.Span) -> TraceContext | None:
    """That of an active span, ours or one that a library has read from a header."""
    if isinstance(span, _Span):
        return span.context
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return TraceContext(
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        context.trace_flags.sampled,
        context.trace_state.to_header(),
    )
