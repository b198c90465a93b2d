"""The console's frame: its files, its endpoints, and what is live."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough import console
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


async def test_the_page_comes_with_its_files_and_a_strict_policy(browser: Browser) -> None:
    for path, kind in [
        ("/console/", "text/html"),
        ("/console/style.css", "text/css"),
        ("/console/app.js", "text/javascript"),
    ]:
        status, headers, body = await browser.get(path)
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        assert "default-src 'self'" in headers["content-security-policy"]
        assert b"https://" not in body
        again, _, _ = await browser.get(path, if_none_match=headers["etag"])
        assert again == 304


async def test_the_whole_page_is_small() -> None:
    folder = Path(console.__file__).parent / "page"
    files = [file.read_bytes() for file in folder.iterdir()]
    assert sum(len(gzip.compress(body)) for body in files) < 300 * 1024


@pytest.mark.parametrize("path", ["/console/nothing", "/console/.hidden", "/console/api/nothing"])
async def test_there_is_nothing_else_below_it(browser: Browser, path: str) -> None:
    assert (await browser.get(path))[0] == 404


@pytest.mark.parametrize("path", ["/console/", "/console/api/system", "/console/api/state"])
async def test_what_reads_takes_nothing(browser: Browser, path: str) -> None:
    assert (await browser.get(path, method="POST"))[0] == 405


async def test_an_unknown_topic_is_said(browser: Browser) -> None:
    status, _, body = await browser.get("/console/api/live?topics=weather")
    assert status == 400
    assert b"edges" in body


async def test_edges_are_declared_and_observed_with_their_numbers(
    process: Process, browser: Browser
) -> None:
    await process.host.client(Tickets).sell("north", "t1")
    await process.host.quiet()
    found = await browser.document("/console/api/map")
    call, event = msgspec.convert(found["edges"], list[dict[str, Any]])
    assert (call["kind"], call["caller"], call["callee"]) == ("call", "tickets", "crossings")
    assert (call["declared"], call["observed"], call["count"]) == (True, True, 1)
    assert call["operations"] == ["crossings.Crossings.v2.sold"]
    assert call["lately"]["p99_ms"] > 0
    assert (event["kind"], event["caller"], event["operations"]) == (
        "event",
        "tickets",
        ["crossings.count"],
    )


async def test_a_service_has_a_history_and_what_its_process_uses(
    process: Process, browser: Browser
) -> None:
    await browser.document("/console/api/map")
    await process.clock.sleep(0.9)
    found = await browser.document("/console/api/services/tickets/history")
    (point,) = msgspec.convert(found["points"], list[dict[str, Any]])
    assert point["memory_bytes"] > 1_000_000
    assert point["calls"]["per_s"] == 0
    assert (await browser.get("/console/api/services/nobody/history"))[0] == 404


async def test_a_stream_does_not_keep_a_process_from_stopping(tmp_path: Path) -> None:
    async with sailing(ferry(tmp_path), tmp_path) as process:
        port = int(process.edge_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /console/api/live?topics=state HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await _events(reader, {"state"})
        async with asyncio.timeout(5):
            await process.stop()
        writer.close()
        await writer.wait_closed()


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


async def _events(reader: asyncio.StreamReader, wanted: set[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(20):
        while wanted - found.keys():
            line = await reader.readline()
            if line.startswith(b"event: "):
                name = line.removeprefix(b"event: ").decode().strip()
                data = (await reader.readline()).removeprefix(b"data: ")
                found[name] = msgspec.json.decode(data)
    return found
