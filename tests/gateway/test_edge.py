"""What else the edge answers: documents, probes, mounts and raw applications."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from borough import ANYONE, USER, current_call, scope
from borough.contracts.marks import Allow
from borough.errors import ConfigurationError, NotFound
from borough.gateway.documents import described
from borough.gateway.edge import EdgeSettings, OwnDocuments
from borough.gateway.raw import Asgi, RawLimits, RawMount
from borough.gateway.timeouts import Timeouts
from borough.transports.http.message import Request, Response
from tests.gateway.library import Seen, Town, request
from tests.transports.http.listening import Service

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "library", "version": "1.0"}, "paths": {}}


def documents(states: Mapping[str, str] | None = None) -> OwnDocuments:
    return OwnDocuments(describe=described(lambda: DOCUMENT), states=lambda: states or {})


# --- documents and probes -------------------------------------------------------------------------


async def test_the_openapi_document_is_built_once_and_not_sent_twice(tmp_path: Path) -> None:
    built: list[str] = []

    def describe() -> dict[str, Any]:
        built.append("once")
        return DOCUMENT

    town = Town(tmp_path, documents=OwnDocuments(describe=described(describe)))
    assert built == []
    first, second = await asyncio.gather(town.get("/openapi.json"), town.get("/openapi.json"))
    assert first.json == second.json == DOCUMENT
    tag = first.headers.get("etag") or ""
    assert (await town.get("/openapi.json", headers={"If-None-Match": tag})).status == 304
    assert built == ["once"]


async def test_the_public_keys_are_served_and_only_they(tmp_path: Path) -> None:
    town = Town(tmp_path)
    served = Town(tmp_path, documents=OwnDocuments(keys=town.keys.document))
    seen = await served.get("/.well-known/jwks.json")
    assert seen.headers.get("content-type") == "application/jwk-set+json"
    (key,) = seen.json["keys"]
    assert set(key) == {"kty", "crv", "alg", "use", "kid", "x"}
    assert (await served.get("/.well-known/openid-configuration")).status == 404
    assert (await town.get("/.well-known/jwks.json")).status == 404


async def test_the_docs_page_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    town = Town(tmp_path, documents=documents())
    for name in ("", "/docs.css", "/docs.js", "/dom.js", "/schema.js", "/tryit.js"):
        seen = await town.get(f"/docs{name}")
        assert seen.status == 200
        assert b"//cdn" not in seen.body
        assert b"http://" not in seen.body
        policy = seen.headers.get("content-security-policy") or ""
        assert "default-src 'none'; script-src 'self'" in policy
        assert "unsafe" not in policy
        tag = seen.headers.get("etag") or ""
        assert (await town.get(f"/docs{name}", headers={"If-None-Match": tag})).status == 304
    page = (await town.get("/docs")).body
    assert page.count(b"<script") == page.count(b'<script type="module" src="') == 1
    assert b"style=" not in page
    assert (await town.get("/docs/")).headers.get("location") == "../docs"
    assert (await town.get("/docs/../../pyproject.toml")).status == 404


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/livez", "/readyz"])
async def test_a_document_is_only_read(tmp_path: Path, path: str) -> None:
    seen = await Town(tmp_path, documents=documents()).ask("POST", path, body=b"{}")
    assert (seen.status, seen.headers.get("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("states", "status", "word"),
    [
        ({"library": "ready", "post": "ready"}, 200, "ready"),
        ({"library": "ready", "post": "starting"}, 503, "not ready"),
        ({"library": "stopping"}, 503, "not ready"),
        ({}, 503, "not ready"),
    ],
)
async def test_readiness_names_every_service(
    tmp_path: Path, states: dict[str, str], status: int, word: str
) -> None:
    town = Town(tmp_path, documents=documents(states))
    seen = await town.get("/readyz")
    assert (seen.status, seen.json) == (status, {"status": word, "services": states})
    assert (await town.get("/livez")).json == {"status": "live"}


async def test_an_address_where_nothing_is_says_so(tmp_path: Path) -> None:
    town = Town(tmp_path)
    for path in ("/", "/nowhere", "/library", "/library/", "/openapi.json"):
        seen = await town.get(path)
        assert (seen.status, seen.json["code"]) == (404, "no-such-route")


async def test_a_wrong_method_is_told_the_right_ones(tmp_path: Path) -> None:
    seen = await Town(tmp_path).ask("PUT", "/library/books", body=b"{}")
    assert (seen.status, seen.headers.get("allow")) == (405, "POST")


async def test_an_unknown_field_is_refused_with_its_place(tmp_path: Path) -> None:
    town = Town(tmp_path)
    token = await town.issuer.issue("anna", scopes=["books:read", "books:write"])
    seen = await town.ask("POST", "/library/books", token, body=b'{"title": "Emma", "pages": 5}')
    assert seen.status == 400
    assert b"pages" in seen.body


# --- mounts ---------------------------------------------------------------------------------------


async def test_a_mounted_handler_answers_below_its_prefix_only(tmp_path: Path) -> None:
    async def system(asked: Request) -> Response:
        if asked.path.endswith("/broken"):
            raise RuntimeError("the secret reason")
        if asked.path.endswith("/missing"):
            raise NotFound("There is no such row")
        return Response(200, [], f"system {asked.path}".encode())

    town = Town(tmp_path, mounts={"/system": system, "/library/admin/": system})
    assert (await town.get("/system")).body == b"system /system"
    assert (await town.get("/system/counts")).body == b"system /system/counts"
    assert (await town.get("/library/admin/x")).body == b"system /library/admin/x"
    assert (await town.get("/library/who")).status == 200
    assert (await town.get("/systematic")).status == 404
    assert (await town.get("/system/../library/who")).status == 400
    assert (await town.get("/system/missing")).detail == "There is no such row"
    broken = await town.get("/system/broken")
    assert broken.status == 500
    assert b"secret" not in broken.body


async def test_a_mount_sees_no_claims_of_the_client(tmp_path: Path) -> None:
    async def names(asked: Request) -> Response:
        return Response(
            200, [], ",".join(sorted(name for name, _ in asked.headers.items())).encode()
        )

    town = Town(tmp_path, mounts={"/names": names})
    claims = {
        "Borough-Principal": "x",
        "Borough-Anything": "x",
        "Borough-Timeout-Ms": "5",
        "Accept": "*/*",
    }
    assert (await town.get("/names", headers=claims)).body == b"accept,borough-timeout-ms"


def test_a_mount_without_a_segment_is_a_fault_of_configuration(tmp_path: Path) -> None:
    async def never(_: Request) -> Response:
        raise AssertionError

    for prefix in ("", "/", "system"):
        with pytest.raises(ConfigurationError, match="must begin with /"):
            Town(tmp_path, mounts={prefix: never})


# --- raw applications -----------------------------------------------------------------------------


def raw(app: Asgi, allow: Allow = ANYONE, path: str = "/library/raw") -> RawMount:
    return RawMount("library", path, allow, app)


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """An application that says what it was given."""
    body = (await receive())["body"].decode()
    user = scope["state"]["principal"]
    said = f"{scope['root_path']} {scope['path']} {scope['query_string'].decode()} {body} "
    said += f"{user and user.subject} {current_call().service}"
    headers = [(b"Content-Type", b"text/plain"), (b"content-length", b"999"), (b"Date", b"now")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": said.encode()})


async def test_a_raw_application_sees_the_request_and_the_user(tmp_path: Path) -> None:
    town = Town(tmp_path, raws=[raw(telling, USER)])
    token = await town.issuer.issue("anna")
    seen = await town.ask("POST", "/library/raw/a%20b?c=d", token, body=b"hello")
    assert (seen.status, seen.body) == (
        201,
        b"/library/raw /library/raw/a b c=d hello anna library",
    )
    assert seen.fields == [(b"content-type", b"text/plain")]


async def test_a_raw_application_is_permitted_like_an_operation(tmp_path: Path) -> None:
    town = Town(tmp_path, raws=[raw(telling, scope("admin"))])
    assert (await town.get("/library/raw")).status == 401
    seen = await town.get("/library/raw", await town.issuer.issue("anna"))
    assert (seen.status, seen.detail) == (
        403,
        "/library/raw needs the scope admin, which the token lacks",
    )


async def test_operations_come_before_a_raw_application_of_the_whole_service(
    tmp_path: Path,
) -> None:
    town = Town(tmp_path, raws=[raw(telling, path="/library")])
    assert (await town.get("/library/who")).json["user"] is None
    assert (await town.ask("PUT", "/library/who")).status == 405
    assert (await town.get("/library/else")).status == 201


@asynccontextmanager
async def open_edge(town: Town) -> AsyncIterator[Service]:
    service = await Service.open(town.edge.answer)
    try:
        yield service
    finally:
        await service.server.close()
        await town.edge.close()


async def test_a_raw_application_streams_and_learns_when_the_client_leaves(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def ticking(_: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
                await asyncio.sleep(0)
        finally:
            left.set()

    async with open_edge(Town(tmp_path, raws=[raw(ticking)])) as service:
        client = await service.connect()
        await client.send(b"GET /library/raw HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.reader.readuntil(b"tick")
        await client.close()
        async with asyncio.timeout(5):
            await left.wait()


async def test_a_raw_application_is_ended_when_the_client_leaves_before_an_answer(
    tmp_path: Path,
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def brooding(*_: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with open_edge(Town(tmp_path, raws=[raw(brooding)])) as service:
        client = await service.connect()
        await client.send(b"GET /library/raw HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await began.wait()
            await client.close()
            await ended.wait()


async def test_what_a_raw_application_does_after_its_answer_ends_with_the_edge(
    tmp_path: Path,
) -> None:
    ended: list[str] = []

    async def lingering(scope: Any, receive: Any, send: Any) -> None:
        await telling(scope, receive, send)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    town = Town(tmp_path, raws=[raw(lingering)])
    assert (await town.get("/library/raw")).status == 201
    assert ended == []
    await town.edge.close()
    assert ended == ["ended"]


async def test_an_application_that_goes_on_after_its_answers_takes_no_more_until_its_time_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    async def lingering(scope: Any, receive: Any, send: Any) -> None:
        await telling(scope, receive, send)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    limits = RawLimits(after_answers=1, after_answer_s=0.5)
    town = Town(tmp_path, raws=[raw(lingering)], raw_limits=limits)
    assert (await town.get("/library/raw")).status == 201
    refused = await town.get("/library/raw")
    assert (refused.status, refused.detail) == (
        429,
        "/library/raw has too much to do after its last answers",
    )
    async with asyncio.timeout(30):
        await ended.wait()
        while (await town.get("/library/raw")).status != 201:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert "went on for 0.5 s after its answer, and is cancelled" in caplog.text
    await town.edge.close()


async def test_an_application_has_so_many_streams_open_and_answers_beside_those_at_work(
    tmp_path: Path,
) -> None:
    going_on = asyncio.Event()

    async def ticking(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        await going_on.wait()
        await send({"type": "http.response.body", "body": b"tock"})

    town = Town(tmp_path, raws=[raw(ticking)], raw_limits=RawLimits(streams=1, after_answers=1))
    first = await town.edge.answer(request("GET", "/library/raw"))
    assert (await town.get("/library/raw")).detail == "/library/raw has too many streams open"
    assert not isinstance(first.body, bytes)
    for _ in range(2):
        await first.body.aclose()  # type: ignore[attr-defined]
    going_on.set()
    for _ in range(2):
        again = await town.edge.answer(request("GET", "/library/raw"))
        assert (await Seen.of(again)).body == b"ticktock"
        assert not isinstance(again.body, bytes)
        await again.body.aclose()  # type: ignore[attr-defined]
    await town.edge.close()


async def raising(*_: Any) -> None:
    raise RuntimeError("the secret reason")


async def silent(*_: Any) -> None:
    return None


async def headless(_: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": b"x"})


async def never_final(_: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 101, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await asyncio.Event().wait()


@pytest.mark.parametrize("app", [raising, silent, headless, never_final])
async def test_a_raw_application_that_fails_is_a_service_failure(tmp_path: Path, app: Asgi) -> None:
    seen = await Town(tmp_path, raws=[raw(app)]).get("/library/raw")
    assert (seen.status, seen.detail) == (500, "/library/raw failed")


async def test_a_raw_application_that_never_answers_runs_out_of_time(tmp_path: Path) -> None:
    async def brooding(*_: Any) -> None:
        await asyncio.Event().wait()

    town = Town(tmp_path, timeouts=Timeouts(default_s=0.01), raws=[raw(brooding)])
    assert (await town.get("/library/raw")).status == 504


# --- through a real server ------------------------------------------------------------------------


async def test_the_edge_answers_over_a_connection(tmp_path: Path) -> None:
    town = Town(tmp_path, documents=documents({"library": "ready"}))
    token = await town.issuer.issue("anna")
    asked = [
        b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /library/shelf HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n"
        % token.encode(),
        b"GET /library/titles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x.y.z\r\nConnection: close\r\n\r\n",
    ]
    async with open_edge(town) as service:
        whole = await service.exchange(b"".join(asked))
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", whole)
    assert statuses == [b"200", b"200", b"200", b"401"]
    assert b'"user":"anna"' in whole


async def test_two_authorization_fields_are_not_a_token(tmp_path: Path) -> None:
    town = Town(tmp_path)
    token = (await town.issuer.issue("anna")).encode()
    both = b"Authorization: Bearer %b\r\nAuthorization: Bearer %b\r\n" % (token, token)
    async with open_edge(town) as service:
        whole = await service.exchange(
            b"GET /library/who HTTP/1.1\r\nHost: x\r\n%bConnection: close\r\n\r\n" % both
        )
    assert whole.startswith(b"HTTP/1.1 401 ")


async def test_the_edge_never_raises(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="1000/s", origins=("*",)), documents=documents())
    for path in (
        "",
        "*",
        "x",
        "/%",
        "/%zz",
        "/\x00",
        "/é",
        "/library/%00",
        "/docs/%2e%2e",
        "http://x/",
    ):
        for method in ("GET", "OPTIONS", "BREW", "POST"):
            response = await town.edge.answer(
                request(method, path, {"Origin": "é", "Authorization": "é"})
            )
            assert response.status in (400, 401, 404, 405)


async def test_a_client_has_so_many_streams_open_and_others_theirs(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(streams_per_client=1))

    async def titles(peer: str) -> Response:
        return await town.edge.answer(request("GET", "/library/titles", peer=peer))

    first = await titles("192.0.2.7")
    one_more = await Seen.of(await titles("192.0.2.7"))
    assert (one_more.status, "1 streams open" in one_more.detail) == (429, True)
    assert one_more.headers.get("retry-after") == "5"
    assert (await titles("192.0.2.8")).status == 200
    assert (await town.get("/library/who")).status == 200  # its calls go on
    assert not isinstance(first.body, bytes)
    for _ in range(2):
        await first.body.aclose()  # type: ignore[attr-defined]
    assert (await titles("192.0.2.7")).status == 200


@pytest.mark.parametrize("timeout_ms", ["0", "000", "soon", "-1"])
async def test_a_client_that_asks_for_no_time_is_told_what_is_wrong(
    tmp_path: Path, timeout_ms: str
) -> None:
    town = Town(tmp_path, raws=[raw(telling)])
    for path in ("/library/who", "/library/titles", "/library/raw"):
        seen = await town.get(path, headers={"Borough-Timeout-Ms": timeout_ms})
        assert (seen.status, seen.json["code"]) == (400, "invalid-request")
        assert seen.detail.startswith("Borough-Timeout-Ms is ")
