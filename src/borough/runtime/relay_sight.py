"""How the relay is seen: for each event of a sampled trace, from when it was read until the broker had it."""

from __future__ import annotations

from collections.abc import Sequence

from borough.ports import Message
from borough.telemetry.durations import Durations
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Kind, Shape, Span
from borough.telemetry.trace import read_traceparent

__all__ = ["RelaySight"]

_FIELD = b',"traceparent":"'
_LENGTH = 55
_SEARCHED = 1024
"""The envelope's attributes come before its data."""


class RelaySight:
    """One service's relay."""

    __slots__ = ("_durations", "_recorder", "_service", "_shapes")

    def __init__(self, service: str, recorder: Recorder) -> None:
        self._durations = Durations()
        recorder.measures.add(
            "messaging.client.operation.duration",
            "Batches of events on their way to the broker",
            service,
            {"messaging.operation.name": "send"},
            self._durations,
        )
        self._service = service
        self._recorder = recorder
        self._shapes: dict[str, Shape] = {}

    def sent(self, messages: Sequence[Message], began: float) -> None:
        """The broker has these events."""
        recorder = self._recorder
        ended = recorder.monotonic()
        self._durations.add(ended - began)
        for message in messages:
            at = message.body.find(_FIELD, 0, _SEARCHED)
            if at < 0:
                continue
            at += len(_FIELD)
            text = message.body[at : at + _LENGTH].decode("latin-1")
            parent = read_traceparent(text)
            if parent is None or not parent.is_sampled:
                continue
            own = parent.child(recorder.new_id())
            shape = self._shape(message.topic)
            values = (message.id, len(messages))
            recorder.add(Span(shape, own, parent.span_id, began, ended, values=values))

    def _shape(self, topic: str) -> Shape:
        found = self._shapes.get(topic)
        if found is None:
            found = self._shapes[topic] = Shape(
                self._service,
                f"send {topic}",
                Kind.PRODUCER,
                {
                    "messaging.system": "borough",
                    "messaging.operation.name": "send",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": topic,
                },
                ("messaging.message.id", "messaging.batch.message_count"),
            )
        return found
