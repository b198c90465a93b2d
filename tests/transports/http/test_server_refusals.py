"""Bytes that are not a well-formed request: refused with a problem, and the connection is closed."""

import json

import pytest

from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import ServeOn
from tests.transports.http.listening import TEXT, echo

HOST = b"Host: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "two lengths": (400, POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    "two lengths in one": (400, POST + b"Content-Length: 1, 1\r\n\r\na"),
    "length and chunks": (
        400,
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunks and length": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    "length with sign": (400, POST + b"Content-Length: +1\r\n\r\na"),
    "length negative": (400, POST + b"Content-Length: -1\r\n\r\na"),
    "length hexadecimal": (400, POST + b"Content-Length: 0x1\r\n\r\na"),
    "length empty": (400, POST + b"Content-Length:\r\n\r\n"),
    "length beyond 64 bits": (400, POST + b"Content-Length: 99999999999999999999\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    "two hosts in two cases": (400, b"GET / HTTP/1.1\r\nHost: x\r\nhOST: y\r\n\r\n"),
    "chunks on 1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "not quite chunked": (400, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked not last": (400, POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    "two codings": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    "vertical tab in coding": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "unknown coding": (400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "one bare line feed": (400, b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"),
    "bare line feed at the end": (400, b"GET / HTTP/1.1\r\nHost: x\r\n\n"),
    "bare carriage return": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n"),
    "folded field": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
    "folded first field": (400, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    "space before colon": (400, b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
    "no colon": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n"),
    "no name": (400, b"GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n"),
    "NUL in value": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"),
    "control byte in value": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n"),
    "delete in value": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x7f\r\n\r\n"),
    "control byte in name": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA\x01: b\r\n\r\n"),
    "one of ours in disguise": (
        400,
        b"GET / HTTP/1.1\r\nHost: x\r\nBorough_Principal: e30\r\n\r\n",
    ),
    "another disguise": (400, b"GET / HTTP/1.1\r\nHost: x\r\nBOROUGH.Client: 1 1\r\n\r\n"),
    "NUL in target": (400, b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "tab in target": (400, b"GET /\t HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target not ASCII": (400, b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "fragment in target": (400, b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "fragment in query": (400, b"GET /a?b#c HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target without slash": (400, b"GET a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "star for GET": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target with credentials": (400, b"GET http://u@x/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target of another scheme": (400, b"GET ftp://x/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space after version": (400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "no version": (400, b"GET /\r\n\r\n"),
    "version 0.9": (400, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    "version 1.2": (400, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    "version 2.0": (400, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "another protocol": (400, b"GET / RTSP/1.0\r\n" + HOST + b"\r\n"),
    "two empty lines first": (400, b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "upgrade with two lengths": (
        400,
        POST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
    ),
    "line feed first": (400, b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "carriage return first": (400, b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "space first": (400, b" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "host with a space": (400, b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n"),
    "host with credentials": (400, b"GET / HTTP/1.1\r\nHost: u@x\r\n\r\n"),
    "host with a path": (400, b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    "two hosts in one": (400, b"GET / HTTP/1.1\r\nHost: x, y\r\n\r\n"),
    "host with an endless port": (400, b"GET / HTTP/1.1\r\nHost: x:8080808\r\n\r\n"),
    "host beside another in the target": (400, b"GET http://y/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target with a host that is none": (400, b"GET http://x\\y/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "CONNECT": (400, b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown method": (400, b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method in lower case": (400, b"get / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TLS on a clear port": (400, bytes.fromhex("16030100a5010000a10303") + b"\r\n\r\n"),
    "chunk size not hexadecimal": (400, CHUNKED + b"g\r\n"),
    "chunk size with underscore": (400, CHUNKED + b"1_0\r\n"),
    "chunk size with prefix": (400, CHUNKED + b"0x1\r\na\r\n"),
    "chunk size with sign": (400, CHUNKED + b"+1\r\na\r\n"),
    "chunk size with space": (400, CHUNKED + b"1 \r\na\r\n"),
    "chunk size too long": (400, CHUNKED + b"000000001\r\na\r\n"),
    "chunk size missing": (400, CHUNKED + b"\r\n"),
    "chunk size ends bare": (400, CHUNKED + b"1\na\r\n"),
    "chunk longer than said": (400, CHUNKED + b"1\r\nab\r\n0\r\n\r\n"),
    "chunk ends bare": (400, CHUNKED + b"1\r\na\n0\r\n\r\n"),
    "control byte in extension": (400, CHUNKED + b"1;\x01\r\na\r\n"),
    "endless extension": (400, CHUNKED + b"1;" + b"x" * 2000),
    "trailer without colon": (400, CHUNKED + b"0\r\nT\r\n\r\n"),
    "trailer with space": (400, CHUNKED + b"0\r\nT : u\r\n\r\n"),
    "trailers too long": (431, CHUNKED + b"0\r\n" + (b"T: " + b"u" * 900 + b"\r\n") * 10),
}


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED.keys())
async def test_malformed_bytes_are_refused_and_the_connection_closed(
    serve: ServeOn, status: int, data: bytes
) -> None:
    handled: list[Request] = []

    async def record(request: Request) -> Response:
        handled.append(request)
        return Response(200, TEXT)

    answer = await (await serve(record)).exchange(
        data + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(status).encode(), answer
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/problem+json" in head
    assert head.count(b"\r\ndate: ") == 1
    problem = json.loads(body)  # one document: nothing follows it
    assert problem["status"] == status
    assert problem["type"] == f"urn:borough:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    assert not handled


async def test_what_was_in_order_is_answered_before_what_is_not(serve: ServeOn) -> None:
    good = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await (await serve(echo)).exchange(good + b"GET / HTTP/1.1\r\n\r\n" + good)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert answer.count(b"HTTP/1.1 400 Bad Request") == 1
    assert answer.count(b"GET /a?") == 1
