"""Reads the head of a request: httptools parses, and what it lets pass is refused here.

The whole head is fed at once and alone, so that the bytes after it are framed by what was read
here and nothing else. A reader serves one connection, head after head.
"""

from __future__ import annotations

import re

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from borough.transports.http import refusals
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import FIELD_NAMES, Connection, Headers, Request, joined
from borough.transports.http.refusals import Refused, malformed

__all__ = ["CHUNKED", "HeadReader"]

CHUNKED = -1
"""The length of a body that comes in chunks."""

_ONCE = frozenset({"host", "content-length", "transfer-encoding"})
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_FIRST_LETTER = 65


class HeadReader:
    """Reads heads; after `read` the attributes tell how the last message is framed."""

    __slots__ = (
        "_fields", "_host", "_limits", "_parser", "expects_continue", "is_head", "is_modern", "keep_alive",
        "length", "on_header",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._fields: dict[bytes, bytes] = {}
        # httptools calls straight into the dictionary: half the cost of a method. A field sent
        # twice is then lost, which the number of lines gives away.
        self.on_header = self._fields.__setitem__
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._host: bytes | None = b""  # the last one that was in order; most requests repeat it
        self.length = 0
        self.is_head = False
        self.is_modern = True
        self.keep_alive = True
        self.expects_continue = False

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
        try:
            method, target, version = head[: head.find(b"\r\n")].decode("ascii").split(" ")
        except ValueError:
            raise Refused(refusals.START_LINE) from None
        if version == "HTTP/1.1":
            self.is_modern = self.keep_alive = True
        elif version == "HTTP/1.0":
            self.is_modern = self.keep_alive = False
        else:
            raise Refused(refusals.START_LINE)
        if len(target) > self._limits.url_bytes:
            raise Refused(refusals.URL)
        path, _, query = target.partition("?")
        authority = None
        if path[:1] != "/":
            path, authority = _read_other_form(path, method)
        if "#" in target:
            raise Refused(refusals.TARGET)
        names = FIELD_NAMES
        values = {names.get(key) or _key(key): value for key, value in fields.items()}
        if len(values) != count:
            values = _read_repeated(head)
        self._read_framing(values)
        if authority is not None and "host" in values:
            _compare(authority, values["host"])
        self.is_head = method == "HEAD"
        return Request(
            "GET" if self.is_head else method, path, query, Headers(values), b"", connection
        )

    def _parse(self, head: bytes) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            is_connect = head.startswith(b"CONNECT ")
            raise Refused(refusals.CONNECT if is_connect else refusals.UPGRADE) from None
        except HttpParserInvalidMethodError:
            raise Refused(refusals.METHOD) from None
        except HttpParserInvalidURLError:
            raise Refused(refusals.TARGET) from None
        except HttpParserError as error:
            raise Refused(malformed(str(error))) from None

    def pass_body(self, body: bytes) -> None:
        """Tell the parser that the body of the last head has gone by."""
        if self._parser is not None:
            self._parser.feed_data(body)

    def forget(self) -> None:
        """Start with a fresh parser: the last body did not go through this one."""
        self._parser = None

    def _read_framing(self, values: dict[str, bytes]) -> None:
        modern = self.is_modern
        host = values.get("host")
        if host != self._host:
            self._read_host(host)
        if "upgrade" in values:
            raise Refused(refusals.UPGRADE)
        if "transfer-encoding" in values:
            self._read_coding(values)
        elif "content-length" in values:
            length = values["content-length"].strip(b" \t")
            if not length.isdigit() or len(length) > 18:
                raise Refused(refusals.LENGTH)
            self.length = int(length)
            if self.length > self._limits.body_bytes:
                raise Refused(refusals.BODY)
        else:
            self.length = 0
        if "connection" in values:
            options = values["connection"].lower()
            if b"close" in options and b"close" in map(bytes.strip, options.split(b",")):
                self.keep_alive = False
        self.expects_continue = (
            "expect" in values and modern and values["expect"].lower() == b"100-continue"
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
