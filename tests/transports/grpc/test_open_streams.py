"""One client has so many streams open, by gRPC and by HTTP together; others have theirs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from borough.gateway.process import Process
from tests.transports.grpc.plain import Plain, plain, problem_in
from tests.transports.grpc.serving import BOOTH, address, served

SERVING = health_pb2.HealthCheckResponse.SERVING


async def bounded(folder: Path, most: int) -> Process:
    """A booth where one client may have so many streams, which go on for as long as they like."""
    return await served(
        folder,
        edge__streams_per_client=most,
        limits__longest_timeout_s=3600,
        edge__limits__write_idle_s=3600,
        grpc__streams=20,
    )


async def begun(caller: Plain, **more: Any) -> Any:
    """A stream that has sent its first item, and goes on."""
    stream = caller.call(f"{BOOTH}/Count", until=10**9, timeout=600, **more)
    assert (await stream.read()).result == 0
    return stream


async def refused(caller: Plain) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await begun(caller)
    return caught.value


def health(caller: Plain, name: str) -> Any:
    kind: Any = caller.channel.unary_stream if name == "Watch" else caller.channel.unary_unary
    return kind(
        f"/grpc.health.v1.Health/{name}",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )(health_pb2.HealthCheckRequest())


async def test_a_stream_too_many_is_refused_before_it_runs_until_another_one_ends(
    tmp_path: Path,
) -> None:
    process = await bounded(tmp_path, 2)
    try:
        service: Any = process.host.services["booth"].instance
        async with (
            asyncio.timeout(60),
            plain(address(process)) as caller,
            plain(address(process)) as elsewhere,  # another connection of the same client
        ):
            streams = [await begun(caller), await begun(caller)]
            error = await refused(elsewhere)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "2 streams open" in (error.details() or "")
            assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "5000"
            assert (await caller.call(f"{BOOTH}/Add", one=1)).result == 1  # its calls go on
            streams[0].cancel()
            await service.closed_stream.wait()
            await begun(caller)
    finally:
        await process.stop()


async def test_streams_by_http_and_by_grpc_are_counted_together_and_by_user(tmp_path: Path) -> None:
    process = await bounded(tmp_path, 1)
    port = int(process.edge_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(60), plain(address(process)) as caller:
            writer.write(b"GET /booth/count/1000000000 HTTP/1.1\r\nhost: booth\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            assert (await refused(caller)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            token = (await caller.call(f"{BOOTH}/Login", name="anna")).result
            await begun(caller, metadata=[("authorization", f"Bearer {token}")])
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
        await process.stop()


async def test_who_watches_health_has_a_stream_open_and_who_checks_it_has_none(
    tmp_path: Path,
) -> None:
    process = await bounded(tmp_path, 1)
    try:
        async with asyncio.timeout(60), plain(address(process)) as caller:
            watch = health(caller, "Watch")
            assert (await watch.read()).status == SERVING
            assert (await refused(caller)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health(caller, "Watch").read()
            assert "google.rpc.RetryInfo" in problem_in(caught.value)
            assert (await health(caller, "Check")).status == SERVING
    finally:
        await process.stop()
