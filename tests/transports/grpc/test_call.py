"""The messages of a stream: whole ones, each in its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import pytest
from httpunk import HeaderMap, HTTPunkError

from borough.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from borough.transports.grpc.call import GrpcCall
from borough.transports.grpc.door import CallerLeft
from borough.transports.grpc.wire import head_of
from borough.transports.http.holding import Holding
from borough.transports.http.message import Connection


def framed(message: bytes) -> bytes:
    """A message as it is sent."""
    return head_of(message) + message


class Line:
    """A connection whose caller reads everything."""

    def __init__(self) -> None:
        self.connection = Connection(("", 0))
        self.holding = Holding(1_000_000)
        self.now = 0.0
        self.is_read = asyncio.Event()
        self.is_read.set()


class Asked:
    """A request whose chunks come, and whose caller then says nothing more."""

    def __init__(self, *chunks: bytes, ends: bool = False) -> None:
        self.headers = HeaderMap()
        self._chunks = chunks
        self._ends = ends

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if not self._ends:
            await asyncio.Event().wait()

    async def send_response(self, *_: Any, **__: Any) -> Any:
        return self

    async def send_data(self, data: bytes) -> None:
        """Nobody reads it."""


async def answered(asked: Asked) -> list[bytes]:
    """What was read of a stream, each message of which was answered."""
    request: Any = asked
    call = GrpcCall(request, Line())
    found: list[bytes] = []
    async for message in call.messages(100, message_s=0.05, quiet_s=0.05):
        found.append(message)
        await call.write(b"")
    return found


async def test_messages_are_whole_however_they_come() -> None:
    sent = [b"", b"one", b"x" * 100]
    data = b"".join(map(framed, sent))
    assert await answered(Asked(data, ends=True)) == sent
    assert await answered(Asked(*(bytes([byte]) for byte in data), ends=True)) == sent


async def test_a_stream_that_is_quiet_after_an_answer_has_ended() -> None:
    assert await answered(Asked(framed(b"one"))) == [b"one"]


@pytest.mark.parametrize("chunks", [(), (b"\0",), (framed(b"one"), framed(b"two")[:-1])])
async def test_a_message_that_does_not_come_is_not_waited_for(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidRequest, match=r"has not come within 0\.05 s"):
        await answered(Asked(*chunks))


async def test_a_message_that_is_announced_as_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge):
        await answered(Asked(framed(bytes(101))[:5]))


@pytest.mark.parametrize(
    ("count", "size", "is_taken"),
    [(4, 4_000, True), (5, 4_000, False), (497, 0, True), (498, 0, False), (20_000, 4_000, False)],
)
async def test_metadata_above_the_limit_is_refused(count: int, size: int, is_taken: bool) -> None:
    request: Any = Asked()
    usual = [("content-type", b"application/grpc"), ("idempotency-key", b"k1")]
    request.headers = HeaderMap([("x", b"a" * size)] * count + usual)
    call = GrpcCall(request, Line())
    with nullcontext() if is_taken else pytest.raises(TooLarge):
        call.read_headers({b"idempotency-key": "idempotency-key"}, 16_510)
    assert not is_taken or call.headers == {"idempotency-key": b"k1"}


async def test_metadata_is_held_until_the_message_has_come() -> None:
    request: Any = Asked()
    request.headers = HeaderMap([("content-type", b"application/grpc"), ("x", b"a" * 10_000)])
    line = Line()
    call = GrpcCall(request, line)
    call.read_headers({}, 16_384)
    reading = asyncio.ensure_future(call.message(100))
    await asyncio.sleep(0)
    assert 10_000 < line.holding.total < 10_200
    reading.cancel()
    await asyncio.wait([reading])
    assert not line.holding.total


@pytest.mark.parametrize(
    ("kind", "is_taken"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"Application/gRPC; charset=utf-8", True),
        (b"application/grpc+json", False),
        (b"application/grpc-web", False),
        (b"text/plain", False),
        (b"text/plain; application/grpc", False),
        (None, False),
    ],
)
async def test_what_a_browser_sends_for_any_page_is_no_call(
    kind: bytes | None, is_taken: bool
) -> None:
    request: Any = Asked()
    request.headers = HeaderMap([] if kind is None else [("content-type", kind)])
    call = GrpcCall(request, Line())
    with nullcontext() if is_taken else pytest.raises(UnsupportedMediaType):
        call.read_headers({}, 16_384)


class Left(Asked):
    """A request whose caller has left."""

    async def send_data(self, data: bytes) -> None:
        raise HTTPunkError("the stream was reset")


async def test_a_call_whose_caller_is_found_gone_is_not_cancelled_while_it_cleans_up() -> None:
    request: Any = Left()
    call = GrpcCall(request, Line())
    with pytest.raises(CallerLeft):
        await call.write(b"item")
    call.drop()  # as who watches for it, or a sweep, does a moment later
    await asyncio.sleep(0)
