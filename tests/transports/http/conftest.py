"""Servers and clients for a test, closed after it; byte-level tests run on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop

from borough.transports.http.client import HttpClient
from borough.transports.http.server import HttpServer
from tests.transports.http.listening import Answer, Service

ServeOn = Callable[..., Awaitable[Service]]
MakeClient = Callable[..., HttpClient]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what talks over sockets on asyncio's own loop and on uvloop."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name.startswith(("test_server", "test_client", "test_dependency")):
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
async def serve() -> AsyncIterator[ServeOn]:
    """`await serve(answer, limit=...)` opens a server on a free port."""
    opened: list[HttpServer] = []

    async def open_one(answer: Answer, port: int | None = None, **limits: Any) -> Service:
        service = await Service.open(answer, port, **limits)
        opened.append(service.server)
        return service

    yield open_one
    for server in opened:
        await server.close()


@pytest.fixture
async def make_client() -> AsyncIterator[MakeClient]:
    """`make_client(...)` makes a client with the arguments of `HttpClient`."""
    made: list[HttpClient] = []

    def make_one(*args: Any, **kwargs: Any) -> HttpClient:
        client = HttpClient(*args, **kwargs)
        made.append(client)
        return client

    yield make_one
    for client in made:
        await client.close()
