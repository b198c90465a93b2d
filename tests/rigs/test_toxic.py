"""Each toxic does what it says, in its direction, and a clean proxy changes nothing."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from rigs.toxic import CLEAN, ToxicProxy, Toxics


@pytest.fixture
async def proxy() -> AsyncIterator[ToxicProxy]:
    """A proxy in front of a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    made = ToxicProxy(server.sockets[0].getsockname()[:2], random.Random(1))
    await made.open()
    yield made
    await made.close()
    server.close()


async def said_back(proxy: ToxicProxy, data: bytes, timeout_s: float = 5.0) -> bytes:
    """What comes back for `data`, until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(timeout_s):
            return await reader.read(-1)
    finally:
        writer.close()


async def test_a_clean_proxy_changes_nothing(proxy: ToxicProxy) -> None:
    data = random.Random(1).randbytes(300_000)
    assert await said_back(proxy, data) == data
    assert proxy.connections == 1


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_latency_delays_each_direction(proxy: ToxicProxy, direction: str) -> None:
    setattr(proxy, direction, Toxics(latency_s=0.2, jitter_s=0.05))
    began = time.monotonic()
    assert await said_back(proxy, b"hello") == b"hello"
    assert time.monotonic() - began >= 0.2


async def test_bandwidth_is_kept(proxy: ToxicProxy) -> None:
    proxy.down = Toxics(bytes_per_s=10_000)
    began = time.monotonic()
    assert len(await said_back(proxy, b"x" * 3000)) == 3000
    assert time.monotonic() - began >= 0.25


async def test_a_close_is_slow(proxy: ToxicProxy) -> None:
    proxy.down = Toxics(slow_close_s=0.3)
    began = time.monotonic()
    assert await said_back(proxy, b"hello") == b"hello"
    assert time.monotonic() - began >= 0.3


async def test_a_black_hole_gives_nothing_until_it_ends(proxy: ToxicProxy) -> None:
    proxy.up = Toxics(is_black_hole=True)
    with pytest.raises(TimeoutError):
        await said_back(proxy, b"hello", 0.2)
    proxy.up = CLEAN
    assert await said_back(proxy, b"hello") == b"hello"


async def test_a_reset_is_seen_after_so_many_bytes(proxy: ToxicProxy) -> None:
    proxy.down = Toxics(reset_after=4)
    with pytest.raises(ConnectionResetError):
        await said_back(proxy, b"hello")


async def test_a_limit_ends_after_so_many_bytes(proxy: ToxicProxy) -> None:
    proxy.down = Toxics(limit_bytes=4)
    assert await said_back(proxy, b"hello") == b"hell"


async def test_slices_lose_nothing(proxy: ToxicProxy) -> None:
    proxy.up = proxy.down = Toxics(slice_bytes=7)
    data = random.Random(2).randbytes(2000)
    assert await said_back(proxy, data) == data


async def test_a_proxy_that_is_down_refuses_and_comes_back(proxy: ToxicProxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"  # it is accepted
    await proxy.go_down()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.open()
    assert await said_back(proxy, b"hello") == b"hello"
