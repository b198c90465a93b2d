"""Traces as the console's endpoints find and show them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from borough.console.one_process import mounts
from borough.gateway.process import Process
from borough.observing.keeper import Keeper
from tests.console.ferry import Browser, Tickets, ferry, sailing


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """At the ferry, of which a run keeps what it sees, after two tickets were sold."""
    folder = tmp_path / "data"
    process = Process(ferry(tmp_path), data_folder=folder, edge_port=0, mounts=mounts)
    folder.mkdir()
    keeper = Keeper(folder, process.clock, 2**26)
    await keeper.open()
    process.observer.sinks["the keeper"] = keeper
    await process.start()
    try:
        for ticket in ("t-1", "t-2"):
            await process.host.client(Tickets).sell("north", ticket)
        yield Browser(process)
    finally:
        await process.stop()
        await keeper.close()


async def found(browser: Browser, query: str, number: int) -> Any:
    """The traces that fit, once there are so many, as what is seen is kept within about a second."""
    async with asyncio.timeout(20):
        while True:
            traces: Any = (await browser.document(f"/console/api/traces?{query}"))["traces"]
            if len(traces) == number:
                return traces
            await asyncio.sleep(0.1)


async def test_a_trace_is_found_by_the_id_of_a_thing_and_shown_over_all_services(
    browser: Browser,
) -> None:
    (trace,) = await found(browser, "text=t-2", 1)
    view: Any = await browser.document(f"/console/api/traces/{trace['trace_id']}")
    assert set(view["services"]) == {"tickets", "crossings"}
    assert "t-2" in {row["span"]["attributes"].get("app.ticket_id") for row in view["rows"]}
    assert view["why"]


async def test_what_is_asked_for_narrows_what_is_found(browser: Browser) -> None:
    await found(browser, "service=crossings&operation=sold&status=ok&within_s=600", 2)
    for query in ("status=error", "service=nobody", "at_least_ms=90000", "text=t-3"):
        await found(browser, query, 0)
    await found(browser, "limit=1", 1)


@pytest.mark.parametrize("query", ["status=bad", "at_least_ms=long", "within_s=-1", "limit=nan"])
async def test_what_cannot_be_asked_is_said(browser: Browser, query: str) -> None:
    assert (await browser.get(f"/console/api/traces?{query}"))[0] == 400


async def test_a_trace_of_which_nothing_is_kept_is_not_found(browser: Browser) -> None:
    assert (await browser.get(f"/console/api/traces/{'ab' * 16}"))[0] == 404


async def test_where_nothing_is_kept_the_console_says_what_keeps_it(tmp_path: Path) -> None:
    async with sailing(ferry(tmp_path), tmp_path) as process:
        status, _, body = await Browser(process).get("/console/api/traces")
        assert (status, b"borough run" in body) == (503, True)
