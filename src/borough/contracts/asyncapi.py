"""One AsyncAPI 3.0 document for any number of contracts, made from descriptors alone.

A channel is the topic of a contract, whatever the broker. Its owner sends there, and services that
hear an event receive it. A message is the whole CloudEvent, as it lies in every broker. AsyncAPI reads
schemas as JSON Schema draft-07, so what 2020-12 says in other words is said in those here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from borough.contracts.descriptor import Descriptor, EventDescriptor
from borough.contracts.examples import NoExample, example_event
from borough.contracts.json_schema import Refer, Schema, named_schema
from borough.contracts.retention import FOREVER, LATEST_PER_KEY, WEEK, Retention
from borough.contracts.shapes import RefShape, names_used

__all__ = ["asyncapi"]

_CLOUD_EVENT = "application/cloudevents+json"
_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_KAFKA = "0.5.0"
_AMQP = "0.3.0"


def asyncapi(
    descriptors: Sequence[Descriptor],
    *,
    title: str,
    version: str,
    heard: Mapping[str, Sequence[str]] | None = None,
    public_only: bool = False,
    exchange_prefix: str = "borough",
) -> dict[str, Any]:
    """The document. `heard` names, by service, the events (by wire name) that it hears.

    With `public_only` it has the events of contracts that are declared `public=True`, and nothing of
    the broker, which the public does not reach. `exchange_prefix` is that of exchanges in RabbitMQ.
    """
    document = _Document(heard or {}, None if public_only else exchange_prefix)
    for descriptor in sorted(descriptors, key=lambda d: d.wire_name):
        if descriptor.events and (descriptor.public or not public_only):
            document.add(descriptor)
    whole: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": _CLOUD_EVENT,
    }
    return {**whole, **document.parts()}


class _Document:
    """The document while contracts are added to it."""

    def __init__(self, heard: Mapping[str, Sequence[str]], prefix: str | None) -> None:
        self.heard = heard
        self.prefix = prefix
        self.channels: dict[str, Schema] = {}
        self.operations: dict[str, Schema] = {}
        self.messages: dict[str, Schema] = {}
        self.schemas: dict[str, Schema] = {}

    def add(self, descriptor: Descriptor) -> None:
        """Add a contract's topic, with its events and the services that send and hear them."""
        topic = descriptor.wire_name
        names = {event.name: {"$ref": _MESSAGES + event.wire_name} for event in descriptor.events}
        self.channels[topic] = {
            "address": topic,
            "title": f"Events of {descriptor.name}",
            **({"description": descriptor.doc} if descriptor.doc else {}),
            "messages": names,
        }
        if self.prefix is not None:
            bindings = _channel_bindings(descriptor, f"{self.prefix}.{topic}")
            self.channels[topic]["bindings"] = bindings
        for event in descriptor.events:
            self.messages[event.wire_name] = _message(event, descriptor)
        roots = [RefShape(name=event.type) for event in descriptor.events]
        for name in names_used(descriptor.types, *roots):
            schema = named_schema(name, descriptor.types[name], _refers(descriptor))
            self.schemas[f"{descriptor.wire_name}.{name}"] = _draft_07(schema)
        everything = [event.name for event in descriptor.events]
        self._operation(f"{descriptor.service}.sends.{topic}", "send", topic, everything)
        for service, wanted in sorted(self.heard.items()):
            known = [event.name for event in descriptor.events if event.wire_name in wanted]
            if known:
                self._operation(f"{service}.hears.{topic}", "receive", topic, known)

    def _operation(self, name: str, action: str, topic: str, events: Sequence[str]) -> None:
        service = name.partition(".")[0]
        channel = f"#/channels/{topic}"
        self.operations[name] = {
            "action": action,
            "channel": {"$ref": channel},
            "summary": f"{service} {action}s to {topic}"
            if action == "send"
            else f"{service} {action}s from {topic}",
            "tags": [{"name": service}],
            "messages": [{"$ref": f"{channel}/messages/{event}"} for event in events],
        }

    def parts(self) -> dict[str, Any]:
        """What has come together."""
        components = {
            "messages": dict(sorted(self.messages.items())),
            "schemas": dict(sorted(self.schemas.items())),
        }
        return {
            "channels": self.channels,
            "operations": dict(sorted(self.operations.items())),
            "components": {name: part for name, part in components.items() if part},
        }


