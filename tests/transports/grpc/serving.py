"""A booth with a public gRPC listener, and what is said to whom it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.testing import free_port
from tests.calls.booth import booth

BOOTH = "booth.v1.BoothService"
FLAGS = {
    "grpc.port": 0,
    "limits.longest_timeout_s": 3,
    "limits.default_timeout_s": 2,
    "limits.drain_s": 2,
    "edge.rate_limit": "",
    "edge.limits.body_bytes": 20_000,
    "grpc.streams": 4,
}


async def served(folder: Path, **more: Any) -> Process:
    """A booth with a public gRPC listener."""
    flags = {**FLAGS, **{name.replace("__", "."): value for name, value in more.items()}}
    system = booth().configured(Configuration.load(folder, {}, flags))
    process = Process(
        system, data_folder=folder / "data", edge_port=free_port(), internal_port=free_port()
    )
    await process.start()
    return process


def address(process: Process) -> str:
    assert process.grpc is not None
    return process.grpc.addresses[0]


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
