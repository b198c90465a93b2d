"""What a call looks like from outside: bytes in, bytes out, at the edge and at the internal door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.testing import free_port
from borough.transports.http.message import Connection, Headers, Request
from tests.calls.booth import Answer, ask, booth


class Doors:
    """A running booth, asked over HTTP without blocking the loop that answers."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @property
    def service(self) -> Any:
        return self.process.host.services["booth"].instance

    async def edge(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return await asyncio.to_thread(ask, self.process.edge_url, method, target, body, headers)

    async def internal(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        service: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        given = dict(headers or {})
        if service is not None:
            pairs = self.process.tokens.first_headers(service)
            given |= {name.decode(): value.decode() for name, value in pairs}
        return await asyncio.to_thread(ask, self.process.internal_url, method, target, body, given)


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    flags = {"limits.longest_timeout_s": 3, "limits.default_timeout_s": 2, "edge.rate_limit": ""}
    system = booth().configured(Configuration.load(tmp_path, {}, flags))
    process = Process(
        system,
        data_folder=tmp_path / "data",
        edge_port=free_port(),
        internal_port=free_port(),
        make_transport="wire",
    )
    await process.start()
    try:
        yield Doors(process)
    finally:
        await process.stop()


# --- bodies -----------------------------------------------------------------------------------------

BODIES = [
    (b'{"items": [{"name": "cup", "colour": "red"}]}', "#/items/0/colour", "Unknown field"),
    (b'{"by_shelf": {"a/b~c": {"name": "x", "y": 1}}}', "#/by_shelf/a~1b~0c/y", "Unknown field"),
    (b'{"itmes": []}', "#/itmes", "Unknown field"),
    (b'{"items": [{"name": 5}]}', "#/items/0/name", "Expected `str`, got `int`"),
    (b'{"items": [{}]}', "#/items/0", "missing required field `name`"),
    (b'{"items": [{"name": "a", "count": -1}]}', "#/items/0/count", ">= 0"),
    (b'{"items": [{"name": "a", "count": 9223372036854775808}]}', "#/items/0/count", "64 bits"),
    (b'{"items": [{"name": "a", "count": 1.5}]}', "#/items/0/count", "Expected `int`"),
    (b'{"items": [{"name": "a", "count": "1"}]}', "#/items/0/count", "Expected `int`"),
    (b'{"items": [{"name": "a", "weight": NaN}]}', "#", "not valid JSON"),
    (b'{"items": [{"name": "a", "weight": 1e999}]}', "#/items/0/weight", "out of range"),
    (b'{"items": [{"name": "a", "price": "NaN"}]}', "#/items/0/price", "not a finite number"),
    (b'{"items": [{"name": "a", "price": "-inf"}]}', "#/items/0/price", "not a finite number"),
    (b'{"items": [{"name": "a", "price": 1E999999999}]}', "#/items/0/price", "beyond 6144"),
    (b'{"by_shelf": {"a/b": {"name": "x", "price": "1e-9999"}}}', "#/by_shelf/a~1b/price", "6144"),
    (b'{"note": "\\ud800"}', "#", "\\ud800 is half a surrogate pair (byte 10)"),
    (b'{"note": "a\\\\\\uDC00b"}', "#", "\\uDC00 is half a surrogate pair (byte 13)"),
    (b"[]", "#", "Expected `object`"),
    (b"null", "#", "Expected `object`"),
    (b"{", "#", "not valid JSON"),
    (b'{"note": "a"} x', "#", "not valid JSON"),
    (b"", "#", "the body is empty"),
    (b'{"note": "\xff"}', "#", "not valid JSON"),
    ('{"note": "a"}'.encode("utf-16"), "#", "not valid JSON"),
    (b"[" * 100_000, "#", ""),
]


@pytest.mark.parametrize(("body", "place", "words"), BODIES)
async def test_a_body_that_does_not_fit_is_refused_with_its_place(
    doors: Doors, body: bytes, place: str, words: str
) -> None:
    answer = await doors.edge("POST", "/booth/orders", body)
    assert (answer.status, answer.place) == (400, place)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.value["detail"]


async def test_what_fits_is_taken(doors: Doors) -> None:
    body = '{"items": [{"name": "Täßchen ✓", "count": 9223372036854775807}], "note": null}'
    answer = await doors.edge("POST", "/booth/orders", body.encode())
    assert (answer.status, answer.value) == (201, 1)
    # Every field of this one has a default, and yet: a Struct is given, or the request is wrong.
    assert (await doors.edge("POST", "/booth/orders", b"{}")).value == 0


async def test_a_whole_surrogate_pair_is_taken(doors: Doors) -> None:
    body = rb'{"note": "\ud83d\ude00 \\ud800"}'
    assert (await doors.edge("POST", "/booth/orders", body)).status == 201


async def test_numbers_without_an_end_are_refused_at_the_internal_listener_too(
    doors: Doors,
) -> None:
    body = b'{"items": [{"name": "a", "price": "NaN"}]}'
    answer = await doors.internal("POST", "/booth/orders", body)
    assert (answer.status, answer.place) == (400, "#/items/0/price")
    assert (await doors.internal("GET", "/booth/items/1?weight=inf")).status == 400


async def test_parameters_of_a_body_may_be_absent_where_they_have_defaults(doors: Doors) -> None:
    assert (await doors.edge("POST", "/booth/sums", b'{"one": 4}')).value == 4
    missing = await doors.edge("POST", "/booth/sums", b"{}")
    assert (missing.status, missing.value["detail"].split(" at ")[0]) == (
        400,
        "Object missing required field `one`",
    )


SUM = b'{"one": 4, "two": 5}'


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON; charset=utf-8", "application/vnd.booth.sum+json"],
)
async def test_a_body_that_says_it_is_json_is_read(doors: Doors, kind: str) -> None:
    answer = await doors.edge("POST", "/booth/sums", SUM, {"Content-Type": kind})
    assert (answer.status, answer.value) == (200, 9)


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "image/png",
    ],
)
async def test_a_body_that_says_it_is_something_else_is_not_read(doors: Doors, kind: str) -> None:
    answer = await doors.edge("POST", "/booth/sums", SUM, {"Content-Type": kind})
    assert (answer.status, answer.value["code"]) == (415, "unsupported-media-type")
    assert answer.value["detail"] == (
        f"The body came as {kind.partition(';')[0]}; send it with Content-Type: application/json"
    )


