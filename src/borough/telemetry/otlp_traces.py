"""Spans as OTLP bytes. Most of a span is its shape's, encoded once; ids and times are packed in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct

from borough.telemetry.otlp import Attributes, Resource, Scope, grouped
from borough.telemetry.protobuf import delimited, text, varint
from borough.telemetry.span import Failure, Shape, Span, Value, twin_id

__all__ = ["SpanEncoder"]

_TIMES_AND_FLAGS = Struct("<cQcQ2sI").pack
_BEGAN, _ENDED, _FLAGS = b"\x39", b"\x41", b"\x85\x01"
_from_hex = bytes.fromhex
_ATTRIBUTES = Attributes(9)
_PARTIAL = _ATTRIBUTES.of("borough.partial").encoded(True)
_ERROR_TYPE = _ATTRIBUTES.of("error.type").encoded
_TIMES_LENGTH, _ROOT_LENGTH, _CHILD_LENGTH = 24, 28, 38
_LONGEST_DETAIL = 1024
_MOST = 512
_LONGEST_KNOWN = 256
"""Strangers choose the paths of their requests: so many long ones of each shape would be a hundred megabytes."""


class _Form:
    """A shape as bytes: what follows ids and times, and the heads of a span that has nothing else."""

    __slots__ = ("_known", "_values", "child", "root", "tail")

    def __init__(self, shape: Shape) -> None:
        self.tail = text(5, shape.name) + b"\x30%c" % shape.kind
        self.tail += _ATTRIBUTES.all(shape.attributes)
        self.child = _head(_CHILD_LENGTH + _TIMES_LENGTH + len(self.tail))
        self.root = _head(_ROOT_LENGTH + _TIMES_LENGTH + len(self.tail))
        self._values = [_ATTRIBUTES.of(name).encoded for name in shape.names]
        self._known: dict[tuple[Value | None, ...], bytes] = {}

    def encoded(self, values: tuple[Value | None, ...]) -> bytes:
        """The values of a span. Those of one name are of one type, so equal tuples mean the same."""
        found = self._known.get(values)
        if found is None:
            named = zip(self._values, values, strict=False)
            found = b"".join([one(value) for one, value in named if value is not None])
            if len(found) <= _LONGEST_KNOWN:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[values] = found
        return found


def _form(shape: Shape) -> _Form:
    shape.encoded = form = _Form(shape)
    return form


_HEADS = [b"\x12" + varint(length) for length in range(2048)]


def _head(length: int) -> bytes:
    """How the field of a span begins in its scope."""
    return _HEADS[length] if length < len(_HEADS) else b"\x12" + varint(length)


class SpanEncoder:
    """Encodes batches of spans for the services of a process. `resource_of` knows each service."""

    def __init__(self, resource_of: Callable[[str], Resource], scope: Scope) -> None:
        self._resource_of = resource_of
        self._scope = scope

    def encode(self, spans: Iterable[Span], offset_ns: int) -> bytes:
        """`TracesData`. `offset_ns` leads from the monotonic clock of the spans to that of the world."""
        groups: dict[str, list[bytes]] = {}
        for span in spans:
            shape, trace, parent = span.shape, span.trace, span.parent
            times = _TIMES_AND_FLAGS(
                _BEGAN,
                int(span.began * 1e9) + offset_ns,
                _ENDED,
                int(span.ended * 1e9) + offset_ns,
                _FLAGS,
                trace.is_sampled,
            )
            failure = span.failure
            is_plain = failure is None and not (trace.state or span.is_partial or span.links)
            twin = shape.twin
            if twin is not None:
                outer = twin_id(trace.span_id)
                more = b"" if is_plain else _common(span)
                _put(groups, twin, f"0a10{trace.trace_id}1208{outer}", parent, times, more)
                parent = outer
            more = b"" if is_plain else _common(span) + _links(span)
            if span.values:
                more += (shape.encoded or _form(shape)).encoded(span.values)
            _put(groups, shape, f"0a10{trace.trace_id}1208{trace.span_id}", parent, times, more)
        return grouped(
            ((self._resource_of(service), parts) for service, parts in groups.items()), self._scope
        )


def _put(
    groups: dict[str, list[bytes]], shape: Shape, ids: str, parent: str, times: bytes, more: bytes
) -> None:
    form = shape.encoded or _form(shape)
    parts = groups.get(shape.service)
    if parts is None:
        parts = groups[shape.service] = []
    if parent:
        ids = f"{ids}2208{parent}"
        head = form.child
        length = _CHILD_LENGTH
    else:
        head = form.root
        length = _ROOT_LENGTH
    if more:
        head = _head(length + _TIMES_LENGTH + len(form.tail) + len(more))
    parts += (head, _from_hex(ids), times, form.tail, more)


def _common(span: Span) -> bytes:
    """What both sides of a call have: the state of the trace, and how it ended."""
    found = text(3, span.trace.state) if span.trace.state else b""
    if span.is_partial:
        found += _PARTIAL
    return found if span.failure is None else found + _failed(span.failure)


def _failed(failure: Failure) -> bytes:
    found = _ERROR_TYPE(failure.kind)
    if not failure.is_fault:
        return found
    detail = failure.detail[:_LONGEST_DETAIL]
    return found + delimited(15, (text(2, detail) if detail else b"") + b"\x18\x02")


def _links(span: Span) -> bytes:
    return b"".join(
        [
            delimited(13, _from_hex(f"0a10{trace_id}1208{span_id}"))
            for trace_id, span_id in span.links
        ]
    )
