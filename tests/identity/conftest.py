"""What speaks TLS is tried on both event loops: they do not treat it alike."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.identity.town import SOON_S, Town


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on asyncio's own loop and on uvloop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """A town, closed after the test: nothing that was refused keeps a process from ending."""
    made = Town(tmp_path)
    yield made
    async with asyncio.timeout(2 * SOON_S):
        await made.close()
