"""A service elsewhere tells nothing here; what is known of calls to it is what their callers have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from borough.console.one_process import mounts
from borough.gateway.process import Process
from borough.transports.http.message import Response
from tests.console.ferry import Browser, ferry, sailing
from tests.runtime.test_external import JSON, listening, system

BROKEN = Response(404, JSON, b'{"code": "unheard-of"}')


def between(edge: dict[str, Any]) -> tuple[Any, ...]:
    return edge["kind"], edge["caller"], edge["callee"]


async def edge_between(browser: Browser, caller: str, callee: str) -> dict[str, Any]:
    """What the console's map has of calls from one to the other."""
    found = cast("list[dict[str, Any]]", (await browser.document("/console/api/map"))["edges"])
    (edge,) = [each for each in found if between(each) == ("call", caller, callee)]
    return edge


async def test_a_service_elsewhere_that_was_not_called_yet_is_declared_and_unseen(
    tmp_path: Path,
) -> None:
    async with sailing(system(tmp_path, "https://pay.example"), tmp_path) as process:
        edge = await edge_between(Browser(process), "shop", "pay")
    assert (edge["kind"], edge["elsewhere"], edge["count"]) == ("call", True, 0)
    assert (edge["declared"], edge["observed"]) == (True, False)


async def test_calls_to_a_service_elsewhere_are_seen_with_their_failures(tmp_path: Path) -> None:
    async with (
        listening() as (foreign, url),
        sailing(system(tmp_path, url), tmp_path) as process,
    ):
        browser = Browser(process)
        assert (await browser.get("/shop/read/1"))[0] == 200
        foreign.answers.append(BROKEN)
        assert (await browser.get("/shop/read/1"))[0] == 500
        edge = await edge_between(browser, "shop", "pay")
    assert (edge["kind"], edge["elsewhere"], edge["count"]) == ("call", True, 2)
    assert (edge["declared"], edge["observed"], edge["faults"]) == (True, True, 1)
    assert edge["operations"] == ["pay.Pay.read"]


async def test_a_call_to_another_process_of_the_system_is_counted_once(tmp_path: Path) -> None:
    process = Process(
        ferry(tmp_path),
        data_folder=tmp_path / "data",
        edge_port=0,
        internal_port=0,
        make_transport="wire",
        mounts=mounts,
    )
    await process.start()
    try:
        browser = Browser(process)
        sold = b'{"crossing": "oslo", "ticket_id": "1"}'
        headers = {"content_type": "application/json"}
        assert (await browser.get("/tickets", method="POST", body=sold, **headers))[0] == 200
        edge = await edge_between(browser, "tickets", "crossings")
        assert (edge["elsewhere"], edge["count"]) == (False, 1)
    finally:
        await process.stop()
