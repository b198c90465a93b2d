"""A request and its answer, as a door sees them: bytes are read, nothing is interpreted.

Header names are looked up in any case. A repeated field is joined by a comma, as RFC 9110 (5.3)
allows; cookies by a semicolon, and each `Set-Cookie` stays a field of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from borough.reliability.arrival import Arrival
from borough.telemetry.trace import TraceContext

__all__ = [
    "BODILESS",
    "FIELD_NAMES",
    "Connection",
    "Headers",
    "Request",
    "Response",
    "joined",
    "rendered_fields",
]

BODILESS = frozenset({204, 304})
"""Statuses of answers that end with their head (RFC 9112, 6.3)."""

FIELD_NAMES: dict[bytes, str] = {}
"""Usual field names as they come over the wire to the key they are kept under."""

_USUAL = (
    "Accept Accept-Encoding Accept-Language Allow Authorization Borough-Principal Borough-Proof "
    "Borough-Timeout-Ms Cache-Control Connection Content-Encoding Content-Length Content-Type "
    "Cookie Date ETag Expect Host Idempotency-Key If-Match If-None-Match Location Origin Referer "
    "Retry-After Server Set-Cookie Traceparent Tracestate Transfer-Encoding Upgrade User-Agent "
    "Vary X-Forwarded-For"
)
for _name in _USUAL.split():
    FIELD_NAMES[_name.encode()] = FIELD_NAMES[_name.lower().encode()] = _name.lower()

_SEPARATORS = {"cookie": b"; ", "set-cookie": b"\n"}


def joined(key: str, first: bytes, second: bytes) -> bytes:
    """The value of a field that was sent twice."""
    return first + _SEPARATORS.get(key, b", ") + second


def rendered_fields(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Header fields as they are sent. Raises `ValueError` for one that would break the message."""
    if not fields:
        return b""
    rendered = b"\r\n".join(map(b": ".join, fields)) + b"\r\n"
    count = len(fields)
    if rendered.count(b"\n") != count or rendered.count(b"\r") != count or b"\0" in rendered:
        raise ValueError("a header field contains a line break or NUL")
    return rendered


class Headers(msgspec.Struct, eq=False):
    """Header fields, found by name in any case. A struct, since one is made for every message.

    `raw`: the values as they came, by lower-case name; several `Set-Cookie` are joined by LF.
    """

    raw: dict[str, bytes]

    @classmethod
    def of(cls, fields: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Read fields as they stand in a message."""
        values: dict[str, bytes] = {}
        for name, value in fields:
            key = FIELD_NAMES.get(name) or name.lower().decode("latin-1")
            values[key] = joined(key, values[key], value) if key in values else value
        return cls(values)

    def get(self, name: str) -> str | None:
        """The value, or None; the first one where `Set-Cookie` was sent several times."""
        value = self.raw.get(name)
        if value is None:
            value = self.raw.get(name.lower())
            if value is None:
                return None
        text = value.decode("latin-1").strip(" \t")  # httptools leaves what trails
        return text.partition("\n")[0] if "\n" in text else text

    def items(self) -> Iterator[tuple[str, str]]:
        """Lower-case names and their values; `Set-Cookie` as often as it was sent."""
        for key, value in self.raw.items():
            for part in value.decode("latin-1").split("\n"):
                yield key, part.strip(" \t")

    def __contains__(self, name: str) -> bool:
        return name in self.raw or name.lower() in self.raw

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether one of these lower-case names is there."""
        return not names.isdisjoint(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Headers({', '.join(self.raw)})"


class Connection:
    """One client's connection, the same object for all its requests.

    `caller` belongs to the door: what it has once proven of the peer, it may remember here. `door`
    belongs to a listener with several: which of them answers what comes by this connection.
    `certificate` is what the peer has proven by TLS, as `ssl` tells it; None in clear text.
    `is_public`: the peer is a service, and passes on what the public asks. `scheme` is the one that it was
    asked by, and `root` the path (quoted) below which the whole system lies, where another server says so.
    `is_modern`: it has not been asked by HTTP/1.0.
    """

    __slots__ = (
        "caller", "certificate", "door", "is_modern", "is_public", "peer", "root", "scheme",
    )  # fmt: skip

    def __init__(self, peer: tuple[str, int], scheme: str = "http", root: str = "") -> None:
        self.peer = peer
        self.scheme = scheme
        self.root = root
        self.caller: Any = None
        self.door: Any = None
        self.certificate: Mapping[str, Any] | None = None
        self.is_public = False
        self.is_modern = True


class Request(msgspec.Struct, eq=False):
    """One request, its body complete. `path` is raw: neither decoded nor normalised.

    When the client leaves, the task that answers is cancelled; nothing here needs to be polled.
    `arrival` is set where calls are counted when they come. `trace` and `timeout_s` are what the head says
    of them, where it could be read without a doubt; None says nothing.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    connection: Connection
    arrival: Arrival | None = None
    trace: TraceContext | None = None
    timeout_s: float | None = None

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path}, {len(self.body)} bytes)"


class Response(msgspec.Struct, eq=False):
    """An answer: status, header fields and a body, or an iterator of a body's chunks.

    Length, encoding, date and `Connection` are the server's to write, never among `headers`; `length` is
    what the chunks of an iterator come to, where it is known: it gives so many bytes, or fails.
    Headers in a tuple are taken as recurring: the server keeps what it has rendered of them. An
    iterator is closed (`aclose`) when the client leaves before its end.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | AsyncIterator[bytes] = b""
    length: int | None = None

    def framing(self, *, is_chunked: bool) -> bytes:
        """The field that says where an iterator's body ends; none where the connection does."""
        if is_chunked:
            return b"transfer-encoding: chunked\r\n"
        return b"" if self.length is None else b"content-length: %d\r\n" % self.length

    def __repr__(self) -> str:
        return f"Response({self.status})"
