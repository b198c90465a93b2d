"""The same system under another server: ASGI events made by hand, and uvicorn where it is installed."""

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI

from borough import System, asgi
from borough.errors import ConfigurationError
from borough.gateway.asgi import AsgiApp
from borough.runtime.configuration import Configuration
from borough.testing import free_port
from borough.transports.http.message import Request, Response
from tests.gateway.library import LibraryService
from tests.requirements import require_tool
from tests.transports.http.listening import Raw

Message = MutableMapping[str, Any]


class Host:
    """What the application opens, asks and closes."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.waiting = asyncio.Event()
        self.ended = asyncio.Event()
        self.failure: Exception | None = None

    async def open(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.events.append("open")

    async def close(self) -> None:
        self.events.append("close")

    async def answer(self, request: Request) -> Response:
        if request.path == "/wait":
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()
        if request.path == "/root":
            return Response(200, [], request.connection.root.encode())
        if request.path == "/scheme":
            return Response(200, [], request.connection.scheme.encode())
        if request.path == "/stream":
            return Response(200, [], self.chunks())
        if request.path == "/measured":
            return Response(200, [], self.chunks(), 7)
        if request.path == "/empty":
            return Response(204, [])
        if request.path == "/emptied":
            return Response(304, [], self.chunks())
        user = request.headers.get("x-user")
        peer = request.connection.peer[0]
        said = (
            f"{request.method} {request.path} {request.query} {user} {peer} {request.body.decode()}"
        )
        return Response(200, ((b"content-type", b"text/plain"),), said.encode())

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for part in (b"one ", b"two"):
                yield part
        finally:
            self.ended.set()

    def app(self, **options: Any) -> AsgiApp:
        return AsgiApp(self.answer, self.open, self.close, **options)


class Server:
    """An ASGI server of one request: hands over events and keeps what comes back."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app
        self.sent: list[Message] = []
        self.events: asyncio.Queue[Message] = asyncio.Queue()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def started(self) -> "Server":
        """The same server after its lifespan has begun."""
        lifespan = Server(self.app)
        lifespan.events.put_nowait({"type": "lifespan.startup"})
        lifespan.events.put_nowait({"type": "lifespan.shutdown"})

        async def receive() -> Message:
            if lifespan.events.qsize() == 1:
                raise StopServing
            return await lifespan.events.get()

        with pytest.raises(StopServing):
            await self.app({"type": "lifespan"}, receive, lifespan.send)
        assert lifespan.sent == [{"type": "lifespan.startup.complete"}]
        return self

    async def ask(self, method: str, path: str, *bodies: bytes, **scope: Any) -> None:
        for index, body in enumerate(bodies or (b"",)):
            more = index < len(bodies) - 1
            self.events.put_nowait({"type": "http.request", "body": body, "more_body": more})
        await self.app(
            {
                "type": "http",
                "method": method,
                "path": path,
                "query_string": b"a=b",
                "headers": [(b"X-User", b"anna")],
                "client": ("192.0.2.7", 4711),
                **scope,
            },
            self.events.get,
            self.send,
        )

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


class StopServing(Exception):
    """Ends a lifespan between startup and shutdown."""


async def served(method: str, path: str, *bodies: bytes, **more: Any) -> Server:
    server = await Server(Host().app(body_bytes=20)).started()
    await server.ask(method, path, *bodies, **more)
    return server


