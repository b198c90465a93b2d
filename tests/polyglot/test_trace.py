"""A checkout in the shop as a fleet over RabbitMQ, one service of it in Node, is one trace in the console."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest_asyncio
from playwright.async_api import expect

from borough.engines.rabbitmq import RabbitmqServer
from borough.testing import free_port
from shop.conftest import running_issuer
from shop.demo.flags import as_flags
from shop.demo.places import Places
from shop.demo.polyglot import Polyglot
from shop.demo.processes import Child
from tests.browser.test_traces_page import SERVICES, opened, order
from tests.browser.windows import keep_shot, launched, window
from tests.polyglot.typescript import ROOT, require_typescript
from tests.servers.rabbitmq import rabbitmq as rabbitmq

PATIENCE_S = 60.0


class Fleet(NamedTuple):
    """The shop, in a process for each service and with a broker."""

    edge_url: str
    pids: dict[str, int]


@pytest_asyncio.fixture
async def fleet(rabbitmq: RabbitmqServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    require_typescript()
    url = tmp_path / "url"
    url.write_text(rabbitmq.url + "\n")
    prefix = f"test.{tmp_path.name}"
    options = {"events.broker": "rabbitmq", "events.rabbitmq.url": f"file:{url}"}
    polyglot = Polyglot(ROOT / "examples" / "shop", Places(tmp_path))
    async with running_issuer(tmp_path) as issuer:
        environment = {
            **os.environ,
            **polyglot.environment(options),
            "PYTHONPATH": str(ROOT / "examples"),
            "NOTIFICATIONS_AMQP_PREFIX": prefix,
        }
        flags = {
            **options,
            **polyglot.flags(options),
            "events.rabbitmq.prefix": prefix,
            "edge.port": str(free_port()),
            "data.folder": str(Places(tmp_path).data),
            "services.payments.settings.issuer_url": str(
                issuer.settings["services.payments.settings.issuer_url"]
            ),
        }
        words = ("-m", "borough", "run", str(polyglot.system), "--topology", "fleet", "--json")
        child = Child("fleet", [*words, *as_flags(flags)], tmp_path / "fleet.log", environment)
        try:
            ready = await asyncio.to_thread(_until_ready, child)
            pids = {each["deployable"]: each["pid"] for each in ready["replicas"]}
            yield Fleet(ready["edge"], {**pids, "the supervisor": child.pid})
        finally:
            await asyncio.to_thread(child.stop)


def _until_ready(child: Child) -> dict[str, Any]:
    lines: list[str] = []
    while not lines:
        lines = child.lines(PATIENCE_S)
        child.check()
    ready: dict[str, Any] = json.loads(lines[0])
    return ready


def _program(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


async def test_a_checkout_is_found_by_its_order_within_three_clicks_with_what_was_done_in_typescript(
    fleet: Fleet,
) -> None:
    assert fleet.pids.keys() == {*SERVICES, "edge", "the supervisor"}
    assert len({*fleet.pids.values()}) == 7
    assert _program(fleet.pids["notifications"]) == "node"
    async with launched() as browser, window(browser) as customer, window(browser) as page:
        order_id = await order(customer, fleet)
        await opened(page, fleet, "#/map")
        await page.get_by_role("link", name="Traces").click()  # one
        await expect(page.locator("#found li").first).to_be_visible()
        await page.locator("#text").fill(order_id)
        checkout = page.locator("#found li", has_text="POST /orders")
        await expect(checkout.locator(".chip", has_text="notifications")).to_be_visible()
        await checkout.get_by_role("link").click()  # two
        await expect(page.locator("#waterfall li[data-span]").first).to_be_visible()
        chips = page.locator(".page-trace .services .chip")
        await expect(chips).to_have_count(len(SERVICES) + 1)  # what others tell comes in by itself
        assert {*await chips.all_inner_texts()} - {"edge"} == SERVICES
        heard = page.locator("#waterfall li", has=page.locator(".bit.event"))
        mailed = heard.filter(has_text="OrderPaid").filter(has_text="notifications")
        await mailed.locator("button.name").click()  # three
        detail = page.locator("#waterfall .detail")
        await expect(detail).to_contain_text("notifications.send_receipt")
        await expect(detail).to_contain_text(order_id)
        await keep_shot(page, "trace-typescript")