async def test_a_body_that_does_not_say_what_it_is_is_not_read(doors: Doors) -> None:
    answer = await doors.edge("POST", "/booth/sums", SUM, {"Content-Type": ""})
    assert (answer.status, answer.value["detail"]) == (
        415,
        "The body does not say what it is; send it with Content-Type: application/json",
    )


async def test_a_request_without_a_body_needs_no_content_type(doors: Doors) -> None:
    answer = await doors.edge("POST", "/booth/blanks", None)
    assert (answer.status, answer.value) == (200, "nothing")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/octet-stream", 200), ("image/png", 200), ("text/plain", 200), ("", 200),
        ("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=x", 415),
    ],
)  # fmt: skip
async def test_an_upload_may_be_of_any_kind_but_a_form(
    doors: Doors, kind: str, status: int
) -> None:
    answer = await doors.edge("POST", "/booth/files", b"12345", {"Content-Type": kind})
    assert answer.status == status
    assert answer.value == 5 if status == 200 else "send the bytes" in answer.value["detail"]


async def test_the_internal_listener_does_not_look_at_the_content_type(doors: Doors) -> None:
    answer = await doors.internal(
        "POST", "/booth/sums", SUM, headers={"Content-Type": "text/plain"}
    )
    assert (answer.status, answer.value) == (200, 9)


async def test_a_body_where_none_belongs_is_refused(doors: Doors) -> None:
    answer = await doors.edge("GET", "/booth/items/1", b"{}")
    assert (answer.status, answer.value["detail"]) == (400, "This operation takes no body")


# --- paths and queries ------------------------------------------------------------------------------

