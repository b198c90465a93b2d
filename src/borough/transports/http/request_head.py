"""Reads the head of a request: httptools parses, and what it lets pass is refused here.

The whole head is fed at once and alone, so that the bytes after it are framed by what was read
here and nothing else. A reader serves one connection, head after head. What it has found out about a
start line, and about the names of the fields, it need not find out again for the same bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from borough.transports.http import refusals, wire
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import FIELD_NAMES, Connection, Headers, Request, joined
from borough.transports.http.own_heads import OwnBeginning, OwnHeads
from borough.transports.http.refusals import Refused, malformed

__all__ = ["CHUNKED", "HeadReader", "KnownParts"]

CHUNKED = -1
"""The length of a body that comes in chunks."""

_ONCE = frozenset({"host", "content-length", "transfer-encoding"})
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_DISGUISED = re.compile(r"borough[^a-z0-9-]")
"""CGI, WSGI, PHP and Rack know no hyphen in a name: there `Borough_Principal` would be what an edge says."""
_FIRST_LETTER = 65
_MOST_KNOWN = 256
_KNOWN_BYTES = 512
_SPECIAL = frozenset({"upgrade", "transfer-encoding", "connection", "expect"})
"""The fields that say something of the message, besides its host and its length."""


class _Line(NamedTuple):
    """What a start line says."""

    method: str
    path: str
    query: str
    authority: bytes | None
    is_head: bool
    is_modern: bool


class _Names(NamedTuple):
    """The names of the fields of a head, each once, as they are kept."""

    keys: tuple[str, ...]
    is_plain: bool


class KnownParts:
    """Parts of heads that were in order, as they came, to what they mean: the same bytes mean the same again.

    All connections of a server share it, and its limits. Few are kept, and none that is long.
    """

    __slots__ = ("lines", "names", "own")

    def __init__(self) -> None:
        self.lines: dict[bytes, _Line] = {}
        self.names: dict[tuple[bytes, ...], _Names] = {}
        self.own = OwnHeads()

    def keep_line(self, text: bytes, line: _Line) -> None:
        """Know a start line again."""
        if len(text) <= _KNOWN_BYTES:
            if len(self.lines) >= _MOST_KNOWN:
                self.lines.clear()
            self.lines[text] = line

    def keep_names(self, came: tuple[bytes, ...], names: _Names) -> None:
        """Know the names of a head again."""
        if sum(map(len, came)) <= _KNOWN_BYTES:
            if len(self.names) >= _MOST_KNOWN:
                self.names.clear()
            self.names[came] = names


class HeadReader:
    """Reads heads; after `read` the attributes tell how the last message is framed."""

    __slots__ = (
        "_fields", "_host", "_is_parsed", "_known", "_likely", "_limits", "_parser", "end", "expects_continue",
        "is_head", "is_modern", "keep_alive", "length", "on_header",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits, known: KnownParts) -> None:
        """`known` is shared by the readers of all connections that have these limits."""
        self._limits = limits
        self._known = known
        self._fields: dict[bytes, bytes] = {}
        # httptools calls straight into the dictionary: half the cost of a method. A field sent
        # twice is then lost, which the number of lines gives away.
        self.on_header = self._fields.__setitem__
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._host: bytes | None = b""  # the last one that was in order; most requests repeat it
        self._is_parsed = False
        self._likely: OwnBeginning | None = None
        self.length = 0
        self.end = 0
        self.is_head = False
        self.is_modern = True
        self.keep_alive = True
        self.expects_continue = False

    def read_own(self, data: bytes, connection: Connection) -> Request | None:
        """Read the head at the start of `data`, up to `end`, if it is known to be our own caller's."""
        own = self._known.own.read(data, connection, self._likely)
        if own is None:
            return None
        request, length, end, self._likely = own
        limits = self._limits
        if length > limits.body_bytes or end > limits.head_bytes:
            return None
        if request.query and len(request.path) + 1 + len(request.query) > limits.url_bytes:
            return None
        self.length = length
        self.end = end
        self._is_parsed = self.is_head = self.expects_continue = False
        self.is_modern = self.keep_alive = True
        return request

    def read(self, head: bytes, connection: Connection) -> Request:
        """Read one head, from its first byte to the empty line. Raises `Refused`."""
        count = head.count(b"\n") - 2
        if count > self._limits.fields:
            raise Refused(refusals.HEAD)
        if head[0] < _FIRST_LETTER:  # httptools would pass over line breaks
            raise Refused(refusals.START_LINE)
        fields = self._fields
        fields.clear()
        self._parse(head)
        self._is_parsed = True
        text = head[: head.find(b"\r\n")]
        known = self._known.lines.get(text)
        line = known or self._read_line(text)
        method, path, query, authority, self.is_head, self.is_modern = line
        self.keep_alive = self.is_modern
        came = tuple(fields)
        names = self._known.names.get(came) or self._read_names(came)
        if len(names.keys) == count:
            is_once = True
            values = dict(zip(names.keys, fields.values()))  # noqa: B905 - a keyword costs as much
        else:
            is_once = False
            values = _read_repeated(head)
        self._read_framing(values, is_plain=names.is_plain)
        if authority is not None and "host" in values:
            _compare(authority, values["host"])
        request = Request(method, path, query, Headers(values), b"", connection)
        if not self.is_modern:
            connection.is_modern = False
        elif wire.TIMEOUT_MS in values and is_once and not self.is_head and (known or query):
            self._known.own.keep(head, request, self._limits.fields)
        return request

    def _read_line(self, text: bytes) -> _Line:
        try:
            method, target, version = text.decode("ascii").split(" ")
        except ValueError:
            raise Refused(refusals.START_LINE) from None
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise Refused(refusals.START_LINE)
        if len(target) > self._limits.url_bytes:
            raise Refused(refusals.URL)
        path, _, query = target.partition("?")
        authority = None
        if path[:1] != "/":
            path, authority = _read_other_form(path, method)
        if "#" in target:
            raise Refused(refusals.TARGET)
        is_head = method == "HEAD"
        line = _Line(
            "GET" if is_head else method, path, query, authority, is_head, version == "HTTP/1.1"
        )
        self._known.keep_line(text, line)
        return line

    def _read_names(self, came: tuple[bytes, ...]) -> _Names:
        keys = tuple(FIELD_NAMES.get(name) or _key(name) for name in came)
        if any(map(_DISGUISED.match, keys)):
            raise Refused(refusals.DISGUISED)
        if len(frozenset(keys)) < len(keys):
            return _Names((), False)  # one that came twice, in two spellings
        names = _Names(keys, _SPECIAL.isdisjoint(keys))
        self._known.keep_names(came, names)
        return names

    def _parse(self, head: bytes) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:  # it has read the whole head, and will read nothing after it
            if head.startswith(b"CONNECT "):
                raise Refused(refusals.CONNECT) from None
            self._parser = None
        except HttpParserInvalidMethodError:
            raise Refused(refusals.METHOD) from None
        except HttpParserInvalidURLError:
            raise Refused(refusals.TARGET) from None
        except HttpParserError as error:
            raise Refused(malformed(str(error))) from None

    def pass_body(self, body: bytes) -> None:
        """Tell the parser that the body of the last head has gone by."""
        if self._is_parsed and self._parser is not None:
            self._parser.feed_data(body)

    def forget(self) -> None:
        """Start with a fresh parser: the last body did not go through this one."""
        self._parser = None

    def _read_framing(self, values: dict[str, bytes], *, is_plain: bool) -> None:
        host = values.get("host")
        if host != self._host:
            self._read_host(host)
        length = values.get("content-length")
        if not is_plain:
            self._read_special(values)
            if "transfer-encoding" in values:
                return
        else:
            self.expects_continue = False
        if length is None:
            self.length = 0
            return
        digits = length.strip(b" \t")
        if not digits.isdigit() or len(digits) > 18:
            raise Refused(refusals.LENGTH)
        self.length = int(digits)
        if self.length > self._limits.body_bytes:
            raise Refused(refusals.BODY)

    def _read_special(self, values: dict[str, bytes]) -> None:
        """What the fields say of the message that hardly any request has."""
        if "upgrade" in values:
            # The offer is not taken up. A proxy may yet believe that what follows is another protocol's,
            # and pass it on unread: none of it is read here either.
            self.keep_alive = False
        if "transfer-encoding" in values:
            self._read_coding(values)
        if "connection" in values:
            options = values["connection"].lower()
            if b"close" in options and b"close" in map(bytes.strip, options.split(b",")):
                self.keep_alive = False
        self.expects_continue = (
            "expect" in values and self.is_modern and values["expect"].lower() == b"100-continue"
        )

    def _read_host(self, host: bytes | None) -> None:
        if host is None:
            if self.is_modern:
                raise Refused(refusals.HOST)
        elif _HOST.fullmatch(host.strip(b" \t")) is None:
            raise Refused(refusals.HOST_VALUE)
        else:
            self._host = host

    def _read_coding(self, values: dict[str, bytes]) -> None:
        if "content-length" in values:
            raise Refused(refusals.TWO_LENGTHS)
        coding = values["transfer-encoding"].strip(b" \t").lower()
        if coding != b"chunked" or not self.is_modern:
            raise Refused(refusals.CODING)
        self.length = CHUNKED
        self._parser = None


def _key(name: bytes) -> str:
    return name.lower().decode("latin-1")


def _read_repeated(head: bytes) -> dict[str, bytes]:
    """The fields of a head that names some twice; httptools has already found them well-formed."""
    values: dict[str, bytes] = {}
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        key, value = _key(name), value.strip(b" \t")
        if key in values:
            if key in _ONCE:
                raise Refused(refusals.REPEATED)
            value = joined(key, values[key], value)
        values[key] = value
    return values


def _read_other_form(path: str, method: str) -> tuple[str, bytes | None]:
    """The path and host of an absolute form (`http://host/path`), and `*` for OPTIONS."""
    if path == "*" and method == "OPTIONS":
        return path, None
    scheme, separator, rest = path.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise Refused(refusals.TARGET)
    authority, slash, rest = rest.partition("/")
    host = authority.encode("ascii")
    if not host or host[:1] == b":" or _HOST.fullmatch(host) is None:
        raise Refused(refusals.TARGET)
    return slash + rest if slash else "/", host


def _compare(authority: bytes, host: bytes) -> None:
    """Refuse a target that names one host beside a field that names another: who reads which?"""
    if authority.lower() != host.strip(b" \t").lower():
        raise Refused(refusals.AUTHORITY)
