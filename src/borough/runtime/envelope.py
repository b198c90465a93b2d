"""Events as CloudEvents 1.0 in structured JSON: what the outbox holds and every broker carries.

A published event is checked against its own type before it is kept: what does not decode would stop
its readers. Readers are lenient: unknown attributes and unknown fields of the data are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any
from urllib.parse import quote

import msgspec

from borough.contracts.codec import JSON
from borough.contracts.finite import find_unfit
from borough.contracts.operation import BoundEvent
from borough.contracts.struct import Event
from borough.contracts.unreadable import UNREADABLE
from borough.contracts.upcasting import upcasts_of, version_of
from borough.errors import BoroughError
from borough.reliability.index_key import index_key
from borough.telemetry.trace import TraceContext, read_traceparent, travelling

__all__ = [
    "CloudEvent",
    "EventReader",
    "EventUnreadable",
    "EventWriter",
    "event_writers",
    "opening",
    "read_document",
    "source_name",
    "trace_in",
]

_UNSET = msgspec.UNSET
_NOTHING = msgspec.Raw(b"null")


class EventUnreadable(BoroughError):
    """The envelope or the data does not fit; trying again with the same code will not help."""


class CloudEvent(msgspec.Struct, frozen=True):
    """The attributes that Borough writes and reads.

    `partitionkey`, `traceparent`, `tracestate`, `baggage` and `eventversion` (of the data; 1 where
    it is not given) are extensions.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: datetime | msgspec.UnsetType = _UNSET
    datacontenttype: str | msgspec.UnsetType = _UNSET
    partitionkey: str | msgspec.UnsetType = _UNSET
    traceparent: str | msgspec.UnsetType = _UNSET
    tracestate: Any = _UNSET  # what cannot be read does not stop the event
    baggage: Any = _UNSET
    eventversion: Any = _UNSET  # another publisher may mean something else by it
    data: msgspec.Raw = _NOTHING
    data_base64: bytes | msgspec.UnsetType = _UNSET


_ID = b'{"specversion":"1.0","id":"'
_SOURCE = b'","source":%b,"type":'
_KIND = b',"datacontenttype":"application/json"'
_encode = JSON.encode
_decode_envelope = msgspec.json.Decoder(CloudEvent).decode
_decode_any = msgspec.json.Decoder().decode


class EventWriter:
    """Writes the events of one type; made once per type and service."""

    __slots__ = ("_check", "_data", "_key", "_names", "_unfit", "topic", "wire_name")

    def __init__(self, event: BoundEvent, source: str) -> None:
        self.topic = event.topic
        self.wire_name = event.wire_name
        # What a `CloudEvent` would be encoded to; most of it never changes.
        self._names = _SOURCE % _encode(source) + b'%b,"time":' % _encode(event.wire_name)
        version = version_of(event.kind)
        self._data = b',"data":' if version == 1 else b',"eventversion":%d,"data":' % version
        self._check = msgspec.json.Decoder(event.kind).decode
        self._unfit = find_unfit(event.kind)  # None for most
        self._key = _key_reader(event)

    def write(
        self, event: Event, event_id: str, time: datetime, trace: TraceContext | None
    ) -> tuple[str | None, bytes]:
        """The key and the document. `event_id` is one that `ServiceDatabase.publish` has minted.

        A key that does not fit into an index is whole in the document, and its digest what is kept beside it.
        Raises `msgspec.ValidationError` where a value breaks the event's type.
        """
        data = _encode(event)
        self._check(data)
        if self._unfit is not None and (unfit := self._unfit(event)) is not None:
            raise msgspec.ValidationError(f"{unfit[0]} at #{unfit[1]}")
        keyed = traced = b""
        key = self._key(event)
        if key is not None:
            if type(key) is not str:
                key = _key_text(key)
            keyed = b',"partitionkey":' + _encode(key)
            key = index_key(key)
        if trace is not None:
            traced = b',"traceparent":"%b"' % trace.traceparent.encode()
            if trace.state or trace.baggage:
                traced += _beside(trace)
        names, when = self._names, _encode(time)
        return key, b"".join(
            (_ID, event_id.encode(), names, when, _KIND, keyed, traced, self._data, data, b"}")
        )


