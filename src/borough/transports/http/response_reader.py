"""Reads the answers on one client connection; httptools parses. Pure: it only takes bytes.

An answer may be framed by a length, by chunks or by the end of the connection. Interim answers
(1xx) are passed over. Bytes after the end of an answer make the connection unfit for another.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import FIELD_NAMES, Headers, joined

__all__ = ["BadAnswer", "Heads", "ResponseReader"]

Heads = dict[bytes, tuple[int, Headers, int]]
"""Heads that were read before, to status, fields and length: the same bytes mean the same again."""

_NO_LIMIT = 2**63
_MOST_HEADS = 256


class BadAnswer(Exception):
    """What came is no answer, or more than is borne."""


class ResponseReader:
    """The answer that is coming in, as far as it is here."""

    __slots__ = (
        "_body_limit", "_fault", "_gathered", "_head_bytes", "_heads", "_is_bodiless", "_length", "_limits",
        "_parser", "_size",
        "_trailer_bytes", "_values", "ends_with_connection", "has_excess", "has_head", "headers",
        "is_complete", "is_reusable", "parts", "status",
    )  # fmt: skip

    def __init__(self, limits: ClientLimits, heads: Heads) -> None:
        """`heads` is shared by the readers of all connections to one origin."""
        self._limits = limits
        self._heads = heads
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._fault: str | None = None
        self.status = 0
        self.headers = Headers({})
        self.has_excess = self.ends_with_connection = self.is_reusable = False
        self._values: dict[str, bytes] = {}
        self.parts: list[bytes] = []
        self.start(False, False)
        self._begin()

    def start(self, is_bodiless: bool, is_stream: bool) -> None:
        """Make ready for the next answer; that to HEAD is bodiless, a stream has no size limit."""
        self._head_bytes = 0
        self._is_bodiless = is_bodiless
        self._body_limit = _NO_LIMIT if is_stream else self._limits.body_bytes

    def _begin(self) -> None:
        """Forget the last answer that was fed: most answers are never fed at all."""
        self._values = {}
        self._size = self._trailer_bytes = 0
        self._length = -1
        self._gathered = 0
        self.parts = []
        self.has_head = self.is_complete = False

    @property
    def has_begun(self) -> bool:
        """Whether any byte of the answer has come."""
        return self._head_bytes > 0

    def take_known(self, data: bytes) -> tuple[int, Headers, bytes] | None:
        """Status, fields and body of an answer that comes whole and alone, under a head read before.

        None for any other: it is to be fed. Nothing of this one goes through the parser, which is
        between two answers before and after.
        """
        if self._head_bytes or self._is_bodiless:
            return None
        end = data.find(b"\r\n\r\n") + 4
        known = self._heads.get(data[:end])
        if known is None or len(data) - end != known[2] or known[2] > self._body_limit:
            return None
        return known[0], known[1], data[end:]

    def _keep_head(self, data: bytes) -> None:
        """Know the head of an answer again that has come whole and alone, and that says how long it is."""
        end = len(data) - self._size
        if (
            self._length == self._size
            and self.is_reusable
            and not (self._is_bodiless or self.has_excess)
            and data.find(b"\r\n\r\n") == end - 4
        ):
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[data[:end]] = (self.status, self.headers, self._size)

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises `BadAnswer`; afterwards the connection is of no more use."""
        is_first = not self._head_bytes
        if is_first:
            self._begin()
        if not self.has_head:
            self._head_bytes += len(data)
        parser = self._parser
        if parser is None:
            parser = self._parser = HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            raise BadAnswer("it switched protocols unasked") from None
        except HttpParserError as error:
            if not self.is_complete:
                raise BadAnswer(str(error)) from None
            self.has_excess = True
        if self._fault is not None:
            raise BadAnswer(self._fault)
        if not self.has_head and self._head_bytes > self._limits.head_bytes:
            raise BadAnswer(f"its head is above {self._limits.head_bytes} bytes")
        if is_first and self.is_complete:
            self._keep_head(data)

    def take_parts(self) -> list[bytes]:
        """What has come of the body since the last time."""
        parts, self.parts = self.parts, []
        return parts

    def gather(self) -> None:
        """Make one of the pieces that have come since the last time: many small ones take many times their size."""
        parts, begun = self.parts, self._gathered
        if len(parts) - begun > 1:
            parts[begun:] = [b"".join(parts[begun:])]
        self._gathered = len(parts)

    # --- httptools calls -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.has_excess = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:
            self._trailer_bytes += len(name) + len(value)
            if self._trailer_bytes > self._limits.head_bytes:
                self._fault = f"its trailers are above {self._limits.head_bytes} bytes"
            return
        key = FIELD_NAMES.get(name) or name.lower().decode("latin-1")
        values = self._values
        values[key] = joined(key, values[key], value) if key in values else value

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None or self.has_excess:
            return
        status = parser.get_status_code()
        if status < 200:
            if status == 101:
                self._fault = "it switched protocols unasked"
            self._values = {}
            return
        self.status = status
        self.has_head = True
        values, self._values = self._values, {}
        self.headers = Headers(values)
        length = values.get("content-length")
        if self._is_bodiless:
            self.is_reusable = parser.should_keep_alive()
            self.is_complete = True
            self._parser = None  # it would wait for a body
        elif length is not None:
            self._length = int(length)
            if self._length > self._body_limit:
                self._fault = f"its body is above {self._body_limit} bytes"
        elif "transfer-encoding" not in values:
            self.ends_with_connection = status not in (204, 304)
        elif values["transfer-encoding"].strip().lower() != b"chunked":
            self._fault = "its body has a transfer coding other than 'chunked'"

    def on_body(self, data: bytes) -> None:
        if self.is_complete:
            self.has_excess = True
            return
        self._size += len(data)
        if self._size > self._body_limit:
            self._fault = f"its body is above {self._body_limit} bytes"
            return
        self.parts.append(data)

    def on_message_complete(self) -> None:
        if self.has_head and not self.is_complete:
            self.is_complete = True
            self.is_reusable = self._parser is not None and self._parser.should_keep_alive()
