"""Callers of gRPC that do not read, or do not end what they send: nothing is held for them for long."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from borough.gateway.process import Process
from borough.transports.grpc.connection import GrpcConnection
from tests.transports.grpc.deaf import deaf
from tests.transports.grpc.plain import plain
from tests.transports.grpc.serving import BOOTH, address, served

BLANK, COUNT = f"/{BOOTH}/Blank", f"/{BOOTH}/Count"
BILLIONS = b"\x08\xff\xff\xff\xff\x07"


async def http(process: Process) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the edge of the same process."""
    return await asyncio.open_connection("127.0.0.1", int(process.edge_url.rpartition(":")[2]))


def failures(process: Process) -> int:
    """How many calls have failed by the fault of the process."""
    assert process.grpc is not None
    assert process.grpc.public is not None
    return process.grpc.public.failures


def note(size: int) -> bytes:
    """A message that is answered with one of the same size."""
    assert 2**14 <= size < 2**21
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    return b"\x0a" + length + b"n" * size


@pytest.mark.parametrize("asked_s", [None, 60])
async def test_a_stream_has_a_deadline_whatever_its_caller_asks_for(
    tmp_path: Path, asked_s: float | None
) -> None:
    process = await served(tmp_path, limits__default_timeout_s=1.0, limits__longest_timeout_s=1.0)
    try:
        service: Any = process.host.services["booth"].instance
        async with plain(address(process)) as caller:
            call = caller.call(f"{BOOTH}/Count", until=10**9, timeout=asked_s)
            async with asyncio.timeout(10):
                await service.closed_stream.wait()
            assert process.in_flight == 0
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert failures(process) == 0
    finally:
        await process.stop()


async def test_what_is_not_read_is_dropped_long_before_its_deadline_and_the_connection_goes_on(
    tmp_path: Path,
) -> None:
    process = await served(tmp_path, limits__longest_timeout_s=3600, edge__limits__write_idle_s=0.2)
    try:
        async with deaf(address(process)) as caller, asyncio.timeout(30):
            answer = await caller.call(BLANK, note(16_500))
            stream = await caller.call(COUNT, BILLIONS, grpc_timeout=b"1H")
            assert {await caller.reset(), await caller.reset()} == {answer, stream}
            assert process.in_flight == 0
            unknown = await caller.call("/nothing", b"")
            assert await caller.told() == unknown
    finally:
        await process.stop()


@pytest.mark.parametrize("missing", [0, 1], ids=["answers", "messages"])
async def test_what_is_held_for_slow_callers_is_bounded_and_the_slowest_goes_first(
    tmp_path: Path, missing: int
) -> None:
    process = await served(
        tmp_path,
        edge__limits__body_bytes=100_000,
        edge__limits__held_bytes=250_000,
        grpc__streams=10,
    )
    try:
        async with deaf(address(process)) as caller, asyncio.timeout(30):
            calls = [await caller.call(BLANK, note(90_000), missing) for _ in range(3)]
            assert await caller.reset() == calls[0]
    finally:
        await process.stop()


async def test_header_blocks_that_do_not_end_are_held_for_callers_that_have_not_taken_the_settings(
    tmp_path: Path,
) -> None:
    process = await served(
        tmp_path, edge__limits__body_bytes=100_000, edge__limits__held_bytes=250_000
    )
    try:
        async with deaf(address(process)) as first, deaf(address(process)) as second:
            async with asyncio.timeout(30):
                first.begin_block(2_000)
                while not process.front.bounds().holding.total:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
                second.begin_block(2_000)
                await first.end()
                stream = second.end_block()
                assert await second.told() == stream
        assert not process.front.bounds().holding.total
    finally:
        await process.stop()


async def test_a_header_block_above_64_kib_ends_the_connection_of_who_has_not_taken_the_settings(
    tmp_path: Path,
) -> None:
    process = await served(tmp_path)
    try:
        async with deaf(address(process)) as caller, asyncio.timeout(30):
            caller.begin_block(16_000, more=4)
            await caller.end()
    finally:
        await process.stop()