class EventReader:
    """Reads the events of one type for a handler, also those of its older versions.

    A version that is newer than the code is read as it is: its further fields are ignored.
    """

    __slots__ = ("_decode", "_upcasts", "_version", "wire_name")

    def __init__(self, event: BoundEvent) -> None:
        self.wire_name = event.wire_name
        self._decode = msgspec.json.Decoder(event.kind).decode
        self._version = version_of(event.kind)
        self._upcasts = upcasts_of(event.kind)

    def read(self, body: bytes) -> tuple[CloudEvent, Event]:
        """The envelope and the event in it. Raises `EventUnreadable`, naming what does not fit."""
        try:
            envelope = _decode_envelope(body)
            if envelope.specversion != "1.0":
                raise _of_another_version(self.wire_name, envelope)
            data = envelope.data if envelope.data_base64 is _UNSET else envelope.data_base64
            if self._version > 1 and (version := _version_in(envelope)) < self._version:
                data = self._upcast(version, data)
            return envelope, self._decode(data)
        except UNREADABLE as error:
            raise EventUnreadable(f"{self.wire_name}: {error}") from error

    def _upcast(self, version: int, data: msgspec.Raw | bytes) -> bytes:
        found: Any = _decode_any(data)
        while version < self._version:
            upcast = self._upcasts[version]
            try:
                found = upcast(found)
            except Exception as error:
                raise EventUnreadable(
                    f"{self.wire_name}: {upcast.__name__}, from version {version}, "
                    f"failed: {error!r}"
                ) from error
            version += 1
        try:
            return _encode(found)
        except (TypeError, ValueError, RecursionError, msgspec.EncodeError) as error:
            raise EventUnreadable(
                f"{self.wire_name}: the upcasts made something that no JSON can be: {error}"
            ) from error


def read_document(body: bytes) -> tuple[CloudEvent, bytes]:
    """The envelope, and the document as it is. Raises `EventUnreadable`."""
    try:
        envelope = _decode_envelope(body)
    except UNREADABLE as error:
        raise EventUnreadable(f"an event: {error}") from error
    if envelope.specversion != "1.0":
        raise _of_another_version("an event", envelope)
    return envelope, body


def _of_another_version(what: str, envelope: CloudEvent) -> EventUnreadable:
    return EventUnreadable(f"{what}: CloudEvents {envelope.specversion} is not 1.0")


def _beside(trace: TraceContext) -> bytes:
    """What travels beside the ids."""
    state = b',"tracestate":' + _encode(trace.state) if trace.state else b""
    return state + b',"baggage":' + _encode(trace.baggage) if trace.baggage else state


def trace_in(envelope: CloudEvent) -> TraceContext | None:
    """The context that an event was published in, None where it says none that can be read."""
    given = envelope.traceparent
    trace = None if given is _UNSET else read_traceparent(given)
    if trace is None or (envelope.tracestate is _UNSET and envelope.baggage is _UNSET):
        return trace
    state, baggage = envelope.tracestate, envelope.baggage
    return travelling(
        trace,
        state if isinstance(state, str) else None,
        baggage if isinstance(baggage, str) else None,
    )


def _version_in(envelope: CloudEvent) -> int:
    found = envelope.eventversion
    return found if type(found) is int and found > 0 else 1


def event_writers(
    events: Iterable[BoundEvent], system: str, service: str
) -> dict[type[Event], EventWriter]:
    """The writers of a service, by event."""
    source = source_name(system, service)
    return {event.kind: EventWriter(event, source) for event in events}


def source_name(system: str, service: str) -> str:
    """The source in the envelopes of a service."""
    return f"/{quote(system, safe='')}/{quote(service, safe='')}"


def opening(source: str) -> tuple[bytes, bytes]:
    """How documents of a source begin here: what is written before the id, and behind it."""
    return _ID, _SOURCE % _encode(source)


def _key_reader(event: BoundEvent) -> Callable[[Event], Any]:
    """How the value of an event's key is had.

    The contract names the field as it stands on the wire.
    """
    if event.key is None:
        return lambda _: None
    names = {field.encode_name: field.name for field in msgspec.structs.fields(event.kind)}
    return attrgetter(names[event.key])


def _key_text(key: Any) -> str:
    """The text of a key that is none: an id, a number, a struct."""
    plain = msgspec.to_builtins(key, str_keys=True)
    return plain if isinstance(plain, str) else _encode(plain).decode()
