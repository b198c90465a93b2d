"""Events as AMQP messages: CloudEvents 1.0 in structured mode, as the AMQP binding of CloudEvents says.

What only Borough reads (order and key) stands in the message's headers, where the binding puts
attributes in binary mode, so that the document stays as its publisher wrote it. Messages of others
may have neither, and may be in binary mode.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from borough.contracts.unreadable import UNREADABLE
from borough.ports import Message

__all__ = ["properties_of", "read_message"]

_STRUCTURED: Final = "application/cloudevents+json"
_PERSISTENT: Final = 2
_KEY: Final = "cloudEvents:partitionkey"
_SEQUENCE: Final = "cloudEvents:sequence"
_PREVIOUS: Final = "cloudEvents:previous"
_BINARY: Final = ("cloudEvents:", "cloudEvents_")


class _Attributes(msgspec.Struct, frozen=True):
    id: str
    type: str
    partitionkey: str | None = None


_decode = msgspec.json.Decoder(_Attributes).decode


def properties_of(message: Message) -> Basic.Properties:
    """The properties of the AMQP message whose body is the event's document."""
    headers: dict[str, Any] = {_SEQUENCE: message.sequence, _PREVIOUS: message.previous}
    if message.key is not None:
        headers[_KEY] = message.key
    return Basic.Properties(
        content_type=_STRUCTURED,
        delivery_mode=_PERSISTENT,
        headers=headers,
        message_id=message.id,
        message_type=message.type,
    )


def read_message(delivered: DeliveredMessage, topic: str) -> Message:
    """The event in a message. What is none becomes an event that its handler cannot read, and buries."""
    properties = delivered.header.properties
    headers: Mapping[str, Any] = properties.headers or {}
    body = delivered.body
    sequence = headers.get(_SEQUENCE)
    if properties.message_id and properties.message_type and isinstance(sequence, int):
        key = headers.get(_KEY)
        previous = headers.get(_PREVIOUS)
        return Message(
            properties.message_id,
            topic,
            properties.message_type,
            key if isinstance(key, str) else None,
            sequence,
            body,
            previous if isinstance(previous, int) else 0,
        )
    if not str(properties.content_type).startswith("application/cloudevents"):
        body = _structured(headers, properties.content_type, body)
    try:
        found = _decode(body)
    except UNREADABLE:
        unique = properties.message_id or hashlib.sha256(body).hexdigest()
        kind = properties.message_type or delivered.routing_key or ""
        return Message(unique, topic, kind, None, 0, body)
    return Message(found.id, topic, found.type, found.partitionkey, 0, body)


def _structured(headers: Mapping[str, Any], content_type: str | None, body: bytes) -> bytes:
    """The document of a message in binary mode; the body itself of one that is in neither."""
    attributes: dict[str, Any] = {
        name[len(_BINARY[0]) :].lower(): value
        for name, value in headers.items()
        if name.startswith(_BINARY) and isinstance(value, str | int | bool)
    }
    if "id" not in attributes:
        return body
    if content_type and "json" not in content_type:
        data: dict[str, Any] = {"data_base64": base64.b64encode(body).decode()}
    else:
        data = {"data": msgspec.Raw(body or b"null")}
    attributes.setdefault("datacontenttype", content_type or "application/json")
    return msgspec.json.encode({**attributes, **data})
