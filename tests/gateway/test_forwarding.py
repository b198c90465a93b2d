"""What the edge of a fleet passes on to services, what it passes back, and what it keeps."""

import asyncio
import re
import tracemalloc
from pathlib import Path

import pytest

from borough.gateway.forwarded import InternalDoors
from borough.gateway.timeouts import Timeouts
from borough.services.context import Principal
from borough.transports.http import wire
from borough.transports.http.message import Connection, Headers, Request, Response
from tests.gateway.street import Recording, body_of, status_of, street
from tests.transports.http.listening import PATIENCE_S, TEXT

JSON = b"Content-Type: application/json\r\n"


# --- who it is for --------------------------------------------------------------------------------


async def test_a_service_answers_the_public_as_if_it_stood_at_the_edge(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        assert body_of(await town.ask(b"GET /library/who HTTP/1.1\r\n")) == {
            "service": None,
            "user": None,
            "scopes": [],
        }
        token = (await town.issuer.issue("anna", scopes=["a"])).encode()
        asked = b"GET /library/shelf HTTP/1.1\r\nAuthorization: Bearer %b\r\n" % token
        assert body_of(await town.ask(asked)) == {"service": None, "user": "anna", "scopes": ["a"]}
        assert status_of(await town.ask(b"GET /library/shelf HTTP/1.1\r\n")) == 401


async def test_a_wrong_token_never_reaches_a_service(tmp_path: Path) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        asked = b"GET /library/who HTTP/1.1\r\nAuthorization: Bearer x.y.z\r\n"
        assert status_of(await town.ask(asked)) == 401
    assert recording.asked == []


async def test_an_edge_whose_proof_does_not_count_is_no_reason_to_have_users_sign_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with street(tmp_path, elsewhere=True) as found:
        token = (await found.issuer.issue("anna")).encode()
        for target in (b"/library/shelf", b"/library/shelf", b"/library/who", b"/library/raw"):
            answer = await found.ask(
                b"GET %b HTTP/1.1\r\nAuthorization: Bearer %b\r\n" % (target, token)
            )
            assert status_of(answer) == 503
            assert body_of(answer)["detail"] == "library cannot take calls now"
            assert b"borough-unproven" not in answer
    assert [each.getMessage() for each in caplog.records] == [
        "library takes nothing that this edge forwards: Borough-Proof does not prove the service that "
        "Borough-Service names; do both processes use the same data folder?"
    ]


async def test_scopes_are_held_against_the_operation_by_the_service(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        token = (await town.issuer.issue("anna", scopes=["books:read"])).encode()
        body = b'{"title": "Emma"}'
        head = b"POST /library/books HTTP/1.1\r\nAuthorization: Bearer %b\r\n%b" % (token, JSON)
        answer = await town.edge.exchange(
            b"%bHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (head, len(body), body)
        )
        assert status_of(answer) == 403
        assert "books:write" in body_of(answer)["detail"]


async def test_an_internal_operation_is_not_there(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        answer = await town.ask(b"DELETE /library/books/emma HTTP/1.1\r\n")
        assert (status_of(answer), body_of(answer)["code"]) == (404, "no-such-route")


async def test_unknown_fields_are_refused_with_their_place(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        token = (await town.issuer.issue("anna", scopes=["books:read", "books:write"])).encode()
        body = b'{"title": "Emma", "pages": 5}'
        answer = await town.edge.exchange(
            b"POST /library/books HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b"
            b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
            % (JSON, token, len(body), body)
        )
        assert status_of(answer) == 400
        assert b"pages" in answer


@pytest.mark.parametrize(
    "claims",
    [
        b"Borough-Principal: %b\r\n" % wire.write_principal(Principal("root", ("admin",))),
        b"Borough-Service: readers\r\nBorough-Proof: %b\r\n" % (b"0" * 64),
        b"Borough-Service: edge\r\n",
        b"borough-service: library\r\nBOROUGH-PRINCIPAL: e30\r\n",
        b"Connection: borough-principal, borough-client, borough-host\r\n",
        b"Borough-Host: inner\r\nBorough-Client: 127.0.0.1 1\r\n",
    ],
)
async def test_what_a_client_claims_is_not_passed_on(tmp_path: Path, claims: bytes) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        assert status_of(await town.ask(b"GET /library/who HTTP/1.1\r\n" + claims)) == 200
    fields = recording.fields
    assert fields["borough-service"] == "edge"
    assert fields["borough-host"] == "shop.example"
    assert fields["borough-client"].startswith("127.0.0.1 ")
    assert "borough-principal" not in fields


async def test_only_a_proof_makes_the_edge(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        principal = wire.write_principal(Principal("root"))
        for proof in (b"", b"Borough-Proof: %b\r\n" % (b"0" * 64)):
            answer = await town.inside.exchange(
                b"GET /library/shelf HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Borough-Service: edge\r\nBorough-Principal: %b\r\n%b\r\n" % (principal, proof)
            )
            assert status_of(answer) == 401


async def test_a_service_on_the_same_listener_is_still_a_service(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        proof = b"".join(b"%b: %b\r\n" % field for field in town.tokens.first_headers("readers"))
        answer = await town.inside.exchange(
            b"DELETE /library/books/emma HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n" % proof
        )
        assert body_of(answer)["service"] == "readers"


# --- as it came -----------------------------------------------------------------------------------


async def test_path_and_query_go_on_as_they_came(tmp_path: Path) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        await town.ask(b"GET /library/b%C3%BCcher/a%20b/%41?q=%2F..%2f&r=a+b;c HTTP/1.1\r\n")
    asked = recording.asked[0]
    assert (asked.path, asked.query) == ("/library/b%C3%BCcher/a%20b/%41", "q=%2F..%2f&r=a+b;c")


@pytest.mark.parametrize(
    "target",
    [
        b"/library/../payments/charges",
        b"/library/%2e%2e/payments",
        b"/library//payments",
        b"/library/.",
        b"/library/a%2fb",
        b"/library/a%5cb",
        b"/library/%00",
        b"/library/%zz",
    ],
)
async def test_a_path_that_two_would_read_differently_is_refused(
    tmp_path: Path, target: bytes
) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        assert status_of(await town.ask(b"GET %b HTTP/1.1\r\n" % target)) == 400
    assert recording.asked == []


@pytest.mark.parametrize(
    "target", [b"/nowhere", b"/%6cibrary/who", b"/Library/who", b"/borough/hello", b"/edge", b"/"]
)
async def test_what_no_service_is_named_is_nowhere(tmp_path: Path, target: bytes) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        assert status_of(await town.ask(b"GET %b HTTP/1.1\r\n" % target)) == 404
    assert recording.asked == []


async def test_fields_of_one_connection_stay_with_it(tmp_path: Path) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        await town.edge.exchange(
            b"GET /library/who HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Hop\r\n"
            b"X-Hop: 1\r\nTE: trailers\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: x\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
            b"X-End: 2\r\nCookie: a=1\r\nCookie: b=2\r\nAccept: text/plain\r\n"
            b"Set-Cookie: c=3\r\nSet-Cookie: d=4\r\n\r\n"
        )
    fields = recording.fields
    assert "set-cookie" not in fields, "which is a field of answers"
    assert (fields["x-end"], fields["cookie"], fields["accept"]) == ("2", "a=1; b=2", "text/plain")
    assert not {"x-hop", "te", "keep-alive", "proxy-authorization", "connection"} & set(fields)
    assert not {"upgrade", "http2-settings"} & set(fields)


async def test_from_where_a_request_came_is_said_by_the_edge_and_not_by_the_client(
    tmp_path: Path,
) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        await town.ask(b"GET /library/who HTTP/1.1\r\n")
        assert recording.fields["x-forwarded-for"] == "127.0.0.1"
        await town.ask(
            b"GET /library/who HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"
        )
    assert recording.fields["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"
    assert "forwarded" not in recording.fields


async def test_what_a_proxy_says_of_a_client_is_not_taken_away_by_the_client(
    tmp_path: Path,
) -> None:
    recording = Recording()
    said = {"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https", "x-real-ip": "1.2.3.4"}
    fields = b"".join(f"{name}: {value}\r\n".encode() for name, value in said.items())
    async with street(tmp_path, recording.answer) as town:
        await town.edge.exchange(
            b"GET /library/who HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Forwarded-For,"
            b" X-Forwarded-Proto, X-Real-IP\r\n%b\r\n" % fields
        )
    said["x-forwarded-for"] += ", 127.0.0.1"
    assert {name: recording.fields.get(name) for name in said} == said


async def test_a_chunked_body_goes_on_with_a_length(tmp_path: Path) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        answer = await town.edge.exchange(
            b"POST /library/who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )
    assert status_of(answer) == 200
    assert (recording.asked[0].body, recording.fields["content-length"]) == (b"abc", "3")
    assert not {"transfer-encoding", "x-trailer"} & set(recording.fields)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 40\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Content-Length: +5\r\n",
    ],
)
async def test_a_message_that_two_would_frame_differently_is_refused(
    tmp_path: Path, framing: bytes
) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer) as town:
        answer = await town.edge.exchange(
            b"POST /library/who HTTP/1.1\r\nHost: x\r\n%b\r\n"
            b"0\r\n\r\nGET /library/books HTTP/1.1\r\nBorough-Service: readers\r\n\r\n" % framing
        )
        assert status_of(answer) == 400
    assert recording.asked == []


async def test_a_body_up_to_the_limit_arrives_whole(tmp_path: Path) -> None:
    recording = Recording()
    body = bytes(range(256)) * 4096
    async with street(tmp_path, recording.answer, body_bytes=len(body)) as town:
        head = b"POST /library/who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        answer = await town.edge.exchange(
            head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert status_of(answer) == 200
        too_large = await town.edge.exchange(head + b"Content-Length: %d\r\n\r\n" % (len(body) + 1))
        assert status_of(too_large) == 413
    assert [each.body for each in recording.asked] == [body]


async def test_a_body_is_held_once_while_its_answer_is_waited_for(tmp_path: Path) -> None:
    size = 1_000_000
    has_arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        request.body = b""  # the service has made use of it
        has_arrived.set()
        await may_answer.wait()
        return Response(200, TEXT, b"well")

    async with street(tmp_path, answer) as town:
        raw = await town.edge.connect()
        upload = b"POST /library/who HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
        upload += b"x" * size
        tracemalloc.start()
        try:
            await raw.send(upload)
            async with asyncio.timeout(PATIENCE_S):
                await has_arrived.wait()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < 1.5 * size
        may_answer.set()
        assert (await raw.answer())[0] == 200
        await raw.close()


async def test_a_trace_goes_on_or_begins_here(tmp_path: Path) -> None:
    recording = Recording()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with street(tmp_path, recording.answer) as town:
        await town.ask(b"GET /library/who HTTP/1.1\r\nTraceparent: %b\r\n" % trace.encode())
        assert recording.fields["traceparent"] == trace
        await town.ask(b"GET /library/who HTTP/1.1\r\nTraceparent: nonsense\r\n")
        begun = recording.fields["traceparent"]
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", begun)
        answer = await town.ask(b"GET /payments/x HTTP/1.1\r\nTraceparent: %b\r\n" % trace.encode())
        assert body_of(answer)["trace_id"] == trace[3:35]


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [(b"", 5_000, 10_000), (b"4000", 1, 4_000), (b"90000", 15_000, 20_000)],
)
async def test_the_time_left_goes_with_the_request(
    tmp_path: Path, asked: bytes, least: int, most: int
) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer, timeouts=Timeouts(10.0, 20.0)) as town:
        wish = b"Borough-Timeout-Ms: %b\r\n" % asked if asked else b""
        await town.ask(b"GET /library/who HTTP/1.1\r\n" + wish)
    assert least <= int(recording.fields["borough-timeout-ms"]) <= most


async def test_who_proves_to_be_another_on_one_connection_is_the_other(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        client = await town.inside.connect()
        statuses: list[int] = []
        for service in ("edge", None, "readers", None, "edge", None):
            proof = town.tokens.first_headers(service) if service is not None else ()
            await client.send(
                b"DELETE /library/books/emma HTTP/1.1\r\nHost: x\r\n%b\r\n"
                % b"".join(b"%b: %b\r\n" % field for field in proof)
            )
            statuses.append((await client.answer())[0])
        assert statuses == [404, 404, 200, 200, 404, 404]
        await client.send(
            b"DELETE /library/books/emma HTTP/1.1\r\nHost: x\r\nBorough-Service: readers\r\n\r\n"
        )
        assert (await client.answer())[0] == 401
        await client.close()


async def test_what_the_edge_passes_on_waits_with_the_public() -> None:
    async def nothing(_: Request) -> Response | None:
        return None

    recording = Recording()
    connection = Connection(("127.0.0.1", 1))
    request = Request("GET", "/library/who", "", Headers.of([(b"host", b"x")]), b"", connection)
    for caller in (wire.EDGE, "readers"):
        connection.door = None
        doors = InternalDoors(lambda _, name=caller: name, recording, recording, nothing)  # type: ignore[arg-type, misc]
        await doors.answer(request)
        assert connection.is_public == (caller == wire.EDGE)


async def test_what_the_edge_takes_is_not_too_large_inside_with_what_it_adds(
    tmp_path: Path,
) -> None:
    async with street(tmp_path) as town:
        claims = {"groups": [f"g{number:04}" for number in range(600)]}
        token = await town.issuer.issue("alice", scopes=["a"], claims=claims)
        large = b"Authorization: Bearer %b\r\nX-A: %b\r\n" % (token.encode(), b"y" * 9000)
        many = b"".join(b"x-%d: y\r\n" % number for number in range(98))
        for fields in (large, many):
            answer = await town.ask(b"GET /library/who HTTP/1.1\r\n" + fields)
            assert status_of(answer) == 200
