"""The console's frame: its files, its endpoints, and what is live."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from borough.gateway.process import Process
from tests.console.ferry import Browser, Tickets, ferry, sailing


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    async with sailing(ferry(tmp_path), tmp_path) as process:
        yield process


@pytest.fixture
def browser(process: Process) -> Browser:
    return Browser(process)


async def test_what_was_the_system_page_is_the_console_now(browser: Browser) -> None:
    for path in ("/system", "/console"):
        status, headers, _ = await browser.get(path)
        assert (status, headers["location"]) == (308, "/console/")


async def test_what_changes_comes_as_events_whole_at_first(process: Process) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(process.edge_url.rpartition(":")[2])
    )
    try:
        writer.write(
            b"GET /console/api/live?topics=state,services HTTP/1.1\r\nhost: localhost\r\n\r\n"
        )
        found = await _events(reader, {"state", "services"})
        assert found["state"]["changed"]["state"] == "ready"
        assert found["services"]["whole"] is True
        await process.host.client(Tickets).sell("north", "t1")
        news = await _events(reader, {"services"})
        assert news["services"]["whole"] is False
        assert news["services"]["changed"]["tickets"]["calls"] == 1
    finally:
        writer.close()
        await writer.wait_closed()


async def _events(
    reader: asyncio.StreamReader, wanted: set[str]
) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    found: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    async with asyncio.timeout(20):
        while wanted - found.keys():
            line = await reader.readline()
            if line.startswith(b"event: "):
                name = line.removeprefix(b"event: ").decode().strip()
                data = (await reader.readline()).removeprefix(b"data: ")
                found[name] = msgspec.json.decode(data)
    return found
