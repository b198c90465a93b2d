"""What a stream of bytes is, by two other readers: h11 finds the messages, a strict grammar judges each.

h11 (a parser of its own, in Python) is lenient where RFC 9112 allows it: bare LF, folded fields, a length
beside a coding. So each message that it finds must also match the grammar below, written only from the
RFCs and from docs/reference/edge.md; one that does not must not be taken, and ends the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import h11

from rigs.raw_server import digest

__all__ = ["Message", "Reading", "read"]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_HEAD = re.compile(
    rb"(?:\r\n)?(%b) ([!-~]+) HTTP/1\.([01])\r\n((?:%b:%b\r\n)*)\r\n" % (_TOKEN, _TOKEN, _VALUE)
)
_FIELD = re.compile(rb"(%b):[ \t]*(%b?)[ \t]*\r\n" % (_TOKEN, _VALUE))
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;%b)?\r\n" % _VALUE)
_TRAILERS = re.compile(rb"(?:%b:%b\r\n)*\r\n" % (_TOKEN, _VALUE))
_NEVER_LATE = re.compile(
    rb"^(?:content-length|transfer-encoding|host):", re.IGNORECASE | re.MULTILINE
)
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(/?[^?#]*)", re.IGNORECASE)
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Message:
    """A request as it was found, and why it must not be taken, if so."""

    digest: bytes
    closes: bool
    forbidden: str | None = None


@dataclass
class Reading:
    """The messages in order. `fault`: what h11 says of what follows them; else more may come."""

    messages: list[Message] = field(default_factory=list)
    fault: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the connection must be closed after the last message or fault."""
        return bool(self.messages) and self.messages[-1].closes


def read(data: bytes) -> Reading:
    """Find the messages in what one client sends."""
    reading = Reading()
    rest = data
    while rest:
        found = _next(rest)
        if isinstance(found, str):
            reading.fault = found
            break
        if found is None:
            break
        message, rest = found
        reading.messages.append(message)
        if message.closes or message.forbidden:
            break
    return reading


def _next(data: bytes) -> tuple[Message, bytes] | str | None:
    """The first message and what follows it; None where it is not complete; a text where it is wrong."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_BYTES)
    # RFC 9112, 2.2 asks a server to pass over one empty line, which h11 does not do.
    connection.receive_data(data.removeprefix(b"\r\n"))
    request: h11.Request | None = None
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return None
    except h11.RemoteProtocolError as error:
        return str(error)
    assert request is not None
    rest = bytes(connection.trailing_data[0])
    raw = data[: len(data) - len(rest)]
    # A proxy that believes in a tunnel passes on what follows: no one may read it as requests.
    is_offer = any(name == b"upgrade" for name, _ in request.headers)
    closes = is_offer or connection.their_state is h11.MUST_CLOSE
    forbidden = _forbidden(raw)
    if forbidden is not None:
        return Message(b"", True, forbidden), rest
    path, query = _target(bytes(request.target))
    method = request.method.decode()
    seen = digest("GET" if method == "HEAD" else method, path, query, body)
    return Message(seen, closes), rest


def _target(target: bytes) -> tuple[str, str]:
    path, _, query = target.partition(b"?")
    absolute = _ABSOLUTE.fullmatch(path)
    if absolute is not None:
        path = absolute[2] or b"/"
    return path.decode(), query.decode()


def _forbidden(raw: bytes) -> str | None:
    """Why this message must not be taken."""
    head = _HEAD.match(raw)
    if head is None:
        return "the head does not match the grammar"
    _, target, minor, lines = head.groups()
    fields = [(name.lower(), value.strip(b" \t")) for name, value in _FIELD.findall(lines)]
    named = {
        name: [value for other, value in fields if other == name]
        for name in (b"host", b"content-length", b"transfer-encoding")
    }
    hosts, lengths, codings = (named[n] for n in (b"host", b"content-length", b"transfer-encoding"))
    if len(hosts) != 1 and (minor == b"1" or hosts):
        return "there is not one Host"
    if hosts and not _HOST.fullmatch(hosts[0]):
        return "the Host is none"
    if lengths and codings:
        return "there is a length beside a coding"
    if len(lengths) > 1 or not all(re.fullmatch(rb"[0-9]+", each) for each in lengths):
        return "there is not one decimal length"
    if codings and (minor == b"0" or [each.lower() for each in codings] != [b"chunked"]):
        return "the coding is not chunked alone"
    if b"#" in target:
        return "there is a fragment"
    return _forbidden_chunks(raw[head.end() :]) if codings else None


def _forbidden_chunks(body: bytes) -> str | None:
    at = 0
    while True:
        line = _CHUNK.match(body, at)
        if line is None:
            return "a chunk does not match the grammar"
        size = int(line[1], 16)
        at = line.end()
        if not size:
            is_late = _NEVER_LATE.search(body, at) is not None
            is_formed = _TRAILERS.fullmatch(body, at) is not None
            return None if is_formed and not is_late else "the trailers do not match the grammar"
        if body[at + size : at + size + 2] != b"\r\n":
            return "a chunk has no line end"
        at += size + 2
