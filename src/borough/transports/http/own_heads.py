"""Heads as a caller of our own writes them, read again without parsing: the beginning, the trace, the time.

From call to call only three values differ, and they come last. A beginning that the parser has taken,
byte for byte, followed by lines that leave no choice, means what it meant then. Whatever looks
different in a single byte goes to the parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from borough.transports.http import wire

__all__ = ["OwnHead", "OwnHeads"]

_TRACE = b"\r\ntraceparent: "
_REST = re.compile(
    rb"traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\r\n"
    rb"borough-timeout-ms: ([0-9]{1,9})\r\n"
    rb"(?:content-length: ([0-9]{1,9})\r\n)?\r\n"
)
_FIELDS = frozenset({"host", "content-type", "traceparent", wire.TIMEOUT_MS, "content-length"})
_LAST = frozenset({"traceparent", wire.TIMEOUT_MS, "content-length"})
_MOST = 256
_LONGEST = 512


class _Beginning(NamedTuple):
    """What a beginning means."""

    method: str
    path: str
    query: str
    values: dict[str, bytes]


OwnHead = tuple[str, str, str, dict[str, bytes], int, int]
"""Method, path, query, fields, and length of the body that begins at the last number. A named tuple would
take as long to make as to read."""


class OwnHeads:
    """The beginnings that are known. All connections of a server share them; few are kept, none is long."""

    __slots__ = ("_beginnings",)

    def __init__(self) -> None:
        self._beginnings: dict[bytes, _Beginning] = {}

    def read(self, data: bytes) -> OwnHead | None:
        """The head at the start of `data`; None where it is not known to be one of these."""
        at = data.find(_TRACE, 0, _LONGEST) + 2
        known = self._beginnings.get(data[:at])
        if known is None:
            return None
        rest = _REST.match(data, at)
        if rest is None:
            return None
        method, path, query, first = known
        trace, timeout_ms, length = rest.groups()
        values = {**first, "traceparent": trace, "borough-timeout-ms": timeout_ms}
        if length is None:
            return method, path, query, values, 0, rest.end()
        values["content-length"] = length
        return method, path, query, values, int(length), rest.end()

    def keep(
        self, head: bytes, method: str, path: str, query: str, values: dict[str, bytes]
    ) -> None:
        """Know the beginning of a head again that has been parsed, if it is one of these.

        `values` has each of its fields, none of them sent twice; it is an HTTP/1.1 head, and not for HEAD.
        """
        at = head.find(_TRACE, 0, _LONGEST) + 2
        rest = _REST.fullmatch(head, at)
        if rest is None or not _FIELDS.issuperset(values):
            return
        first = {name: value for name, value in values.items() if name not in _LAST}
        if len(values) - len(first) != (2 if rest[3] is None else 3):
            return  # the beginning says the length
        if len(self._beginnings) >= _MOST:
            self._beginnings.clear()
        self._beginnings[head[:at]] = _Beginning(method, path, query, first)
