"""Traces in the console: one is found by an order's id, looked at, searched for, and a large one is usable."""

import re
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, Page, Response, Route, expect

from borough.gateway.process import Process
from borough.observing.trace_view import view_of
from borough.telemetry.otlp_reading import ReadLine, ReadSpan
from tests.browser.windows import (
    DESK,
    PHONE,
    Scheme,
    keep_shot,
    overflow,
    violations,
    window,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICES = {"accounts", "notifications", "orders", "payments", "search"}


async def order(page: Page, shop: Process) -> str:
    """Buy something on the shop's page as a new guest; returns the order's id."""
    async with page.expect_response(_answers_checkout) as answer:
        await page.goto(shop.edge_url)
        await page.get_by_label("Search the shop").fill("kettle")
        await expect(page.locator("#found")).to_contain_text("kettle")
        await page.locator(".tile button").first.click()
        await page.get_by_text("Try it as a guest").click()
        await expect(page.locator("#lines li")).to_have_count(1)
        await page.get_by_label("Pays 4242").check()
        await page.get_by_role("button", name="Pay", exact=True).click()
    await expect(page.locator("#outcome")).to_have_text("Paid. Thank you!")
    placed: dict[str, Any] = await (await answer.value).json()
    return str(placed["order_id"])


def _answers_checkout(answer: Response) -> bool:
    return answer.request.method == "POST" and answer.url.rstrip("/").endswith("/orders")


async def opened(page: Page, shop: Process, hash_: str) -> None:
    await page.goto(f"{shop.edge_url}/console/{hash_}")
    await expect(page.locator("#status")).to_have_text("running")


async def test_a_checkout_is_one_trace_over_five_services_found_by_its_order_within_three_clicks(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as customer, window(browser) as page:
        order_id = await order(customer, shop)
        await opened(page, shop, "#/map")
        await page.get_by_role("link", name="Traces").click()  # one
        await page.locator("#text").fill(order_id)
        checkout = page.locator("#found li", has_text="orders.Orders")
        await expect(checkout.locator(".chip")).to_have_count(len(SERVICES))
        await keep_shot(page, "traces-found")
        await checkout.get_by_role("link").click()  # two
        await expect(page.locator("#waterfall li[data-span]").first).to_be_visible()
        assert set(await page.locator(".page-trace .services .chip").all_inner_texts()) == SERVICES
        heard = page.locator("#waterfall li", has=page.locator(".bit.event"))
        await expect(heard.filter(has_text="OrderPaid").first).to_be_visible()
        await expect(page.locator("#why")).not_to_be_empty()
        await expect(page.locator("#waterfall .bit.critical").first).to_be_visible()
