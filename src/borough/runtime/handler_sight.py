"""How the handling of events is seen: each attempt is a span in the trace that published the event.

However late, retried or replayed, it names the publisher's span as its parent, and links to it as the
conventions for messages ask. A bad or late attempt is recorded though the trace is not.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, cast

from borough.ports import Message
from borough.runtime.event_handler import EventHandler
from borough.services.context import Call
from borough.telemetry.durations import Durations
from borough.telemetry.measures import Measured
from borough.telemetry.recorder import Recorder, start_trace
from borough.telemetry.span import Failure, Kind, Shape, Span, Value
from borough.telemetry.trace import TraceContext
from borough.transports.identifiers import Identifiers, identifiers_of_event
from borough.transports.sight import failure_of

__all__ = ["Delivery", "HandlerSight"]

_NAMES = ("messaging.message.id", "borough.event.key", "borough.attempt", "borough.outcome")


class HandlerSight:
    """One handler's deliveries from one topic."""

    __slots__ = (
        "_attempts",
        "_handler",
        "_read",
        "_shapes",
        "_token",
        "_topic",
        "measured",
        "recorder",
    )

    def __init__(
        self,
        handler: EventHandler,
        topic: str,
        recorder: Recorder | None,
        token: Callable[[int], bytes],
        attempts: int,
    ) -> None:
        """Events are given up after so many attempts."""
        self._attempts = attempts
        self._handler = handler
        self._topic = topic
        self._token = token
        self.recorder = recorder
        self.measured: Measured | None = None
        if recorder is not None:
            facts = {
                "messaging.destination.name": topic,
                "messaging.consumer.group.name": handler.name,
            }
            self.measured = recorder.measures.add(
                "messaging.process.duration",
                "Attempts at events",
                handler.service,
                facts,
                Durations(),
            )
        self._shapes: dict[str, Shape] = {}
        self._read: dict[type[Any], Identifiers | None] = {}

    def delivery(self, message: Message, attempt: int) -> Delivery:
        """One attempt, to be entered."""
        return Delivery(self, message, attempt)

    def start(self) -> TraceContext:
        """The context of an event that names none."""
        return start_trace(self.recorder, self._token)

    def span_id(self) -> str:
        """A fresh span id, whether or not anything is recorded."""
        return self._token(8).hex() if self.recorder is None else self.recorder.new_id()

    def read(self, event: Any) -> Identifiers | None:
        """What to show of an event; nothing of one that is sent on as it came."""
        kind = cast("type[Any]", event.__class__)
        if kind not in self._read:
            self._read[kind] = identifiers_of_event(kind)
        return self._read[kind]

    def shape(self, message: Message, read: Identifiers | None) -> Shape:
        """That of the deliveries of an event's type."""
        found = self._shapes.get(message.type)
        if found is None:
            attributes: dict[str, Value] = {
                "messaging.system": "borough",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": self._topic,
                "messaging.consumer.group.name": self._handler.name,
                "borough.event.type": message.type,
                "borough.attempts": self._attempts,
            }
            names = (*_NAMES, *(() if read is None else read.names))
            name = f"process {message.type}"
            found = Shape(self._handler.service, name, Kind.CONSUMER, attributes, names)
            self._shapes[message.type] = found
        return found


class Delivery:
    """One attempt at one event. `outcome` says how it ended, where it did not fail."""

    __slots__ = (
        "_attempt",
        "_began",
        "_call",
        "_event",
        "_message",
        "_parent",
        "_sight",
        "outcome",
    )

    def __init__(self, sight: HandlerSight, message: Message, attempt: int) -> None:
        self._sight = sight
        self._message = message
        self._attempt = attempt
        self._parent: TraceContext | None = None
        self._call: Call | None = None
        self._event: Any = None
        self._began = 0.0
        self.outcome: str | None = None

    def context(self, parent: TraceContext | None) -> TraceContext:
        """The context of this attempt, below the one in which the event was published."""
        self._parent = self._sight.start() if parent is None else parent
        return self._parent.child(self._sight.span_id())

    def began(self, call: Call, event: Any) -> None:
        """The event has been read; from now on `call` is at hand."""
        self._call, self._event = call, event

    def __enter__(self) -> Delivery:
        if self._sight.recorder is not None:
            self._began = self._sight.recorder.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        recorder, call, parent = self._sight.recorder, self._call, self._parent
        if recorder is None or call is None or parent is None or call.trace is None:
            return
        ended = recorder.monotonic()
        failure: Failure | None = None
        measured = self._sight.measured
        if measured is not None:
            measured.durations.add(ended - self._began)
        if error is not None:
            failure = failure_of(error)
            if measured is not None:
                measured.fail(failure)
        own = call.trace
        if not parent.is_sampled:
            is_late = ended - self._began >= recorder.slow_s
            if failure is None and not is_late and not call.partial:
                return
            own = own.child(call.partial or own.span_id)
        recorder.add(self._span(recorder, own, parent, ended, failure))

    def _span(
        self,
        recorder: Recorder,
        own: TraceContext,
        parent: TraceContext,
        ended: float,
        failure: Failure | None,
    ) -> Span:
        message, event = self._message, self._event
        read = None if event is None else self._sight.read(event)
        values = (message.id, message.key, self._attempt, self.outcome)
        return Span(
            self._sight.shape(message, read),
            own,
            parent.parent,
            self._began,
            ended,
            failure,
            values if read is None else values + read(event),
            ((parent.trace_id, parent.span_id),) if parent.parent else (),
            not own.is_sampled,
        )
