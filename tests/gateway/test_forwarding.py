"""What the edge of a fleet passes on to services, what it passes back, and what it keeps."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough import ANYONE, USER
from borough.gateway.edge import EdgeSettings
from borough.gateway.raw import RawMount
from borough.gateway.timeouts import Timeouts
from borough.services.context import Principal
from borough.transports.http import wire
from borough.transports.http.message import Request, Response
from tests.gateway.street import street
from tests.transports.http.listening import TEXT

JSON = b"Content-Type: application/json\r\n"


def body_of(answer: bytes) -> Any:
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


class Recording:
    """An internal listener that writes down what it is asked."""

    def __init__(self, response: Response | None = None) -> None:
        self.asked: list[Request] = []
        self._response = response or Response(200, TEXT, b"well")

    async def answer(self, request: Request) -> Response:
        self.asked.append(request)
        return self._response

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the last request."""
        return dict(self.asked[-1].headers.items())


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
            b"X-End: 2\r\nCookie: a=1\r\nCookie: b=2\r\nAccept: text/plain\r\n\r\n"
        )
    fields = recording.fields
    assert (fields["x-end"], fields["cookie"], fields["accept"]) == ("2", "a=1; b=2", "text/plain")
    assert not {"x-hop", "te", "keep-alive", "proxy-authorization", "connection"} & set(fields)


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
    [(b"", 9_000, 10_000), (b"500", 300, 500), (b"90000", 19_000, 20_000)],
)
async def test_the_time_left_goes_with_the_request(
    tmp_path: Path, asked: bytes, least: int, most: int
) -> None:
    recording = Recording()
    async with street(tmp_path, recording.answer, timeouts=Timeouts(10.0, 20.0)) as town:
        wish = b"Borough-Timeout-Ms: %b\r\n" % asked if asked else b""
        await town.ask(b"GET /library/who HTTP/1.1\r\n" + wish)
    assert least <= int(recording.fields["borough-timeout-ms"]) <= most


# --- as it was answered ---------------------------------------------------------------------------


async def test_an_answer_comes_back_as_it_was_given(tmp_path: Path) -> None:
    fields = [
        (b"content-type", b"application/problem+json"),
        (b"retry-after", b"7"),
        (b"etag", b'"1"'),
        (b"set-cookie", b"a=1; Path=/"),
        (b"set-cookie", b"b=2"),
        (b"borough-inner", b"x"),
    ]
    recording = Recording(Response(503, fields, b'{"code":"unavailable"}'))
    async with street(tmp_path, recording.answer) as town:
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b'{"code":"unavailable"}'
    assert head.startswith(b"HTTP/1.1 503 ")
    for line in (b"retry-after: 7", b'etag: "1"', b"set-cookie: a=1; Path=/", b"set-cookie: b=2"):
        assert b"\r\n" + line in head
    assert head.count(b"\r\ndate: ") == head.count(b"\r\ncontent-length: ") == 1
    assert b"borough-" not in head


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_none(tmp_path: Path, status: int) -> None:
    recording = Recording(Response(status, ((b"etag", b'"1"'),)))
    async with street(tmp_path, recording.answer) as town:
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
    assert status_of(answer) == status
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length" not in answer


async def test_head_tells_the_length_and_sends_nothing(tmp_path: Path) -> None:
    async with street(tmp_path, Recording().answer) as town:
        answer = await town.ask(b"HEAD /library/who HTTP/1.1\r\n")
    assert b"content-length: 4\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_stream_comes_chunk_by_chunk(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def ticking() -> AsyncIterator[bytes]:
        yield b"tick"
        await more.wait()
        yield b"tock"

    async def answer(_: Request) -> Response:
        return Response(200, TEXT, ticking())

    async with street(tmp_path, answer) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/titles HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            await client.reader.readuntil(b"tick\r\n")
        more.set()
        assert await client.rest() == b"4\r\ntock\r\n0\r\n\r\n"
        await client.close()


