"""What all OTLP messages share: resources, scopes, attributes, each encoded once while it recurs.

The messages are those of opentelemetry-proto, field numbers included; tests decode them with the
official classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct

from borough.telemetry.protobuf import delimited, text, varint
from borough.telemetry.span import Value

__all__ = ["Attribute", "Attributes", "Resource", "Scope", "fixed64", "grouped"]

_MOST = 1024
_DOUBLE = Struct("<d").pack
_FIXED = Struct("<Q").pack
LONGEST_VALUE = 4096
"""A longer text is cut, as an attribute is no place for documents."""


def fixed64(field: int, value: int) -> bytes:
    """A field of eight bytes."""
    return bytes([field << 3 | 1]) + _FIXED(value)


def _any(value: Value) -> bytes:
    if isinstance(value, str):
        return text(1, value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE])
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            return text(1, str(value))
        return b"\x18" + varint(value)
    return b"\x21" + _DOUBLE(value)


class Attribute:
    """Encodes the values of one attribute as a field of its message; what recurs is remembered."""

    __slots__ = ("_begin", "_field", "_key", "_known", "_rest")

    def __init__(self, field: int, name: str) -> None:
        self._field = field
        self._key = text(1, name)
        self._begin = b"%c%%c%b\x12%%c\x0a%%c%%b" % (field << 3 | 2, self._key.replace(b"%", b"%%"))
        self._rest = len(self._key) + 4
        self._known: dict[str, bytes] = {}

    def encoded(self, value: Value) -> bytes:
        """The attribute with that value."""
        if type(value) is not str:
            return delimited(self._field, self._key + delimited(2, _any(value)))
        known = self._known
        found = known.get(value)
        if found is None:
            data = value.encode("utf-8", "replace")
            length = len(data)
            whole = self._rest + length
            if whole > 127:
                return delimited(self._field, self._key + delimited(2, _any(value)))
            found = self._begin % (whole, length + 2, length, data)
            if len(known) >= _MOST:
                known.clear()
            known[value] = found
        return found


class Attributes:
    """Encodes attributes as fields of a number."""

    __slots__ = ("_field", "_known")

    def __init__(self, field: int) -> None:
        self._field = field
        self._known: dict[str, Attribute] = {}

    def of(self, name: str) -> Attribute:
        """The encoder of one attribute."""
        found = self._known.get(name)
        if found is None:
            found = Attribute(self._field, name)
            if len(self._known) < _MOST:
                self._known[name] = found
        return found

    def all(self, attributes: Mapping[str, Value]) -> bytes:
        """All of them, one after the other."""
        return b"".join([self.of(name).encoded(value) for name, value in attributes.items()])


_OF_RESOURCE = Attributes(1)


class Resource:
    """What a service of a process is: its name and what else is known of both."""

    __slots__ = ("attributes", "encoded")

    def __init__(self, attributes: Mapping[str, Value]) -> None:
        self.attributes = dict(attributes)
        self.encoded = delimited(1, _OF_RESOURCE.all(self.attributes))


class Scope:
    """Who recorded: an instrumentation's name and version."""

    __slots__ = ("encoded",)

    def __init__(self, name: str, version: str) -> None:
        self.encoded = delimited(1, text(1, name) + text(2, version))


def grouped(groups: Iterable[tuple[Resource, Iterable[bytes]]], scope: Scope) -> bytes:
    """`TracesData`, `MetricsData` or `LogsData`: the items of each resource, each a field 2 already."""
    return b"".join(
        [
            delimited(1, resource.encoded + delimited(2, scope.encoded + b"".join(items)))
            for resource, items in groups
        ]
    )
