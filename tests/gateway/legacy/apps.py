"""Plain ASGI applications as people have them: FastAPI, Starlette, and some that go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import from_thread
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import borough
from tests.gateway.legacy.ledger import Entry, Ledger

RAN: list[str] = []
"""What startups and shutdowns have said."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    RAN.append("startup")
    first = await borough.client(Ledger).write("startup")
    yield {"first": first.text}
    RAN.append("shutdown")


fast = FastAPI(title="Old things", lifespan=lifespan)


@fast.get("/things/{id}")
async def thing(id: int, request: Request) -> dict[str, Any]:
    principal = request.state.principal
    return {"id": id, "first": request.state.first, "user": principal and principal.subject}


@fast.post("/entries")
async def written(text: str) -> dict[str, Any]:
    return _shown(await borough.client(Ledger).write(text))


@fast.post("/entries-from-a-thread")
def written_from_a_thread(text: str) -> dict[str, Any]:
    return _shown(from_thread.run(borough.client(Ledger).write, text))


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "text": entry.text, "caller": entry.caller, "user": entry.user,
        "trace": entry.trace, "left_s": entry.left_s,
    }  # fmt: skip


async def _hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.url_for('hello').path}")


async def _undeclared(request: Request) -> JSONResponse:
    try:
        borough.client(Ledger)
    except borough.errors.Forbidden as error:
        return JSONResponse({"refused": str(error)})
    return JSONResponse({})


def make_star() -> Starlette:
    """A factory."""
    return Starlette(
        routes=[
            Route("/hello", _hello, name="hello"),
            Route("/undeclared", _undeclared),
        ]
    )


async def make_later() -> Starlette:
    return make_star()


@asynccontextmanager
async def _failing(app: Starlette) -> AsyncIterator[None]:
    _connect()
    yield


def _connect() -> None:
    raise RuntimeError("the old database is gone")


failing = Starlette(lifespan=_failing)
QUEUE_IS_GONE = asyncio.Event()


@asynccontextmanager
async def _working(app: Starlette) -> AsyncIterator[None]:
    async def work() -> None:
        await QUEUE_IS_GONE.wait()
        raise RuntimeError("the old queue is gone")

    async with asyncio.TaskGroup() as beside:
        beside.create_task(work())
        yield


working = Starlette(lifespan=_working)
nothing = 7


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Knows no lifespan, and has a document that is none."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"openapi": 3, "paths": [1]}'})


async def endless(scope: Any, receive: Any, send: Any) -> None:
    """Has a document without an end."""
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b" " * 65536, "more_body": True})


async def twins(scope: Any, receive: Any, send: Any) -> None:
    """Has two operations of one name, as FastAPI makes them of a function with two methods."""
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    document = b'{"openapi": "3.1.0", "paths": {"/shelves": {"put": %b, "get": %b}}}'
    twin = b'{"operationId": "shelves", "responses": {"200": {"description": "Done."}}}'
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": document % (twin, twin)})


async def attentive(scope: Any, receive: Any, send: Any) -> None:
    """Streams its document, and asks all the while whether the client has left."""
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    assert (await receive())["type"] == "http.request"
    leaving = asyncio.ensure_future(receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"openapi": "3.1.0", ', "more_body": True})
    await asyncio.sleep(0)
    assert not leaving.done(), "nobody has left, and no more is to come"
    await send({"type": "http.response.body", "body": b'"paths": {"/attentive": {"get": {}}}}'})
    assert (await leaving)["type"] == "http.disconnect"