QUERIES = [
    ("?limt=5", "limt", "Unknown query parameter 'limt'"),
    ("?limit=x", "limit", "Expected `int`"),
    ("?limit=", "limit", "Expected `int`"),
    ("?limit=9223372036854775808", "limit", "64 bits"),
    ("?limit=1&limit=2", "None", "given twice"),
    ("?weight=nan", "weight", "not a finite number"),
    ("?weight=inf", "weight", "not a finite number"),
    ("?price=sNaN", "price", "not a finite number"),
    ("?price=Infinity", "price", "not a finite number"),
    ("?price=1E999999999", "price", "the exponent is beyond 6144"),
    ("?sizes=1&sizes=9223372036854775808", "sizes", "64 bits"),
    ("?sizes=1&sizes=x", "sizes", "Expected `int`"),
    ("?short=maybe", "short", "Expected `bool`"),
]


@pytest.mark.parametrize(("query", "place", "words"), QUERIES)
async def test_a_query_that_does_not_fit_is_refused_with_its_parameter(
    doors: Doors, query: str, place: str, words: str
) -> None:
    answer = await doors.edge("GET", f"/booth/items/1{query}")
    assert answer.status == 400
    assert words in answer.value["detail"]
    if place != "None":
        assert answer.place == place


async def test_a_query_that_is_not_utf8_is_refused(doors: Doors) -> None:
    answer = await doors.edge("GET", "/booth/items/1?limit=%ff")
    assert (answer.status, answer.value["detail"]) == (
        400,
        "The query cannot be read: it is not percent-encoded UTF-8",
    )


async def test_a_path_that_does_not_fit_is_refused(doors: Doors) -> None:
    answer = await doors.edge("GET", "/booth/items/one")
    assert (answer.status, answer.place) == (400, "item")


async def test_a_query_that_fits_is_taken(doors: Doors) -> None:
    query = "?limit=-3&weight=1e3&sizes=1&sizes=2&short=true"
    answer = await doors.edge("GET", f"/booth/items/7{query}")
    assert answer.value == "7 -3 1000.0 (1, 2) True"


# --- methods and statuses ---------------------------------------------------------------------------


async def test_what_is_not_there_is_404(doors: Doors) -> None:
    answer = await doors.edge("GET", "/booth/nothing")
    assert (answer.status, answer.value["code"]) == (404, "no-such-route")
    assert (await doors.edge("GET", "/nothing")).status == 404


async def test_a_wrong_method_is_405_with_the_right_ones(doors: Doors) -> None:
    answer = await doors.edge("PUT", "/booth/items/1", b"{}")
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, HEAD")
    static = await doors.edge("GET", "/booth/orders")
    assert (static.status, static.headers["allow"]) == (405, "POST")


async def test_head_is_get_without_its_body(doors: Doors) -> None:
    got = await doors.edge("GET", "/booth/items/1")
    head = await doors.edge("HEAD", "/booth/items/1")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(got.body))
    assert (await doors.edge("HEAD", "/booth/page")).headers["etag"] == '"7,"'


async def test_nothing_is_answered_by_204_without_a_body(doors: Doors) -> None:
    for target, method in (("/booth/items/1", "DELETE"),):
        answer = await doors.edge(method, target)
        assert (answer.status, answer.body) == (204, b"")
        assert "content-type" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "status"),
    [('"7,"', 304), ('W/"7,"', 304), ('"v6", "7,"', 304), ("*", 304), ('"v6"', 200), ("7,", 200)],
)
async def test_what_a_reader_has_already_is_not_sent_again(
    doors: Doors, asked: str, status: int
) -> None:
    answer = await doors.edge("GET", "/booth/page", headers={"If-None-Match": asked})
    assert (answer.status, answer.headers["etag"]) == (status, '"7,"')
    assert answer.body == (b"" if status == 304 else b'"page en"')


async def test_headers_and_cookies_are_parameters(doors: Doors) -> None:
    headers = {"x-language": "pt", "Cookie": "other=1; seat=a%20b%3B"}
    answer = await doors.edge("GET", "/booth/page", headers=headers)
    assert answer.value == "page pt"
    assert answer.headers["set-cookie"] == "seat=a%20b%3B; Path=/; HttpOnly; SameSite=Lax"


