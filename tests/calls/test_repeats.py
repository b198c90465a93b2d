"""What a caller repeats by itself: nothing that may have done something, unless twice is as good as once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from borough import ANYONE, IDEMPOTENCY_KEY, contract, get, post, put
from borough.clock import SystemClock
from borough.contracts.reading import read_contract
from borough.errors import ServiceFailure, StoreUnavailable, TransactionConflict, Unavailable
from borough.ports import Replica
from borough.reliability.admission import Gate
from borough.runtime.discovery import Directory
from borough.services.context import Call
from borough.transports.callee import Callee
from borough.transports.honest import Hardship, HonestTransport
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies
from borough.transports.http.limits import ClientLimits
from borough.transports.http.remote import RemoteTransport

CLOCK = SystemClock()


@contract("till", version="1.0")
class Till(Protocol):
    @get("/total", allow=ANYONE)
    async def total(self) -> int: ...

    @put("/float", allow=ANYONE)
    async def fill(self) -> int: ...

    @post("/sales", allow=ANYONE)
    async def sell(self) -> int: ...

    @get("/sales", allow=ANYONE)
    def watch(self) -> AsyncIterator[int]: ...

    @post("/payments", idempotent_by=IDEMPOTENCY_KEY)
    async def pay(self) -> int: ...


OPERATIONS = read_contract(Till).operations


def call(name: str, key: str | None) -> Call:
    wire_name, deadline = OPERATIONS[name].wire_name, CLOCK.monotonic() + 5
    return Call(wire_name, "till", "orders", None, deadline, None, key)


@pytest.mark.parametrize(
    "error",
    [StoreUnavailable, TransactionConflict, Unavailable],
)
@pytest.mark.parametrize(
    ("name", "key", "may_repeat"),
    [
        ("total", None, True),
        ("fill", None, True),
        ("sell", None, False),
        ("pay", None, False),
        ("pay", "k", True),
    ],
)
async def test_a_handler_that_finds_no_database_or_thread_is_repeated_only_where_that_is_safe(
    error: type[Exception], name: str, key: str | None, may_repeat: bool
) -> None:
    async def handler() -> int:
        raise error("not now")  # after the handler has done who knows what

    callee = Callee(OPERATIONS[name], handler, Gate(1), CLOCK.monotonic)
    with pytest.raises(Unavailable) as raised:
        await callee.run((), call(name, key))
    assert raised.value.retryable is may_repeat


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreUnavailable, "The database of till is not available now"),
        (TransactionConflict, "Another transaction of till was first"),
    ],
)
async def test_a_database_that_is_there_is_not_said_to_be_away(
    error: type[Exception], told: str
) -> None:
    async def handler() -> int:
        raise error("not now")

    callee = Callee(OPERATIONS["sell"], handler, Gate(1), CLOCK.monotonic)
    with pytest.raises(Unavailable) as raised:
        await callee.run((), call("sell", None))
    assert str(raised.value) == told


@pytest.fixture
async def silent() -> AsyncIterator[tuple[list[bytes], RemoteTransport]]:
    """What a server was asked that hangs up instead of answering, and a transport to it."""
    asked: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    place = Replica("till.1", *server.sockets[0].getsockname()[:2])
    transport = RemoteTransport(Dependencies(Directory({"till": [place]}), HttpClient, CLOCK))
    yield asked, transport
    await transport.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("name", "key", "is_repeated"),
    [
        ("total", None, True),
        ("sell", None, False),
        ("pay", None, False),
        ("pay", "k", True),
    ],
)
async def test_a_call_without_an_answer_is_sent_again_only_where_that_is_safe(
    silent: tuple[list[bytes], RemoteTransport], name: str, key: str | None, is_repeated: bool
) -> None:
    asked, transport = silent
    with pytest.raises(ServiceFailure):
        await transport.bind(OPERATIONS[name])((), call(name, key))
    assert (len(asked) > 1) is is_repeated


MakeTill = Callable[[int, bytes], Awaitable[RemoteTransport]]


@pytest.fixture
async def make_till() -> AsyncIterator[MakeTill]:
    """`await make_till(status, body)`: a transport to a server that answers everything so."""
    async with AsyncExitStack() as stack:

        async def made(status: int, body: bytes) -> RemoteTransport:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                head = b"HTTP/1.1 %d Status\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
                writer.write(head % (status, len(body)) + body)
                writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            place = Replica("till.1", *server.sockets[0].getsockname()[:2])
            dependencies = Dependencies(Directory({"till": [place]}), HttpClient, CLOCK)
            transport = RemoteTransport(dependencies)
            stack.push_async_callback(transport.close)
            return transport

        yield made


@pytest.fixture
async def lengthy() -> AsyncIterator[RemoteTransport]:
    """A transport to a server whose stream is one line that has no end."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(send, "127.0.0.1", 0)
    place = Replica("till.1", *server.sockets[0].getsockname()[:2])
    limits = ClientLimits(body_bytes=100_000)
    dependencies = Dependencies(Directory({"till": [place]}), lambda: HttpClient(limits), CLOCK)
    transport = RemoteTransport(dependencies)
    yield transport
    await transport.close()
    server.close()
    await server.wait_closed()


async def test_a_line_without_an_end_is_given_up(lengthy: RemoteTransport) -> None:
    items = lengthy.bind(OPERATIONS["watch"])((), call("watch", None))
    async with asyncio.timeout(5):
        with pytest.raises(ServiceFailure, match="a line of more than 100000 bytes"):
            await anext(items)


async def test_a_call_that_never_left_says_nothing_of_who_made_it() -> None:
    """What it did before it called, it has done: nobody may take it for not begun."""
    inner = HonestTransport({}, CLOCK, Hardship(failure_share=1.0)).bind(OPERATIONS["fill"])

    async def handler() -> None:
        await inner((), call("fill", None))

    callee = Callee(OPERATIONS["sell"], handler, Gate(1), CLOCK.monotonic)
    with pytest.raises(Unavailable, match=r"needs till\.Till\.fill") as raised:
        await callee.run((), call("sell", None))
    assert not raised.value.retryable


@pytest.mark.parametrize("body", [b'{"code":"\xff"}', b'{"x":' + b"[" * 100_000])
async def test_a_refusal_that_nobody_can_read_is_a_failure_of_who_answers(
    body: bytes, make_till: MakeTill
) -> None:
    transport = await make_till(503, body)
    for name in ("total", "sell"):
        with pytest.raises(ServiceFailure):
            await transport.bind(OPERATIONS[name])((), call(name, None))
