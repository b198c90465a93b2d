"""A checkout in the shop as processes over RabbitMQ, one of them in Node, is one trace in the console."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest_asyncio
from playwright.async_api import expect

from borough.engines.rabbitmq import RabbitmqServer
from borough.testing import free_port
from shop.conftest import running_issuer
from shop.demo.places import Places
from shop.demo.polyglot import Command, Parts
from shop.demo.processes import Child
from tests.browser.test_traces_page import SERVICES, opened, order
from tests.browser.windows import keep_shot, launched, window
from tests.polyglot.typescript import ROOT, require_typescript
from tests.servers.rabbitmq import rabbitmq as rabbitmq

PATIENCE_S = 60.0


class Fleet(NamedTuple):
    """The shop, in three processes and with a broker."""

    edge_url: str


@pytest_asyncio.fixture
async def fleet(rabbitmq: RabbitmqServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    require_typescript()
    url = tmp_path / "url"
    url.write_text(rabbitmq.url + "\n")
    prefix = f"test.{tmp_path.name}"
    options = {"events.broker": "rabbitmq", "events.rabbitmq.url": f"file:{url}"}
    parts = Parts(ROOT / "examples" / "shop", Places(tmp_path))
    port = free_port()
    async with running_issuer(tmp_path) as issuer:
        environment = {
            **os.environ,
            **parts.environment(options),
            "PYTHONPATH": str(ROOT / "examples"),
            "NOTIFICATIONS_AMQP_PREFIX": prefix,
            "BOROUGH_EVENTS_BROKER": "rabbitmq",
            "BOROUGH_EVENTS_RABBITMQ_URL": f"file:{url}",
            "BOROUGH_EVENTS_RABBITMQ_PREFIX": prefix,
            "BOROUGH_EDGE_PORT": str(port),
            "BOROUGH_DATA_FOLDER": str(Places(tmp_path).data),
            "BOROUGH_PAYMENTS_ISSUER_URL": str(
                issuer.settings["services.payments.settings.issuer_url"]
            ),
        }
        children: list[Child] = []
        try:
            commands = (parts.foreign, parts.services, parts.door)
            children += [_begun(command, tmp_path, environment) for command in commands]
            for child in children:
                await asyncio.to_thread(_until_ready, child)
            yield Fleet(f"http://127.0.0.1:{port}")
        finally:
            for child in reversed(children):
                await asyncio.to_thread(child.stop)


def _begun(command: Command, folder: Path, environment: dict[str, str]) -> Child:
    log = folder / f"{command.name}.log"
    return Child(command.name, command.arguments, log, environment, command.program)


def _until_ready(child: Child) -> None:
    lines: list[str] = []
    while not lines:
        lines = child.lines(PATIENCE_S)
        child.check()
    assert json.loads(lines[0])


async def test_a_checkout_is_found_by_its_order_within_three_clicks_with_what_was_done_in_typescript(
    fleet: Fleet,
) -> None:
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
        assert {*await chips.all_inner_texts()} - {"edge"} == SERVICES
        heard = page.locator("#waterfall li", has=page.locator(".bit.event"))
        mailed = heard.filter(has_text="OrderPaid").filter(has_text="notifications")
        await mailed.locator("button.name").click()  # three
        detail = page.locator("#waterfall .detail")
        await expect(detail).to_contain_text("notifications.send_receipt")
        await expect(detail).to_contain_text(order_id)
        await keep_shot(page, "trace-typescript")