async def test_a_deprecated_operation_says_so(doors: Doors) -> None:
    assert (await doors.edge("GET", "/booth/old")).headers["deprecation"] == "true"
    assert "deprecation" not in (await doors.edge("GET", "/booth/page")).headers


# --- streams ----------------------------------------------------------------------------------------


async def test_a_stream_is_lines_with_an_end(doors: Doors) -> None:
    answer = await doors.edge("GET", "/booth/count/2")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.body == b'{"item":0}\n{"item":1}\n{"end":true}\n'
    assert (await doors.edge("GET", "/booth/count/0")).body == b'{"end":true}\n'


async def test_a_problem_half_way_is_the_last_line(doors: Doors) -> None:
    *items, last = (await doors.edge("GET", "/booth/count/4")).body.splitlines()
    assert items == [b'{"item":0}', b'{"item":1}', b'{"item":2}']
    problem = json.loads(last)["problem"]
    assert (problem["code"], problem["status"], problem["number"]) == ("booth.TooFar", 409, 3)


async def test_a_failure_half_way_shows_no_inside(doors: Doors) -> None:
    last = (await doors.edge("GET", "/booth/count/5")).body.splitlines()[-1]
    problem = json.loads(last)["problem"]
    assert (problem["code"], problem["status"]) == ("service-failure", 500)
    assert b"an inside" not in last


async def test_a_client_that_leaves_a_stream_closes_its_generator(doors: Doors) -> None:
    host, _, port = doors.process.edge_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /booth/count/1000000000 HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b'{"item":3}')
    writer.close()
    async with asyncio.timeout(10):
        await doors.service.closed_stream.wait()


async def test_a_stream_that_never_waits_leaves_others_their_turn(doors: Doors) -> None:
    connection = Connection(("127.0.0.1", 1))
    target = "/booth/count/1000"
    request = Request("GET", target, "", Headers.of([]), b"", connection)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        assert doors.process.front.edge is not None
        body = (await doors.process.front.edge.answer(request)).body
        assert not isinstance(body, bytes)
        assert len([line async for line in body]) == 1001
        task.cancel()
    assert turns >= 10


async def test_a_client_that_leaves_a_call_cancels_it(doors: Doors) -> None:
    host, _, port = doors.process.edge_url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /booth/wait HTTP/1.1\r\nhost: x\r\nborough-timeout-ms: 3000\r\n\r\n")
    await writer.drain()
    writer.close()
    async with asyncio.timeout(10):
        await doors.service.cancelled.wait()
    assert doors.service.unused_ms > 0, "its deadline ended it"


async def test_a_time_without_a_zone_does_not_leave_the_service(doors: Doors) -> None:
    answer = await doors.edge("GET", "/booth/moment")
    assert (answer.status, answer.value["code"]) == (500, "service-failure")


# --- what travels along -----------------------------------------------------------------------------

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_trace_goes_on_into_the_call_and_its_events(doors: Doors) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    answer = await doors.edge("POST", "/booth/notices", b'{"number": 1}', headers)
    await doors.process.host.quiet()
    assert answer.value == TRACE
    assert (await doors.edge("GET", "/booth/traces")).value == [TRACE]


