"""Reads a chunked request body (RFC 9112, 7.1) strictly, and counts while it reads.

Pure: bytes go in, the body and what follows it come out. Chunk extensions and trailers are
checked for form and thrown away.
"""

from __future__ import annotations

import re

from borough.transports.http import refusals
from borough.transports.http.refusals import Refused

__all__ = ["ChunkedBody"]

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e\x80-\xff]*)?\Z")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\Z")
_MAX_LINE = 1024
_MAX_TRAILERS = 8192
_OVERHEAD_PER_BODY_BYTE = 16

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedBody:
    """One body on its way."""

    __slots__ = (
        "_buffer",
        "_limit",
        "_missing",
        "_parts",
        "_size",
        "_state",
        "_trailers",
        "is_complete",
        "seen",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = b""
        self._parts: list[bytes] = []
        self._size = 0
        self.seen = 0
        self._missing = 0
        self._trailers = 0
        self._state = _SIZE
        self.is_complete = False

    @property
    def body(self) -> bytes:
        """What has come so far."""
        return b"".join(self._parts)

    @property
    def rest(self) -> bytes:
        """What came after the end of the body."""
        return self._buffer

    def feed(self, data: bytes) -> None:
        """Take bytes; `is_complete` tells whether they were the last needed. Raises `Refused`."""
        self.seen += len(data)
        # Chunks of one byte cost five bytes of framing; far more than that is abuse.
        if self.seen > self._limit * _OVERHEAD_PER_BODY_BYTE + _MAX_TRAILERS:
            raise Refused(refusals.BODY)
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while not self.is_complete:
            if self._state == _DATA:
                took = min(self._missing, len(buffer) - at)
                if took:
                    self._parts.append(buffer[at : at + took])
                at += took
                self._missing -= took
                if self._missing:
                    break
                self._state = _DATA_END
            end = buffer.find(b"\r\n", at)
            if end < 0:
                if len(buffer) - at > _MAX_LINE or b"\n" in buffer[at:]:
                    raise Refused(refusals.CHUNK)
                break
            self._line(buffer[at:end])
            at = end + 2
        self._buffer = buffer[at:]

    def _line(self, line: bytes) -> None:
        if len(line) > _MAX_LINE:
            raise Refused(refusals.CHUNK)
        if self._state == _SIZE:
            self._size_line(line)
        elif self._state == _DATA_END:
            if line:
                raise Refused(refusals.CHUNK)
            self._state = _SIZE
        elif not line:
            self.is_complete = True
        else:
            self._trailers += len(line)
            if self._trailers > _MAX_TRAILERS:
                raise Refused(refusals.HEAD)
            if not _TRAILER.match(line):
                raise Refused(refusals.CHUNK)

    def _size_line(self, line: bytes) -> None:
        found = _SIZE_LINE.match(line)
        if found is None:
            raise Refused(refusals.CHUNK)
        size = int(found[1], 16)
        self._size += size
        if self._size > self._limit:
            raise Refused(refusals.BODY)
        self._missing = size
        self._state = _DATA if size else _TRAILERS
