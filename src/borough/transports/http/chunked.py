"""Reads a chunked request body (RFC 9112, 7.1) strictly, and counts while it reads.

Pure: bytes go in, the body and what follows it come out. Chunk extensions and trailers are
checked for form and thrown away; fields that frame or route a message never come late.
"""

from __future__ import annotations

import re

from borough.transports.http import refusals
from borough.transports.http.limits import ServerLimits
from borough.transports.http.refusals import Refused

__all__ = ["ChunkedBody"]

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e\x80-\xff]*)?\Z")
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*\Z")
_NEVER_LATE = frozenset({b"content-length", b"transfer-encoding", b"host"})

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedBody:
    """One body on its way."""

    __slots__ = (
        "_buffer", "_data", "_framing", "_limits", "_missing", "_size", "_state", "_trailers",
        "is_complete", "seen",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._buffer = b""
        self._data = bytearray()
        self._size = 0
        self.seen = 0
        self._missing = 0
        self._framing = 0
        self._trailers = 0
        self._state = _SIZE
        self.is_complete = False

    @property
    def body(self) -> bytes:
        """What has come so far."""
        return bytes(self._data)

    @property
    def held_bytes(self) -> int:
        """How much is kept of what has come."""
        return len(self._data) + len(self._buffer)

    @property
    def rest(self) -> bytes:
        """What came after the end of the body."""
        return self._buffer

    def feed(self, data: bytes) -> None:
        """Take bytes; `is_complete` tells whether they were the last needed. Raises `Refused`."""
        self.seen += len(data)
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while not self.is_complete:
            if self._state == _DATA:
                took = min(self._missing, len(buffer) - at)
                self._data += buffer[at : at + took]
                at += took
                self._missing -= took
                if self._missing:
                    break
                self._state = _DATA_END
            end = buffer.find(b"\r\n", at)
            if end < 0:
                self._look_ahead(buffer[at:])
                break
            self._line(buffer[at:end])
            at = end + 2
        self._buffer = buffer[at:]

    def _look_ahead(self, line: bytes) -> None:
        """Refuse the beginning of a line that can only become a wrong one."""
        limits = self._limits
        if self._state == _DATA_END and line not in (b"", b"\r"):
            raise Refused(refusals.CHUNK)
        if self._state == _TRAILERS:
            if self._trailers + len(line) > limits.trailer_bytes:
                raise Refused(refusals.HEAD)
        elif len(line) > limits.chunk_line_bytes + 1:
            raise Refused(refusals.CHUNK)
        if b"\n" in line or b"\r" in line[:-1]:
            raise Refused(refusals.CHUNK)

    def _line(self, line: bytes) -> None:
        if self._state == _TRAILERS:
            self._trailer(line)
            return
        # A chunk of one byte costs five more: without a bound, those are work for nothing.
        self._framing += len(line) + 2
        if self._framing > self._limits.framing_bytes:
            raise Refused(refusals.FRAMING)
        if len(line) > self._limits.chunk_line_bytes:
            raise Refused(refusals.CHUNK)
        if self._state == _SIZE:
            self._size_line(line)
        elif line:
            raise Refused(refusals.CHUNK)
        else:
            self._state = _SIZE

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.is_complete = True
            return
        self._trailers += len(line) + 2
        if self._trailers > self._limits.trailer_bytes:
            raise Refused(refusals.HEAD)
        found = _TRAILER.match(line)
        if found is None or found[1].lower() in _NEVER_LATE:
            raise Refused(refusals.CHUNK)

    def _size_line(self, line: bytes) -> None:
        found = _SIZE_LINE.match(line)
        if found is None:
            raise Refused(refusals.CHUNK)
        size = int(found[1], 16)
        self._size += size
        if self._size > self._limits.body_bytes:
            raise Refused(refusals.BODY)
        self._missing = size
        self._state = _DATA if size else _TRAILERS
