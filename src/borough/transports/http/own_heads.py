"""Heads as a caller of our own writes them, read again without parsing: the beginning, then what differs.

From call to call only few values differ, and they come last: the trace, for whom the door of a fleet
speaks, the time. A beginning that the parser has taken, byte for byte, followed by lines that leave no
choice, means what it meant then. A query counts for nothing in it, if it leaves no choice either.
Whatever looks different in a single byte goes to the parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from borough.transports.http import wire
from borough.transports.http.message import Request

__all__ = ["OwnHead", "OwnHeads"]

_TRACE = b"\r\ntraceparent: "
_ASKED = re.compile(rb"[A-Z]+ [^ ?\r\n]+\?([A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*) HTTP/1\.1\r\n")
_REST = re.compile(
    rb"traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\r\n"
    rb"(?:authorization: ([!-~](?:[ -~]{0,4094}[!-~])?)\r\n)?"
    rb"(?:x-forwarded-for: ([!-~](?:[ -~]{0,510}[!-~])?)\r\n)?"
    rb"(?:borough-client: ([!-~]{1,64} [0-9]{1,5})\r\n)?"
    rb"(?:borough-principal: ([A-Za-z0-9_-]{1,8192})\r\n)?"
    rb"borough-timeout-ms: ([0-9]{1,9})\r\n"
    rb"(?:content-length: ([0-9]{1,9})\r\n)?\r\n"
)
_LAST = (
    "traceparent", "authorization", "x-forwarded-for", wire.CLIENT, wire.PRINCIPAL, wire.TIMEOUT_MS,
    "content-length",
)  # fmt: skip
"""What comes after the beginning, in this order."""
_KNOWN_LAST = frozenset(_LAST)
_MEANT_FOR_THE_CONNECTION = frozenset({"connection", "expect", "transfer-encoding", "upgrade"})
_MOST = 512
_LONGEST = 1024


class _Beginning(NamedTuple):
    """What a beginning means."""

    method: str
    path: str
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
        known, query = self._beginnings.get(data[:at]), ""
        if known is None:
            asked = _ASKED.match(data, 0, at)
            if asked is None:
                return None
            start, end = asked.span(1)
            known = self._beginnings.get(data[: start - 1] + data[end:at])
            if known is None:
                return None
            query = data[start:end].decode()
        rest = _REST.match(data, at)
        if rest is None:
            return None
        method, path, first = known
        trace, token, hops, client, principal, timeout_ms, length = rest.groups()
        values = {**first, "traceparent": trace}
        if token is not None:
            values["authorization"] = token
        if hops is not None:
            values["x-forwarded-for"] = hops
        if client is not None:
            values["borough-client"] = client
        if principal is not None:
            values["borough-principal"] = principal
        values["borough-timeout-ms"] = timeout_ms
        if length is None:
            return method, path, query, values, 0, rest.end()
        values["content-length"] = length
        return method, path, query, values, int(length), rest.end()

    def keep(self, head: bytes, request: Request, most_fields: int) -> None:
        """Know the beginning of a head again that has been parsed, if it is one of these.

        None of its fields was sent twice; it is an HTTP/1.1 head, and not for HEAD. With all that may
        follow it, it will not have more than `most_fields`.
        """
        at = head.find(_TRACE, 0, _LONGEST) + 2
        rest, values = _REST.fullmatch(head, at), request.headers.raw
        if rest is None or not _MEANT_FOR_THE_CONNECTION.isdisjoint(values):
            return
        first = {name: value for name, value in values.items() if name not in _KNOWN_LAST}
        if len(first) + len(_LAST) > most_fields:
            return
        if len(values) - len(first) != sum(text is not None for text in rest.groups()):
            return  # the beginning says some of it
        beginning = head[:at]
        if request.query:
            asked = _ASKED.match(head)
            if asked is None:
                return
            start, end = asked.span(1)
            beginning = head[: start - 1] + head[end:at]
        if len(self._beginnings) >= _MOST:
            self._beginnings.clear()
        self._beginnings[beginning] = _Beginning(request.method, request.path, first)
