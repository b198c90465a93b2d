"""Reads the head of a request: httptools parses, and what it lets pass is refused here.

The whole head is fed at once and alone, so that the bytes after it are framed by what was read
here and nothing else. A reader serves one connection, head after head.
"""

from __future__ import annotations

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from borough.transports.http import refusals
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import FIELD_NAMES, Headers, joined
from borough.transports.http.refusals import Refused, malformed

__all__ = ["CHUNKED", "HeadReader"]

CHUNKED = -1
"""The length of a body that comes in chunks."""

_METHODS = {
    name.encode(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
}
_ONCE = frozenset({"host", "content-length", "transfer-encoding"})


class HeadReader:
    """Reads heads; after `read` the attributes tell what the last one said."""

    __slots__ = (
        "_limits", "_parser", "_repeated", "_target", "_values", "expects_continue", "headers",
        "is_modern", "keep_alive", "length", "method", "path", "query",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._values: dict[str, bytes] = {}
        self._repeated = False
        self._target = b""
        self.headers = Headers(self._values)
        self.method = ""
        self.path = ""
        self.query = ""
        self.length = 0
        self.keep_alive = True
        self.is_modern = True
        self.expects_continue = False

    def on_url(self, target: bytes) -> None:
        self._target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        key = FIELD_NAMES.get(name) or name.lower().decode("latin-1")
        values = self._values
        value = value.rstrip(b" \t")  # httptools leaves what trails
        if key in values:
            if key in _ONCE:
                self._repeated = True
            value = joined(key, values[key], value)
        values[key] = value

    def read(self, head: bytes) -> None:
        """Read one head, from its first byte to the empty line. Raises `Refused`."""
        values: dict[str, bytes] = {}
        self._values = values
        self._target = b""
        if head.count(b"\n") > self._limits.fields + 2:
            raise Refused(refusals.HEAD)
        parser = self._parser
        if parser is None:
            parser = self._parser = HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            self._parser = (
                None  # an upgrade is ignored, as RFC 9110 (7.8) allows; CONNECT is refused below
            )
        except HttpParserInvalidMethodError:
            raise Refused(refusals.METHOD) from None
        except HttpParserInvalidURLError:
            raise Refused(refusals.TARGET) from None
        except HttpParserError as error:
            raise Refused(malformed(str(error))) from None
        method = parser.get_method()
        self._read_start_line(head, method)
        self.method = _METHODS.get(method) or method.decode("ascii")
        self.headers = Headers(values)
        self._read_framing(values)

    def pass_body(self, body: bytes) -> None:
        """Tell the parser that the body of the last head has gone by."""
        if self._parser is not None:
            self._parser.feed_data(body)

    def forget(self) -> None:
        """Start with a fresh parser: the last body did not go through this one."""
        self._parser = None

    def _read_start_line(self, head: bytes, method: bytes) -> None:
        target = self._target
        end = head.find(b"\r\n")
        version = head[end - 9 : end]
        if version == b" HTTP/1.1":
            self.is_modern = True
        elif version == b" HTTP/1.0":
            self.is_modern = False
        else:
            raise Refused(refusals.START_LINE)
        if end != len(method) + len(target) + 10:
            raise Refused(refusals.START_LINE)
        if len(target) > self._limits.url_bytes:
            raise Refused(refusals.URL)
        if method == b"CONNECT":
            raise Refused(refusals.CONNECT)
        path, _, self.query = target.decode("latin-1").partition("?")
        if path[:1] != "/":
            path = self._read_other_form(path, method)
        self.path = path
        if b"#" in target:
            raise Refused(refusals.TARGET)

    def _read_other_form(self, path: str, method: bytes) -> str:
        """The path of an absolute form (`http://host/path`), and `*` for OPTIONS."""
        if path == "*" and method == b"OPTIONS":
            return path
        scheme, separator, rest = path.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise Refused(refusals.TARGET)
        authority, slash, rest = rest.partition("/")
        if not authority or "@" in authority:
            raise Refused(refusals.TARGET)
        return slash + rest if slash else "/"

    def _read_framing(self, values: dict[str, bytes]) -> None:
        if self._repeated:
            raise Refused(refusals.REPEATED)
        modern = self.is_modern
        if "host" not in values and modern:
            raise Refused(refusals.HOST)
        self.expects_continue = False
        length = values.get("content-length")
        if "transfer-encoding" in values:
            self._read_coding(values["transfer-encoding"].lower(), length)
        elif length is None:
            self.length = 0
        elif length.isdigit() and len(length) < 19:
            self.length = int(length)
            if self.length > self._limits.body_bytes:
                raise Refused(refusals.BODY)
        else:
            raise Refused(refusals.LENGTH)
        self.keep_alive = modern
        if "connection" in values and b"close" in values["connection"].lower():
            self.keep_alive = False
        if "expect" in values and modern:
            self.expects_continue = values["expect"].lower() == b"100-continue"

    def _read_coding(self, coding: bytes, length: bytes | None) -> None:
        if length is not None:
            raise Refused(refusals.TWO_LENGTHS)
        if coding != b"chunked":
            known_end = (
                coding.endswith(b"chunked") and coding.count(b"chunked") == 1 and b"," in coding
            )
            raise Refused(refusals.CODING_UNKNOWN if known_end else refusals.CODING)
        if not self.is_modern:
            raise Refused(refusals.CODING)
        self.length = CHUNKED
        self._parser = None