async def test_a_stream_of_an_operation_passes_the_edge(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        answer = await town.ask(b"GET /library/titles HTTP/1.1\r\n")
    assert b'{"item":"Emma"}\n' in answer
    assert b'{"end":true}\n' in answer


async def test_a_client_that_reads_slowly_holds_the_service_back(tmp_path: Path) -> None:
    sent = 0
    ended = asyncio.Event()

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        try:
            while True:
                sent += 64 * 1024
                yield b"x" * 64 * 1024
        finally:
            ended.set()

    async def answer(_: Request) -> Response:
        return Response(200, TEXT, flood())

    async with street(tmp_path, answer) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/titles HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.reader.readexactly(100_000)
        before = -1
        async with asyncio.timeout(10):
            while sent != before:
                before = sent
                await asyncio.sleep(0.2)
        assert sent < 32 * 1024 * 1024
        await client.close()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_stream_that_breaks_off_inside_breaks_off_outside(tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"tick"
        raise RuntimeError("the secret reason")

    async def answer(_: Request) -> Response:
        return Response(200, TEXT, breaking())

    async with street(tmp_path, answer) as town:
        whole = await town.ask(b"GET /library/titles HTTP/1.1\r\n")
    assert not whole.endswith(b"0\r\n\r\n")
    assert b"secret" not in whole


async def test_who_leaves_the_edge_leaves_the_service(tmp_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def brooding(_: Request) -> Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with street(tmp_path, brooding) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/who HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await began.wait()
            await client.close()
            await ended.wait()


# --- nobody there ---------------------------------------------------------------------------------


async def test_a_service_without_a_replica_is_unavailable_for_now(tmp_path: Path) -> None:
    async with street(tmp_path) as town:
        answer = await town.ask(b"GET /payments/charges HTTP/1.1\r\n")
    assert status_of(answer) == 503
    assert b"\r\nretry-after: 1\r\n" in answer
    assert body_of(answer)["detail"] == "payments cannot take calls now"


async def test_no_address_inside_is_told_outside(tmp_path: Path) -> None:
    async def broken(request: Request) -> Response:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        raise AssertionError

    async with street(tmp_path, broken) as town:
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
        assert status_of(answer) == 500
        assert b"127.0.0.1" not in answer
        await town.inside.server.close()
        answer = await town.ask(b"GET /library/who HTTP/1.1\r\n")
        assert status_of(answer) == 503
        assert b"127.0.0.1" not in answer


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        (b"POST /library/books HTTP/1.1\r\n", 1),
        (b"PUT /library/books HTTP/1.1\r\n", 1),
        (b"POST /library/books HTTP/1.1\r\nConnection: idempotency-key\r\n", 1),
        (b"GET /library/who HTTP/1.1\r\n", 2),
        (b"HEAD /library/who HTTP/1.1\r\n", 2),
        (b'POST /library/books HTTP/1.1\r\nIdempotency-Key: "k"\r\n', 2),
    ],
)
async def test_only_what_may_run_twice_is_ever_sent_twice(
    tmp_path: Path, asked: bytes, times: int
) -> None:
    came: list[bytes] = []
    is_first = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close at the second without a word."""
        nonlocal is_first
        try:
            while True:
                came.append(await reader.readuntil(b"\r\n\r\n"))
                if len(came) == 2:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    async with street(tmp_path) as town:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        from borough.ports import Replica

        town.directory.update({"library": [Replica("other", host, port)]})
        assert status_of(await town.ask(b"GET /library/who HTTP/1.1\r\n")) == 200
        answer = await town.ask(asked)
        assert status_of(answer) == (200 if times == 2 else 500)
        assert len(came) == 1 + times
        server.close()


async def test_the_rate_limit_and_other_origins_are_the_edge_s(tmp_path: Path) -> None:
    recording = Recording()
    settings = EdgeSettings(rate="2/m", origins=("https://shop.example",))
    async with street(tmp_path, recording.answer, settings=settings) as town:
        origin = b"Origin: https://shop.example\r\n"
        answer = await town.ask(
            b"OPTIONS /library/who HTTP/1.1\r\n%bAccess-Control-Request-Method: GET\r\n"
            b"Access-Control-Request-Headers: X-Tenant\r\n" % origin
        )
        assert status_of(answer) == 204
        assert b"access-control-allow-headers: x-tenant\r\n" in answer
        answers = [await town.ask(b"GET /library/who HTTP/1.1\r\n" + origin) for _ in range(3)]
    assert [status_of(each) for each in answers] == [200, 200, 429]
    assert all(b"access-control-allow-origin: https://shop.example" in each for each in answers)
    assert len(recording.asked) == 2


# --- raw applications -----------------------------------------------------------------------------


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """An application that says what it was given."""
    body = (await receive())["body"].decode()
    user = scope["state"]["principal"]
    names = sorted(name.decode() for name, _ in scope["headers"])
    host = dict(scope["headers"])[b"host"].decode()
    said = [scope["path"], body, user and user.subject, host, scope["client"][0], names]
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": msgspec.json.encode(said)})


async def test_a_raw_application_sees_the_request_as_the_client_sent_it(tmp_path: Path) -> None:
    raws = [RawMount("library", "/library/raw", USER, telling)]
    async with street(tmp_path, raws=raws) as town:
        token = (await town.issuer.issue("anna")).encode()
        answer = await town.edge.exchange(
            b"POST /library/raw/a%%20b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: 2\r\nX-Forwarded-For: 192.0.2.9\r\n"
            b"\r\nhi" % token
        )
        assert status_of(answer) == 201
        *said, names = body_of(answer)
        assert said == ["/library/raw/a b", "hi", "anna", "shop.example", "127.0.0.1"]
        assert not [name for name in names if name.startswith("borough-s")]
        assert "x-forwarded-for" in names
        assert status_of(await town.ask(b"GET /library/raw HTTP/1.1\r\n")) == 401


async def test_a_raw_application_streams_through_the_edge_and_ends_with_its_client(
    tmp_path: Path,
) -> None:
    left = asyncio.Event()

    async def ticking(_: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
                await asyncio.sleep(0)
        finally:
            left.set()

    raws = [RawMount("library", "/library/raw", ANYONE, ticking)]
    async with street(tmp_path, raws=raws) as town:
        client = await town.edge.connect()
        await client.send(b"GET /library/raw HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await client.reader.readuntil(b"tick")
            await client.close()
            await left.wait()


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
