"""A system as an ASGI 3 application, for uvicorn, granian or hypercorn in place of our server.

The server's lifespan starts and stops the system. A request's body is read whole, up to a limit;
when the client leaves, whatever answers it is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from borough.errors import BoroughError, TooLarge, Unavailable
from borough.gateway.process import Process
from borough.runtime.lifespan import Message
from borough.runtime.system import System
from borough.transports.http.door import problem_response
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import BODILESS, Connection, Headers, Request, Response

__all__ = ["AsgiApp", "asgi"]

_log = logging.getLogger("borough.gateway")
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiApp:
    """Answers ASGI requests by `answer`, between `open` at startup and `close` at shutdown."""

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Response]],
        open: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        *,
        body_bytes: int = ServerLimits().body_bytes,
        mark: Callable[[Request, Response], Response] | None = None,
    ) -> None:
        """`mark` makes a refusal of what comes to no answer one that the asking page may read."""
        self._answer = answer
        self._mark = mark
        self._open = open
        self._close = close
        self._body_bytes = body_bytes
        self._is_open = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection scope, as the ASGI server gives it."""
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise RuntimeError(f"ASGI scopes of type {kind!r} are not served")

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """The system runs within: for an application that mounts this one, `FastAPI(lifespan=system.lifespan)`."""
        await self._open()
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
            await self._close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._open()
                except BoroughError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                except Exception as error:
                    _log.exception("the system did not start")
                    await send({"type": "lifespan.startup.failed", "message": repr(error)})
                    return
                self._is_open = True
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self._is_open = False
                await self._close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"
        try:
            if not self._is_open:
                raise Unavailable(
                    "The server did not start the system; run it with its lifespan on, "
                    "or give what mounts it the system's (`lifespan=system.lifespan`)"
                )
            body = await self._body(receive)
        except (TooLarge, Unavailable) as error:
            refusal = problem_response(error)
            if self._mark is not None:
                refusal = self._mark(_request(scope, b""), refusal)
            await _write(refusal, is_head, send)
            return
        if body is None:
            return
        answering = asyncio.ensure_future(self._serve(_request(scope, body), is_head, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_answered = answering.done()
            answering.cancel()
            leaving.cancel()
            await asyncio.wait({answering, leaving})
        if is_answered:
            answering.result()

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None where the client left before its end. Raises `TooLarge`."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > self._body_bytes:
                raise TooLarge(f"The body is above {self._body_bytes} bytes")
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _serve(self, request: Request, is_head: bool, send: Send) -> None:
        await _write(await self._answer(request), is_head, send)


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _request(scope: Message, body: bytes) -> Request:
    raw: bytes | None = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(scope["path"], safe="/:@!$&'()*+,;=~-._")
    root = quote(scope.get("root_path", "").rstrip("/"))
    if root and path.startswith(root + "/"):
        path = path[len(root) :]
    host, port = (scope.get("client") or ("", 0))[:2]
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    query = scope["query_string"].decode("latin-1")
    return Request(
        method,
        path.partition("?")[0],
        query,
        Headers.of(scope["headers"]),
        body,
        Connection((host, port or 0), scope.get("scheme", "http"), root),
    )


async def _write(response: Response, is_head: bool, send: Send) -> None:
    headers = list(response.headers)
    body = response.body
    is_bodiless = response.status in BODILESS
    if isinstance(body, bytes):
        if not is_bodiless:
            headers.append((b"content-length", b"%d" % len(body)))
        await _start(response.status, headers, send)
        sent = b"" if is_head or is_bodiless else body
        await send({"type": "http.response.body", "body": sent})
        return
    if response.length is not None and not is_bodiless:
        headers.append((b"content-length", b"%d" % response.length))
    try:
        await _start(response.status, headers, send)
        if not is_head and not is_bodiless:
            async for chunk in body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        await _close_stream(body)
    await send({"type": "http.response.body", "body": b""})


async def _start(status: int, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _close_stream(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await cast("Callable[[], Awaitable[None]]", close)()


def asgi(
    system: System | str | os.PathLike[str],
    *,
    data_folder: str | os.PathLike[str] | None = None,
    **options: Any,
) -> AsgiApp:
    """The public side of a system, or of the system in a folder, as an ASGI application.

    `options` are those of `Process`. Internal operations are not here.
    """
    if not isinstance(system, System):
        system = System.load(Path(system))
    if data_folder is not None:
        options["data_folder"] = Path(data_folder)
    return _SystemApp(Process(system, edge_port=None, **options)).app


class _SystemApp:
    """A process whose edge is made when the server starts it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        limits = process.system.configuration.options.edge.limits
        self.app = AsgiApp(
            self._answer,
            self._open,
            self._close,
            body_bytes=limits.body_bytes,
            mark=self._mark,
        )

    async def _open(self) -> None:
        await self._process.start()
        self._process.make_edge()  # closed by the process

    async def _answer(self, request: Request) -> Response:
        edge = self._process.front.edge
        if edge is None:
            return problem_response(Unavailable("The system is not started"))
        return await edge.answer(request)

    def _mark(self, request: Request, response: Response) -> Response:
        edge = self._process.front.edge
        return response if edge is None else edge.mark(request, response)

    async def _close(self) -> None:
        await self._process.stop()