async def test_the_lifespan_opens_and_closes_the_system() -> None:
    host = Host()
    server = Server(host.app())
    server.events.put_nowait({"type": "lifespan.startup"})
    server.events.put_nowait({"type": "lifespan.shutdown"})
    await server.app({"type": "lifespan"}, server.events.get, server.send)
    assert host.events == ["open", "close"]
    assert [each["type"] for each in server.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.parametrize(
    "failure", [ConfigurationError("Mend the port"), RuntimeError("Mend the port")]
)
async def test_a_failed_start_is_told_to_the_server(failure: Exception) -> None:
    host = Host()
    host.failure = failure
    server = Server(host.app())
    server.events.put_nowait({"type": "lifespan.startup"})
    await server.app({"type": "lifespan"}, server.events.get, server.send)
    assert [each["type"] for each in server.sent] == ["lifespan.startup.failed"]
    assert "Mend the port" in server.sent[0]["message"]


async def test_without_a_lifespan_the_remedy_is_said() -> None:
    server = Server(Host().app())
    await server.ask("GET", "/")
    assert server.status == 503
    assert b"run it with its lifespan on" in server.body


async def test_a_request_arrives_whole() -> None:
    server = await served("POST", "/a b", b"hel", b"lo", raw_path=b"/a%20b")
    assert (server.status, server.body) == (200, b"POST /a%20b a=b anna 192.0.2.7 hello")
    assert server.headers == {b"content-type": b"text/plain", b"content-length": b"36"}


async def test_a_path_without_its_raw_form_is_encoded_again() -> None:
    assert (await served("GET", "/ä/%")).body.startswith(b"GET /%C3%A4/%25 ")


async def test_the_path_where_the_application_is_mounted_is_taken_off() -> None:
    assert (await served("GET", "/api/x", root_path="/api")).body.startswith(b"GET /x ")
    assert (await served("GET", "/ä/root", root_path="/ä/")).body == b"/%C3%A4"


async def test_an_application_that_mounts_a_system_runs_it_within_its_own_lifespan(
    tmp_path: Path,
) -> None:
    system = asgi(System([LibraryService]), data_folder=str(tmp_path))
    around = FastAPI(lifespan=system.lifespan)
    around.mount("/api", system)
    asked, early, late = Server(system), Server(system), Server(system)
    asked.app = early.app = late.app = cast("AsgiApp", around)
    target = {"query_string": b"", "root_path": ""}
    await early.ask("GET", "/api/library/who", **target)
    async with around.router.lifespan_context(around):
        await asked.ask("GET", "/api/library/who", **target)
    await late.ask("GET", "/api/library/who", **target)
    assert (early.status, asked.status, late.status) == (503, 200, 503)
    assert b"lifespan=system.lifespan" in early.body
    assert asked.body == b'{"service":null,"user":null,"scopes":[]}'


async def test_a_server_without_a_peer_will_do() -> None:
    assert (await served("GET", "/", client=None)).status == 200


async def test_by_which_scheme_a_client_asked_is_what_the_server_says() -> None:
    assert (await served("GET", "/scheme", scheme="https")).body == b"https"
    assert (await served("GET", "/scheme")).body == b"http"


async def test_head_is_answered_without_a_body() -> None:
    server = await served("HEAD", "/")
    assert (server.headers[b"content-length"], server.body) == (b"25", b"")


async def test_an_answer_without_a_body_has_none_if_it_is_a_stream() -> None:
    server = await served("GET", "/emptied")
    assert (server.status, server.body) == (304, b"")


async def test_an_empty_answer_has_no_length() -> None:
    server = await served("GET", "/empty")
    assert (server.status, server.headers, server.body) == (204, {}, b"")


async def test_a_stream_goes_out_in_its_chunks() -> None:
    server = await served("GET", "/stream")
    assert [each["body"] for each in server.sent[1:]] == [b"one ", b"two", b""]
    assert [each.get("more_body", False) for each in server.sent[1:]] == [True, True, False]


async def test_a_stream_of_known_length_goes_out_with_it() -> None:
    server = await served("GET", "/measured")
    assert (server.headers[b"content-length"], server.body) == (b"7", b"one two")


async def test_a_body_above_the_limit_is_refused() -> None:
    server = await served("POST", "/", b"x" * 15, b"x" * 6, b"more")
    assert server.status == 413
    assert server.headers[b"content-type"] == b"application/problem+json"


async def test_when_the_client_leaves_the_handler_is_cancelled() -> None:
    host = Host()
    server = await Server(host.app()).started()
    asking = asyncio.ensure_future(server.ask("GET", "/wait"))
    async with asyncio.timeout(5):
        await host.waiting.wait()
        server.events.put_nowait({"type": "http.disconnect"})
        await asking
    assert host.ended.is_set()
    assert server.sent == []


async def test_a_client_that_leaves_within_its_body_is_not_answered() -> None:
    server = await Server(Host().app()).started()
    server.events.put_nowait({"type": "http.request", "body": b"x", "more_body": True})
    server.events.put_nowait({"type": "http.disconnect"})
    await server.ask("POST", "/")
    assert server.sent == []


async def test_a_web_socket_is_closed() -> None:
    server = Server(Host().app())
    server.events.put_nowait({"type": "websocket.connect"})
    await server.app({"type": "websocket"}, server.events.get, server.send)
    assert server.sent == [{"type": "websocket.close", "code": 1000}]


async def test_it_runs_under_uvicorn() -> None:
    require_tool("uvicorn", importlib.util.find_spec("uvicorn") is not None)
    import uvicorn

    host, port = Host(), free_port()
    server = uvicorn.Server(uvicorn.Config(host.app(), log_config=None))
    listener = socket.create_server(("127.0.0.1", port))
    serving = asyncio.ensure_future(server.serve([listener]))
    async with asyncio.timeout(10):
        client = Raw(*await asyncio.open_connection("127.0.0.1", port))
        await client.send(b"GET /a%20b?c HTTP/1.1\r\nHost: x\r\nX-User: bert\r\n\r\n")
        status, _, body = await client.answer()
        assert (status, body) == (200, b"GET /a%20b c bert 127.0.0.1 ")
        await client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await host.waiting.wait()
        await client.close()
        await host.ended.wait()
        server.should_exit = True
        await serving
    assert host.events == ["open", "close"]


async def test_a_system_answers_under_another_server_and_stops_with_it(tmp_path: Path) -> None:
    app = asgi(System([LibraryService]), data_folder=tmp_path)
    stopping, seen = asyncio.Event(), Server(app)
    messages: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    lifespan = Server(app)

    async def receive() -> Message:
        if len(messages) == 1:
            await seen.ask("GET", "/library/who", query_string=b"")
            other = Server(app)
            await other.ask("DELETE", "/library/books/emma")
            assert other.status == 404
            stopping.set()
        return messages.pop(0)

    await app({"type": "lifespan"}, receive, lifespan.send)
    assert stopping.is_set()
    assert (seen.status, seen.body) == (200, b'{"service":null,"user":null,"scopes":[]}')
    assert [each["type"] for each in lifespan.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    after = Server(app)
    await after.ask("GET", "/library/who")
    assert after.status == 503


async def test_a_page_of_another_origin_reads_why_its_body_is_refused(tmp_path: Path) -> None:
    shop = "https://shop.example"
    options = {"edge.cors": [shop], "edge.limits.body_bytes": 20}
    configuration = Configuration.load(tmp_path, {}, options)
    app = asgi(System([LibraryService], configuration=configuration), data_folder=tmp_path)
    messages: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    asked = Server(app)

    async def receive() -> Message:
        if len(messages) == 1:
            await asked.ask("POST", "/library/who", b"x" * 21, headers=[(b"origin", shop.encode())])
        return messages.pop(0)

    await app({"type": "lifespan"}, receive, Server(app).send)
    assert asked.status == 413
    assert asked.headers[b"access-control-allow-origin"] == shop.encode()


def test_a_folder_that_is_no_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no services"):
        asgi(tmp_path)
