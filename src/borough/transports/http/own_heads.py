"""Heads as a caller of our own writes them, read again without parsing: the beginning, then what differs.

From call to call only few values differ, and they come last: the trace, for whom the door of a fleet
speaks, the time. A beginning that the parser has taken, byte for byte, followed by lines that leave no
choice, means what it meant then. A query counts for nothing in it, if it leaves no choice either.
Whatever looks different in a single byte goes to the parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from borough.telemetry.trace import TraceContext, usual_context
from borough.transports.http import wire
from borough.transports.http.message import Connection, Headers, Request

__all__ = ["OwnBeginning", "OwnHead", "OwnHeads"]

_TRACE = b"\r\ntraceparent: "
_TIME = b"borough-timeout-ms: "
_TO_TIME = 70
"""From the name of the trace to what follows its line."""
_ASKED = re.compile(rb"[A-Z]+ [^ ?\r\n]+\?([A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*) HTTP/1\.1\r\n")
_TRACE_LINE = rb"traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\r\n"
_FOR_WHOM = (
    rb"(?:authorization: ([!-~](?:[ -~]{0,4094}[!-~])?)\r\n)?"
    rb"(?:x-forwarded-for: ([!-~](?:[ -~]{0,510}[!-~])?)\r\n)?"
    rb"(?:borough-client: ([!-~]{1,64} [0-9]{1,5})\r\n)?"
    rb"(?:borough-principal: ([A-Za-z0-9_-]{1,8192})\r\n)?"
)
_END = rb"borough-timeout-ms: ([0-9]{1,9})\r\n(?:content-length: ([0-9]{1,9})\r\n)?\r\n"
_REST = re.compile(_TRACE_LINE + _FOR_WHOM + _END)
_SHORT_REST = re.compile(_TRACE_LINE + _END)
"""The same of who speaks for nobody: what may be missing takes time even where it is."""
_LAST = (
    "traceparent", "authorization", "x-forwarded-for", wire.CLIENT, wire.PRINCIPAL, wire.TIMEOUT_MS,
    "content-length",
)  # fmt: skip
"""What comes after the beginning, in this order."""
_KNOWN_LAST = frozenset(_LAST)
_MEANT_FOR_THE_CONNECTION = frozenset({"connection", "expect", "transfer-encoding", "upgrade"})
_BESIDE_THE_TRACE = ("tracestate", "baggage")
_MOST = 512
_LONGEST = 1024


class OwnBeginning(NamedTuple):
    """What a beginning means. The fields have their places kept for what follows: it is written over."""

    text: bytes
    method: str
    path: str
    values: dict[str, bytes]
    is_bare: bool
    """Whether nothing travels beside the trace."""


OwnHead = tuple[Request, int, int, OwnBeginning]
"""The request, the length of its body, where that begins, and how the head began. A named tuple would take
as long to make as to read."""


class OwnHeads:
    """The beginnings that are known. All connections of a server share them; few are kept, none is long."""

    __slots__ = ("_beginnings",)

    def __init__(self) -> None:
        self._beginnings: dict[bytes, OwnBeginning] = {}

    def read(
        self, data: bytes, connection: Connection, likely: OwnBeginning | None
    ) -> OwnHead | None:
        """The head at the start of `data`; None where it is not known to be one of these.

        `likely`: how the last one of this connection began; most begin alike.
        """
        if likely is not None and data.startswith(likely.text):
            known, at, query = likely, len(likely.text), ""
        else:
            found = self._find(data)
            if found is None:
                return None
            known, at, query = found
        _, method, path, first, is_bare = known
        values = first.copy()
        if data.startswith(_TIME, at + _TO_TIME):
            rest = _SHORT_REST.match(data, at)
            if rest is None:
                return None
            trace, timeout_ms, length = rest.groups()
        else:
            rest = _REST.match(data, at)
            if rest is None:
                return None
            trace, token, hops, client, principal, timeout_ms, length = rest.groups()
            if token is not None:
                values["authorization"] = token
            if hops is not None:
                values["x-forwarded-for"] = hops
            if client is not None:
                values["borough-client"] = client
            if principal is not None:
                values["borough-principal"] = principal
        values["traceparent"] = trace
        values["borough-timeout-ms"] = timeout_ms
        if length is None:
            size = 0
            values.pop("content-length", None)
        else:
            size = int(length)
            values["content-length"] = length
        context: TraceContext | None = usual_context(trace.decode()) if is_bare else None
        request = Request(
            method,
            path,
            query,
            Headers(values),
            b"",
            connection,
            None,
            context,
            int(timeout_ms) / 1000,
        )
        return request, size, rest.end(), known

    def _find(self, data: bytes) -> tuple[OwnBeginning, int, str] | None:
        """How a head begins, where that ends, and its query."""
        at = data.find(_TRACE, 0, _LONGEST) + 2
        known = self._beginnings.get(data[:at])
        if known is not None:
            return known, at, ""
        asked = _ASKED.match(data, 0, at)
        if asked is None:
            return None
        start, end = asked.span(1)
        known = self._beginnings.get(data[: start - 1] + data[end:at])
        return None if known is None else (known, at, data[start:end].decode())

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
        is_bare = not any(name in first for name in _BESIDE_THE_TRACE)
        for name in ("traceparent", wire.TIMEOUT_MS, "content-length"):
            first[name] = b""
        if len(self._beginnings) >= _MOST:
            self._beginnings.clear()
        self._beginnings[beginning] = OwnBeginning(
            beginning, request.method, request.path, first, is_bare
        )
