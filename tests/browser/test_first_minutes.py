"""A system that nobody has called yet: each page says what will be seen there, and how to make a first call."""

import asyncio
import shlex
import shutil

import pytest
from playwright.async_api import Browser, Page, expect

from borough.gateway.process import Process
from tests.browser.windows import Scheme, check, in_two_windows, window
from tests.requirements import require_tool

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGES = {"map": "#map .box", "traces": "#found li", "events": "#consumers", "alerts": "#calm"}
"""With what is seen there once something has happened."""


async def first_call(page: Page, shop: Process, name: str) -> str:
    """The command that a page gives."""
    await page.goto(f"{shop.edge_url}/console/#/{name}")
    command = page.locator(f".page-{name} .first pre")
    await expect(command).to_contain_text(f"curl {'-X POST ' if name == 'events' else ''}http")
    return await command.inner_text()


@in_two_windows
async def test_each_page_of_a_silent_system_says_how_to_make_a_first_call(
    browser: Browser, shop: Process, width: int, scheme: Scheme
) -> None:
    async with window(browser, width=width, scheme=scheme) as page:
        for name in PAGES:
            await first_call(page, shop, name)
            await check(page, f"first-{name}-{scheme}-{width}")


async def test_the_command_makes_a_call_and_what_was_said_of_silence_goes(
    browser: Browser, shop: Process
) -> None:
    require_tool("curl", shutil.which("curl") is not None)
    async with window(browser) as page:
        command = await first_call(page, shop, "events")
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command), "--silent", "--fail", stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
        for name, seen in PAGES.items():
            await page.goto(f"{shop.edge_url}/console/#/{name}")
            await expect(page.locator(f".page-{name} {seen}").first).to_be_visible()
            await expect(page.locator(f".page-{name} .first")).to_be_hidden()


async def test_figures_say_over_which_time_they_are(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await page.goto(f"{shop.edge_url}/console/#/map")
        await expect(page.locator("#summary")).to_contain_text("in the last 10 s")
        await expect(page.locator("#list")).to_contain_text("99 % took less): the last minute")
        await page.goto(f"{shop.edge_url}/console/#/services")
        await expect(page.locator(".page-services #windows")).to_contain_text("the last 10 seconds")
        await page.goto(f"{shop.edge_url}/console/#/services/orders")
        await expect(page.locator("#windows")).to_contain_text("15 seconds")
        await expect(page.locator(".page-services")).to_contain_text("calls since the start")