async def test_a_caller_that_leaves_a_stream_is_no_failure_of_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = await served(tmp_path)
    try:
        service: Any = process.host.services["booth"].instance
        async with deaf(address(process)) as caller, asyncio.timeout(30):
            stream = await caller.call(COUNT, BILLIONS)
            assert await caller.told() == stream
            caller.leave(stream)
            await service.closed_stream.wait()
            unknown = await caller.call("/nothing", b"")
            assert await caller.told() == unknown
        assert failures(process) == 0
        assert not [each for each in caplog.records if each.levelname == "ERROR"]
    finally:
        await process.stop()


async def test_a_slow_request_by_http_is_bounded_together_with_calls(tmp_path: Path) -> None:
    process = await served(
        tmp_path, edge__limits__body_bytes=100_000, edge__limits__held_bytes=250_000
    )
    reader, writer = await http(process)
    try:
        writer.write(b"POST /booth/blanks HTTP/1.1\r\nhost: booth\r\ncontent-length: 99999\r\n")
        writer.write(b"expect: 100-continue\r\n\r\n")
        async with deaf(address(process)) as caller, asyncio.timeout(30):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            writer.write(bytes(90_000))
            await writer.drain()
            while not process.front.bounds().holding.total:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            for _ in range(2):
                await caller.call(BLANK, note(90_000), missing=1)
            with suppress(ConnectionError):
                assert await reader.read() == b""
    finally:
        writer.close()
        await process.stop()


async def test_connections_of_an_address_are_counted_together_with_those_of_http(
    tmp_path: Path,
) -> None:
    process = await served(tmp_path, edge__limits__connections_per_address=2)
    _, writer = await http(process)
    try:
        async with asyncio.timeout(30):
            async with deaf(address(process)) as caller:
                stream = await caller.call("/nothing", b"")
                assert await caller.told() == stream
                async with deaf(address(process)) as one_more:
                    await one_more.end()
                reader, refused = await http(process)
                assert (await reader.readline()).startswith(b"HTTP/1.1 429")
                refused.close()
    finally:
        writer.close()
        await process.stop()


async def test_a_connection_of_which_nothing_is_read_is_dropped(tmp_path: Path) -> None:
    process = await served(tmp_path, limits__longest_timeout_s=3600, edge__limits__write_idle_s=0.2)
    try:
        service: Any = process.host.services["booth"].instance
        async with deaf(address(process), window=2**31 - 1) as caller, asyncio.timeout(30):
            await caller.call(COUNT, BILLIONS, grpc_timeout=b"1H")
            await service.closed_stream.wait()
            await caller.end()
    finally:
        await process.stop()


async def test_who_asks_on_and_on_and_reads_nothing_is_dropped_at_once(tmp_path: Path) -> None:
    process = await served(tmp_path)
    try:
        async with deaf(address(process), window=2**31 - 1) as caller, asyncio.timeout(15):
            await caller.call(COUNT, BILLIONS)
            with pytest.raises(ConnectionError):
                await caller.ping_for_ever()
    finally:
        await process.stop()


async def test_answers_to_pings_that_are_not_read_are_among_what_is_held(tmp_path: Path) -> None:
    process = await served(tmp_path, edge__limits__held_bytes=1_000_000)
    held = process.front.bounds().holding
    try:
        async with deaf(address(process), window=2**31 - 1) as caller, asyncio.timeout(30):
            pinging = asyncio.ensure_future(caller.ping_for_ever())
            most = 0
            while not pinging.done():
                most = max(most, held.total)
                await asyncio.sleep(0)
            with pytest.raises(ConnectionError):
                await pinging
            assert 500_000 < most <= 1_000_000
    finally:
        await process.stop()


async def test_what_was_held_for_a_caller_goes_with_its_connection(tmp_path: Path) -> None:
    process = await served(tmp_path)
    gc.collect()
    gc.disable()
    try:
        async with deaf(address(process), window=2**31 - 1) as caller, asyncio.timeout(15):
            with pytest.raises(ConnectionError):
                await caller.ping_for_ever()
            while any(type(each) is GrpcConnection for each in gc.get_objects()):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
    finally:
        gc.enable()
        await process.stop()
