"""A head is read alike by who has read many and by who has read none."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from borough.errors import InvalidRequest
from borough.transports.http import wire
from borough.transports.http.arriving import arriving_trace
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import Connection, Request
from borough.transports.http.refusals import Refused
from borough.transports.http.request_head import HeadReader, KnownParts

LIMITS = ServerLimits(body_bytes=10_000, fields=16)
TRACE = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n"
OWN = (
    b"POST /pricing/totals HTTP/1.1\r\nhost: 127.0.0.1:5000\r\ncontent-type: application/json\r\n"
    + TRACE
    + b"borough-timeout-ms: 9999\r\ncontent-length: 355\r\n\r\n"
)
DOOR = (
    b"GET /search/items?q=red+shoes&limit=5 HTTP/1.1\r\nhost: x\r\naccept: */*\r\nborough-host: shop\r\n"
    + TRACE
    + b"authorization: Bearer a.b.c\r\nx-forwarded-for: ::1\r\nborough-client: ::1 4711\r\n"
    + b"borough-principal: eyJzIjoxfQ\r\n"
    + b"borough-timeout-ms: 9999\r\n\r\n"
)
CARRIED = OWN.replace(TRACE, b"baggage: tenant=acme\r\n" + TRACE)
NOWHERE = OWN.replace(b"0af7651916cd43dd8448eb211c80319c", b"0" * 32)
BARE = b"GET /pricing/nothing HTTP/1.1\r\nhost: x\r\n" + TRACE + b"borough-timeout-ms: 5\r\n\r\n"
LINES = st.sampled_from(
    [
        b"host: x",
        b"Host: y",
        b"content-type: application/json",
        b"content-length: 3",
        b"content-length: 4",
        b"Content-Length: 5 ",
        b"borough-timeout-ms: 9999",
        b"borough-timeout-ms: 08",
        b"borough-timeout-ms: x",
        TRACE[:-2],
        TRACE[:-4] + b"01",
        TRACE[:13] + b"00-" + b"0" * 32 + TRACE[48:-2],
        b"tracestate: vendor=1",
        b"baggage: tenant=acme",
        b"x-traceparent: 1",
        b"transfer-encoding: chunked",
        b"connection: close",
        b"expect: 100-continue",
        b"upgrade: h2c",
        b" folded",
        b"cookie: a=b",
        b"authorization: Bearer x",
        b"authorization:  Bearer x ",
        b"borough-client: 1.2.3.4 5",
        b"x-forwarded-for: 1.2.3.4, ::1",
        b"borough-principal: e30",
    ]
)
STARTS = st.sampled_from(
    [
        b"POST /pricing/totals HTTP/1.1",
        b"POST /pricing/totals?x=1 HTTP/1.1",
        b"POST /pricing/totals? HTTP/1.1",
        b"GET /search/items?q=%20&x=/?#y HTTP/1.1",
        b"GET /search/items?q=blue HTTP/1.1",
        b"GET /a HTTP/1.0",
        b"HEAD /a HTTP/1.1",
        b"GET http://x/a HTTP/1.1",
        b"GET  /a HTTP/1.1",
    ]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Heads of a few lines, in order or not, and our own with one byte changed."""
    if draw(st.booleans()):
        lines = [draw(STARTS), *draw(st.lists(LINES, max_size=6)), b"", b""]
        return b"\r\n".join(lines)
    own = draw(st.sampled_from([OWN, BARE, DOOR, CARRIED, NOWHERE]))
    at, byte = draw(st.integers(0, len(own) - 5)), draw(st.integers(0, 255))
    return own[:at] + bytes([byte]) + own[at + 1 :]


def read(reader: HeadReader, head: bytes, following: bytes) -> Any:
    """What a connection gets to know of a head."""
    connection = Connection(("", 0))
    data = head + following
    try:
        request, end = reader.read_own(data, connection), reader.end
        if request is None:
            end = data.find(b"\r\n\r\n") + 4
            request = reader.read(data[:end], connection)
    except Refused as refused:
        return refused.refusal.answer(b"")
    framing = (reader.length, reader.is_head, reader.is_modern, reader.keep_alive)
    asked = (request.method, request.path, request.query, sorted(request.headers.items()))
    return end, framing, reader.expects_continue, asked, trace_of(request), timeout_of(request)


