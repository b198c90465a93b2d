"""A booth that is served by gRPC, and one who calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from borough.gateway.process import Process
from tests.transports.grpc.plain import Plain, plain
from tests.transports.grpc.serving import address, served


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    found = await served(tmp_path)
    yield found
    await found.stop()


@pytest.fixture
async def caller(process: Process) -> AsyncIterator[Plain]:
    async with plain(address(process)) as found:
        yield found