def _refers(descriptor: Descriptor) -> Refer:
    return lambda name: f"{_SCHEMAS}{descriptor.wire_name}.{name}"


def _channel_bindings(descriptor: Descriptor, exchange: str) -> Schema:
    """What the topic is in Kafka and in RabbitMQ, where the type of an event is its routing key."""
    retention = WEEK if descriptor.retains is None else Retention.read(descriptor.retains)
    latest = retention == LATEST_PER_KEY
    settings: Schema = {"cleanup.policy": ["compact" if latest else "delete"]}
    if retention is not None and not latest:
        settings["retention.ms"] = -1 if retention == FOREVER else retention.seconds * 1000
    topic = descriptor.wire_name
    return {
        "kafka": {"topic": topic, "topicConfiguration": settings, "bindingVersion": _KAFKA},
        "amqp": {
            "is": "routingKey",
            "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False},
            "bindingVersion": _AMQP,
        },
    }


def _message(event: EventDescriptor, descriptor: Descriptor) -> Schema:
    summary, _, rest = event.doc.partition("\n")
    found: Schema = {
        "name": event.wire_name,
        "title": event.name,
        "contentType": _CLOUD_EVENT,
        "tags": [{"name": descriptor.service}],
        "payload": _envelope(event, descriptor),
        "bindings": {"amqp": {"messageType": event.wire_name, "bindingVersion": _AMQP}},
    }
    if summary:
        found["summary"] = summary
    words = [rest.strip()] if rest.strip() else []
    if descriptor.deprecated is not None:
        words.append(f"Deprecated: {descriptor.deprecated}")
    if event.key is not None:
        words.append(f"Events of one `{event.key}` keep their order.")
        key = {"type": "string", "description": f"The `{event.key}` of the event, as text."}
        found["bindings"]["kafka"] = {"key": key, "bindingVersion": _KAFKA}
    if words:
        found["description"] = "\n\n".join(words)
    try:
        found["examples"] = [{"name": event.name, "payload": _example(event, descriptor)}]
    except NoExample:
        return found
    return found


def _envelope(event: EventDescriptor, descriptor: Descriptor) -> Schema:
    """The CloudEvent around an event's data."""
    text: Schema = {"type": "string"}
    properties: Schema = {
        "specversion": {**text, "const": "1.0"},
        "id": {**text, "description": "Names the event; a redelivery has the same one."},
        "source": {**text, "format": "uri-reference"},
        "type": {**text, "const": event.wire_name},
        "time": {**text, "format": "date-time"},
        "datacontenttype": {**text, "const": "application/json"},
        "traceparent": {**text, "description": "W3C trace context of whoever published it."},
        "data": {"$ref": _refers(descriptor)(event.type)},
    }
    required = ["specversion", "id", "source", "type", "data"]
    if event.key is not None:
        properties["partitionkey"] = {**text, "description": "Order is kept per key."}
        required.append("partitionkey")
    if event.version > 1:
        properties["eventversion"] = {"type": "integer", "const": event.version}
        required.append("eventversion")
    return {"type": "object", "properties": properties, "required": required}


def _example(event: EventDescriptor, descriptor: Descriptor) -> Schema:
    data = example_event(event, descriptor)
    found: Schema = {
        "specversion": "1.0",
        "id": "0190a5d4-5c3f-7d2e-8b1a-3f6c2d9e4b70",
        "source": f"/system/{descriptor.service}",
        "type": event.wire_name,
        "time": "2026-01-01T08:00:00Z",
        "datacontenttype": "application/json",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "data": data,
    }
    if event.key is not None:
        key = data[event.key]
        found["partitionkey"] = key if isinstance(key, str) else msgspec.json.encode(key).decode()
    if event.version > 1:
        found["eventversion"] = event.version
    return found


def _draft_07(schema: Any) -> Any:
    """The same schema in the words of draft-07."""
    if isinstance(schema, list):
        return [_draft_07(each) for each in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    members = cast("Schema", schema)
    found: Schema = {}
    for word, value in members.items():
        if word in ("default", "const", "enum", "examples"):
            found[word] = value  # values are no schemas, whatever they look like
        elif word == "properties":
            found[word] = {name: _draft_07(each) for name, each in value.items()}
        elif word == "prefixItems":
            found.update(items=_draft_07(value), additionalItems=False)
        else:
            found[word] = _draft_07(value)
    if "$ref" in found and len(found) > 1:
        # Draft-07 does not look at what stands beside a reference.
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found