@pytest.mark.parametrize("given", ["", "00-xyz", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
async def test_a_trace_that_cannot_be_read_is_begun_anew(doors: Doors, given: str) -> None:
    answer = await doors.edge("POST", "/booth/notices", b'{"number": 1}', {"traceparent": given})
    assert len(answer.value) == 32
    assert set(answer.value) != {"0"}


async def test_a_problem_names_its_trace(doors: Doors) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    assert (await doors.edge("GET", "/booth/items/x", None, headers)).value["trace_id"] == TRACE


async def test_an_idempotency_key_is_the_same_quoted_and_bare(doors: Doors) -> None:
    token = (await doors.edge("POST", "/booth/logins/ann")).value

    async def pay(key: str, body: bytes = b'{"cents": 5}') -> Answer:
        headers = {"Idempotency-Key": key, "Authorization": f"Bearer {token}"}
        return await doors.edge("POST", "/booth/paid", body, headers)

    assert [(await pay(key)).value for key in ("k1", '"k1"', "k2")] == [1, 1, 2]
    reused = await pay("k1", b'{"cents": 6}')
    assert (reused.status, reused.value["code"]) == (422, "key-reused")


async def test_the_time_that_a_client_gives_is_kept_and_bounded(doors: Doors) -> None:
    async def left(value: str) -> Any:
        return (await doors.edge("GET", "/booth/left", None, {"Borough-Timeout-Ms": value})).value

    assert 0 < await left("900") <= 900
    assert 2000 < await left("999999") <= 3000
    assert 900 < (await doors.edge("GET", "/booth/left")).value <= 2000
    for wrong in ("0", "-1", "1.5", "soon", "9999999999"):
        assert (await left(wrong))["status"] == 400


async def test_a_call_that_takes_longer_than_its_time_is_504(doors: Doors) -> None:
    left_ms = 50
    while True:
        headers = {"Borough-Timeout-Ms": str(left_ms)}
        answer = await doors.edge("GET", "/booth/wait", None, headers)
        if doors.service.waits:
            break
        left_ms *= 3  # a machine that is busy for as long lets nothing begin
    assert (answer.status, answer.value["code"]) == (504, "deadline-exceeded")
    async with asyncio.timeout(10):
        await doors.service.cancelled.wait()


async def test_a_deadline_shrinks_over_hops(doors: Doors) -> None:
    answer = await doors.edge("GET", "/booth/hop", None, {"Borough-Timeout-Ms": "1500"})
    outer, inner = answer.value
    assert 0 < outer <= 1500
    assert 0 < inner <= 1496  # it is asked 5 ms later, and travels in whole milliseconds


# --- who may ----------------------------------------------------------------------------------------


async def test_what_is_internal_is_not_there_at_the_edge(doors: Doors) -> None:
    assert (await doors.edge("GET", "/booth/inside")).status == 404
    assert (await doors.edge("GET", "/yard/left")).status == 404


async def test_a_signed_in_user_is_asked_for_and_known(doors: Doors) -> None:
    nobody = await doors.edge("GET", "/booth/me")
    assert (nobody.status, nobody.headers["www-authenticate"]) == (401, "Bearer")
    forged = await doors.edge("GET", "/booth/me", None, {"Authorization": "Bearer a.b.c"})
    assert forged.status == 401
    token = (await doors.edge("POST", "/booth/logins/ann")).value
    known = await doors.edge("GET", "/booth/me", None, {"Authorization": f"Bearer {token}"})
    assert (known.status, known.value) == (200, "ann")


async def test_nobody_names_himself_at_the_edge(doors: Doors) -> None:
    pairs = doors.process.tokens.first_headers("booth")
    headers = {name.decode(): value.decode() for name, value in pairs}
    headers["Borough-Principal"] = "eyJzdWJqZWN0IjoiYW5uIn0"
    assert (await doors.edge("GET", "/booth/inside", None, headers)).status == 404
    assert (await doors.edge("GET", "/booth/me", None, headers)).status == 401


async def test_inside_a_service_proves_itself_and_calls_what_it_declared(doors: Doors) -> None:
    body = b'{"name": "cup", "from a newer version": 1}'
    answer = await doors.internal("POST", "/yard/items", body, service="booth")
    assert (answer.status, answer.value) == (200, "cup")
    undeclared = await doors.internal("GET", "/booth/inside", service="yard")
    assert undeclared.status == 403
    assert "yard does not declare booth.Booth" in undeclared.value["detail"]


async def test_inside_nobody_without_a_proof_reaches_what_is_internal(doors: Doors) -> None:
    assert (await doors.internal("GET", "/yard/left")).status == 401
    lie = {"Borough-Service": "booth", "Borough-Proof": "0" * 64}
    assert (await doors.internal("GET", "/yard/left", headers=lie)).status == 401
    unknown = {"Borough-Service": "nobody", "Borough-Proof": "0" * 64}
    assert (await doors.internal("GET", "/yard/left", headers=unknown)).status == 401
    assert (await doors.internal("GET", "/booth/old")).value == "old"
