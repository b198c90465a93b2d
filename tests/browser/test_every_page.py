"""What holds for each page, at two widths and in both colour schemes."""

import pytest
from playwright.async_api import Browser, Page, expect

from borough.gateway.process import Process
from tests.browser.windows import (
    Scheme,
    in_two_windows,
    keep_shot,
    overflow,
    shifted,
    violations,
    window,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
STILL = 0.02
"""A layout shift that nobody sees; from 0.1 on it counts as bad."""


async def _shop(page: Page) -> None:
    await expect(page.locator("#results li")).to_have_count(24)


async def _map(page: Page) -> None:
    await expect(page.locator("#map .box")).to_have_count(5)
    await expect(page.locator("#status")).to_have_text("running")


async def _services(page: Page) -> None:
    await expect(page.locator("#services tbody tr")).to_have_count(5)
    await expect(page.locator("#status")).to_have_text("running")


async def _service(page: Page) -> None:
    await expect(page.locator("[data-operation]")).to_have_count(8)
    await expect(page.locator("#status")).to_have_text("running")


async def _docs(page: Page) -> None:
    await expect(page.locator("details.operation")).to_have_count(14)


OPENED = {
    "/": _shop,
    "/console/#/map": _map,
    "/console/#/services": _services,
    "/console/#/services/orders": _service,
    "/docs": _docs,
}


@in_two_windows
@pytest.mark.parametrize("path", OPENED)
async def test_a_page_fits_loads_cleanly_and_can_be_used_by_all(
    browser: Browser, shop: Process, path: str, width: int, scheme: Scheme
) -> None:
    async with window(browser, width=width, scheme=scheme) as page:
        await page.goto(shop.edge_url + path)
        await OPENED[path](page)
        assert await shifted(page) < STILL
        for summary in await page.locator("summary:visible").all():
            await summary.click()
        await keep_shot(
            page, f"page-{path.replace('/', '').replace('#', '-') or 'shop'}-{scheme}-{width}"
        )
        assert await overflow(page) == []
        assert await violations(page) == []


@pytest.mark.parametrize("path", OPENED)
async def test_a_page_needs_no_inline_script_and_nothing_from_elsewhere(
    browser: Browser, shop: Process, path: str
) -> None:
    asked: list[str] = []
    async with window(browser) as page:
        page.on("request", lambda request: asked.append(request.url))
        answer = await page.goto(shop.edge_url + path)
        await OPENED[path](page)
        assert answer is not None
        policy = (await answer.all_headers())["content-security-policy"]
        assert "unsafe-inline" not in policy.replace("style-src 'self' 'unsafe-inline'", "")
        assert [url for url in asked if not url.startswith((shop.edge_url, "data:"))] == []
