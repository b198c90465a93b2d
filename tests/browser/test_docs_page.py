"""The REST docs page over the real shop: every public operation, and a try that is answered."""

import pytest
from playwright.async_api import Browser, expect

from borough.gateway.process import Process
from tests.browser.windows import keep_shot, window

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_public_operation_is_shown_and_no_internal_one(
    browser: Browser, shop: Process
) -> None:
    public = {
        f"{callee.operation.mark.method} {callee.operation.path}"
        for callee in shop.host.callees.values()
        if callee.operation.public
    }
    async with window(browser) as page:
        await page.goto(shop.edge_url + "/docs")
        await expect(page.locator("details.operation")).to_have_count(len(public))
        shown = [
            " ".join(await each.locator(".method, .path").all_inner_texts())
            for each in await page.locator("details.operation > summary").all()
        ]
        assert set(shown) == public


async def test_a_get_can_be_tried(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await page.goto(shop.edge_url + "/docs")
        await page.get_by_label("Find an operation").fill("items words")
        (find,) = [
            each
            for each in await page.locator("details.operation").all()
            if await each.is_visible()
        ]
        await find.locator("summary").first.click()
        await find.get_by_label("q query").fill("kettle")
        await find.get_by_role("button", name="Send").click()
        await expect(find.get_by_role("status")).to_contain_text("200")
        await expect(find.get_by_role("status")).to_contain_text("Kettle")
        await keep_shot(page, "docs-tried")
