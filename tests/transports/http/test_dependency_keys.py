"""A typed call that may run twice is repeated when its answer is lost, and no other one is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from borough import IDEMPOTENCY_KEY, contract, get, post
from borough.clock import SystemClock
from borough.contracts.reading import read_contract
from borough.errors import ServiceFailure, Unavailable
from borough.ports import Replica
from borough.runtime.client import Caller, make_client
from borough.runtime.discovery import Directory
from borough.testing import free_port
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies
from borough.transports.http.remote import RemoteTransport

CLOCK = SystemClock()


@contract("search", version="1.0")
class Search(Protocol):
    """Finds."""

    @get("/found")
    async def find(self, text: str) -> str:
        """Look."""
        ...

    @post("/entries")
    async def add(self, text: str) -> str:
        """Add."""
        ...

    @post("/keyed", idempotent_by=IDEMPOTENCY_KEY)
    async def add_once(self, text: str) -> str:
        """Add once for each key."""
        ...

    @post("/derived", idempotent_by="text")
    async def add_text(self, text: str) -> str:
        """Add once for each text."""
        ...


class Silent:
    """Takes requests and closes the connection instead of answering."""

    def __init__(self) -> None:
        self.port = free_port()
        self.requests = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    found = Silent()
    server = await asyncio.start_server(found.talk, "127.0.0.1", found.port)
    yield found
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("operation", "key", "is_repeated"),
    [
        ("find", None, True),
        ("add", None, False),
        ("add", "k", False),
        ("add_once", "k", True),
        ("add_once", None, False),
        ("add_text", None, True),
    ],
)
async def test_without_an_answer_only_what_may_run_twice_is_sent_again(
    silent: Silent, operation: str, key: str | None, is_repeated: bool
) -> None:
    directory = Directory({"search": [Replica("search-1", "127.0.0.1", silent.port)]})
    transport = RemoteTransport(Dependencies(directory, HttpClient, CLOCK))
    client = make_client(read_contract(Search), transport, Caller("orders", CLOCK, key=key))
    try:
        with pytest.raises(ServiceFailure, match="the call may have run") as caught:
            await getattr(client, operation)("tea")
    finally:
        await transport.close()
    assert silent.requests == (3 if is_repeated else 1)
    assert type(caught.value) is ServiceFailure


async def test_where_nobody_listens_the_call_is_unavailable_and_nothing_less_known() -> None:
    directory = Directory({"search": [Replica("search-1", "127.0.0.1", free_port())]})
    transport = RemoteTransport(Dependencies(directory, HttpClient, CLOCK))
    client = make_client(read_contract(Search), transport, Caller("orders", CLOCK))
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        await client.add("tea")
    await transport.close()
    assert type(caught.value) is Unavailable
