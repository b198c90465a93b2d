"""An event as a record of Kafka: the CloudEvents binding, in structured mode, which others read and write.

The value is the document, the key its `partitionkey`. Headers repeat what a reader would have to decode
the document for, and carry the place in the topic. A record in binary mode is put together to a document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from borough.ports import Message

__all__ = ["Headers", "NotAnEvent", "dead_headers", "headers_of", "message_of"]

_CONTENT_TYPE: Final = b"application/cloudevents+json; charset=UTF-8"
_STRUCTURED: Final = b"application/cloudevents"
_KIND: Final = "content-type"
_ID: Final = "ce_id"
_TYPE: Final = "ce_type"
_SEQUENCE: Final = "borough-sequence"
_PREVIOUS: Final = "borough-previous"
_BINARY: Final = "ce_specversion"
_NAMES: Final = (_ID, _TYPE, _SEQUENCE, _PREVIOUS)
_OURS: Final = 1 + len(_NAMES)
_LARGEST: Final = (1 << 63) - 1

Headers = Sequence[tuple[str, Any]]


class NotAnEvent(ValueError):
    """It is no CloudEvent, in neither mode."""


class _Envelope(msgspec.Struct):
    id: str
    type: str
    partitionkey: str | None = None


_decode = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode


def headers_of(message: Message) -> list[tuple[str, str | bytes | None]]:
    """The headers of an event's record."""
    return [
        (_KIND, _CONTENT_TYPE),
        (_ID, message.id),
        (_TYPE, message.type),
        (_SEQUENCE, str(message.sequence)),
        (_PREVIOUS, str(message.previous)),
    ]


def dead_headers(group: str, attempts: int, cause: str) -> Headers:
    """What the copy of a dead letter says beside what it said alive."""
    return [
        ("borough-handler", group),
        ("borough-attempts", str(attempts)),
        ("borough-cause", cause),
    ]


def message_of(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Message:
    """The event in a record. Raises `NotAnEvent` for what does not even say which type of event it is."""
    if len(headers) == _OURS and headers[0][1] == _CONTENT_TYPE:
        (_, _), (is_id, one), (is_type, kind), (is_sequence, number), (is_previous, before) = (
            headers
        )
        if (
            is_id,
            is_type,
            is_sequence,
            is_previous,
        ) == _NAMES:  # written above: nothing to look for
            try:
                sequence = int(number)
                if one and 0 <= sequence <= _LARGEST:
                    return Message(
                        one.decode(),
                        topic,
                        kind.decode(),
                        None if key is None else key.decode(),
                        sequence,
                        value or b"",
                        int(before),
                    )
            except (AttributeError, TypeError, ValueError):
                pass  # others can write such headers, too
    return _other_message(topic, key, value, headers)


def _other_message(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Message:
    """The event in a record of another publisher, or in one that was copied.

    Where only its type can be read, it is an event that its handler cannot read, and buries.
    """
    found = {name.lower(): _bytes(each) for name, each in headers}
    body = value or b""
    try:
        if not found.get(_KIND, b"").startswith(_STRUCTURED):
            if _BINARY not in found:
                raise NotAnEvent("it has neither the content type nor the headers of a CloudEvent")
            body = _document(found, key, value)
        elif _SEQUENCE in found and found.get(_ID) and found.get(_TYPE):
            sequence = _number(found[_SEQUENCE])
            before = _number(found.get(_PREVIOUS, b"0"))
            one, kind = found[_ID].decode(), found[_TYPE].decode()
            return Message(one, topic, kind, _text(key), sequence, body, before)
        envelope = _decode(body)
    except NotAnEvent:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        kind = found.get(_TYPE, b"").decode(errors="replace")
        if not kind:
            raise NotAnEvent(str(error)) from error
        unique = found.get(_ID) or hashlib.sha256(body).hexdigest().encode()
        return Message(unique.decode(errors="replace"), topic, kind, _text(key), 0, body)
    given = envelope.partitionkey if key is None else _text(key)
    return Message(envelope.id, topic, envelope.type, given, 0, body)


def _number(text: bytes) -> int:
    """A publisher's number, 0 where it is none that a database can hold."""
    try:
        number = int(text)
    except ValueError:
        return 0
    return number if 0 <= number <= _LARGEST else 0


def _text(key: bytes | None) -> str | None:
    """A key as text: others may have any bytes there."""
    return None if key is None else key.decode(errors="backslashreplace")


def _document(headers: Mapping[str, bytes], key: bytes | None, value: bytes | None) -> bytes:
    """The structured form of a record in binary mode."""
    document: dict[str, Any] = {
        name[3:]: each.decode() for name, each in headers.items() if name.startswith("ce_")
    }
    if key is not None:
        document.setdefault("partitionkey", _text(key))
    kind = headers.get(_KIND)
    if kind is not None:
        document["datacontenttype"] = kind.decode()
    if value is not None and (kind is None or b"json" in kind):
        document["data"] = msgspec.Raw(value)
    elif value is not None:
        document["data_base64"] = value
    return _encode(document)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()