def trace_of(request: Request) -> tuple[str, str, str, str]:
    """The trace that it belongs to."""
    found = arriving_trace(request, None, bytes, is_strange=False)
    return found.traceparent, found.parent, found.state, found.baggage


def timeout_of(request: Request) -> float | str | None:
    """How long its caller waits."""
    if request.timeout_s is not None:
        return request.timeout_s
    try:
        return wire.read_timeout_s(request.headers.get(wire.TIMEOUT_MS))
    except InvalidRequest as error:
        return error.detail


@settings(max_examples=150, deadline=None)
@given(st.lists(heads(), min_size=1, max_size=6), st.sampled_from([b"", b"{}", OWN]))
@example([OWN.replace(b"content-type", b"content-length: 3\r\ncontent-type")], b"")
@example([CARRIED, OWN, CARRIED, NOWHERE, DOOR], b"")
@example([OWN.replace(b"host:", b"borough-timeout-ms: 7\r\nhost:")], b"")
@example([b"POST /a HTTP/1.1\r\ncontent-length: 3\r\nhost: x\r\n" + BARE[41:]], b"abc")
def test_what_was_read_before_changes_nothing(came: list[bytes], following: bytes) -> None:
    known = KnownParts()
    before = HeadReader(LIMITS, known)
    for head in (OWN, OWN, BARE, BARE, DOOR, *came, *came, *came):
        fresh = read(HeadReader(LIMITS, KnownParts()), head, following)
        assert read(HeadReader(LIMITS, known), head, following) == fresh
        assert read(before, head, following) == fresh
        if isinstance(fresh, bytes):  # a connection on which one was refused reads no other
            before = HeadReader(LIMITS, known)
        else:
            before.forget()


def test_the_head_of_our_own_caller_is_not_parsed_again() -> None:
    known = KnownParts()
    connection = Connection(("", 0))
    for _ in range(2):
        HeadReader(LIMITS, known).read(OWN, connection)
    reader = HeadReader(LIMITS, known)
    later = OWN.replace(b"9999", b"42").replace(b"355", b"2")
    request = reader.read_own(later + b"{}", connection)
    assert request is not None
    assert (reader.length, reader.end) == (2, len(later))
    assert request.headers.get("Borough-Timeout-Ms") == "42"
    assert (request.timeout_s, request.trace is not None) == (0.042, True)


def test_neither_the_query_nor_for_whom_a_door_speaks_makes_it_parse_again() -> None:
    known = KnownParts()
    connection = Connection(("", 0))
    HeadReader(LIMITS, known).read(DOOR, connection)
    reader = HeadReader(LIMITS, known)
    other = DOOR.replace(b"red+shoes", b"b%C3%BCrste").replace(b"::1 4711", b"10.1.2.3 80")
    for later in (other, other.replace(b"authorization: Bearer a.b.c\r\n", b"")):
        request = reader.read_own(later, connection)
        assert request is not None
        assert (request.path, request.query) == ("/search/items", "q=b%C3%BCrste&limit=5")
        assert request.headers.get("borough-client") == "10.1.2.3 80"
        assert request.headers.get("accept") == "*/*"


def test_a_target_above_the_limit_is_left_to_the_parser() -> None:
    limits, known = ServerLimits(url_bytes=40, fields=16), KnownParts()
    HeadReader(limits, known).read(DOOR, Connection(("", 0)))
    later = DOOR.replace(b"red", b"a" * 20)
    assert HeadReader(limits, known).read_own(later, Connection(("", 0))) is None


def test_a_body_above_the_limit_is_left_to_the_parser() -> None:
    known = KnownParts()
    for _ in range(2):
        HeadReader(LIMITS, known).read(OWN, Connection(("", 0)))
    later = OWN.replace(b"355", b"10001")
    assert HeadReader(LIMITS, known).read_own(later, Connection(("", 0))) is None


def test_only_few_beginnings_are_kept() -> None:
    known, head = KnownParts(), OWN
    for number in range(1000):
        head = OWN.replace(b"totals", b"totals%d" % number)
        for _ in range(2):
            HeadReader(LIMITS, known).read(head, Connection(("", 0)))
    last = OWN.replace(b"totals", b"totals999")
    assert HeadReader(LIMITS, known).read_own(last, Connection(("", 0))) is not None
    first = OWN.replace(b"totals", b"totals0")
    assert HeadReader(LIMITS, known).read_own(first, Connection(("", 0))) is None
