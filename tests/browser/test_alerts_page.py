"""Alerts in the console: what fires is seen on every page, acknowledged, silenced for a while, and told again."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from borough.gateway.process import Process
from tests.browser.windows import (
    DESK,
    Scheme,
    check,
    in_two_windows,
    keep_shot,
    overflow,
    violations,
    window,
)
from tests.console.ferry import Tickets, sailing
from tests.console.storm import stormy

pytestmark = pytest.mark.asyncio(loop_scope="module")
RULE = "dead-letters of crossings"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wreck(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    """A system in which an event is dead."""
    folder = tmp_path_factory.mktemp("wreck")
    async with sailing(stormy(folder), folder) as process:
        await sink(process)
        yield process


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path) -> AsyncIterator[Process]:
    """The same before anything has happened."""
    async with sailing(stormy(tmp_path), tmp_path) as process:
        yield process


async def sink(process: Process) -> None:
    """Publish an event that nobody can handle."""
    await process.host.client(Tickets).sell("north", "t1")


async def opened(page: Page, process: Process, hash_: str = "#/alerts") -> None:
    await page.goto(f"{process.edge_url}/console/{hash_}")
    await expect(page.locator("#status")).to_have_text("running")


@in_two_windows
async def test_the_page_fits_and_can_be_used_by_all(
    browser: Browser, wreck: Process, width: int, scheme: Scheme
) -> None:
    async with window(browser, width=width, scheme=scheme) as page:
        await opened(page, wreck)
        await expect(page.locator("#alerts-firing li")).to_have_count(1)
        await check(page, f"alerts-{scheme}-{width}")
        await page.get_by_role("button", name=f"Silence {RULE}").click()
        await expect(page.get_by_label("Why")).to_be_focused()
        await keep_shot(page, f"alerts-question-{scheme}-{width}")
        assert await overflow(page) == []
        if width == DESK:
            assert await violations(page) == []


async def test_what_begins_to_fire_is_told_on_every_page(browser: Browser, fresh: Process) -> None:
    async with window(browser) as page:
        await opened(page, fresh)
        await expect(page.locator("#calm")).to_contain_text("Nothing needs anybody")
        await expect(page.locator("#calm")).to_contain_text("dead letters")
        await opened(page, fresh, "#/map")
        await sink(fresh)
        await expect(page.locator("#said")).to_have_text("1 alert firing: crossings")
        await expect(
            page.get_by_role("navigation").get_by_role("link", name="Alerts , 1 alert firing")
        ).to_be_visible()
        box = page.locator("#map [data-service=crossings]")
        await expect(box.locator(".alert")).to_be_visible()
        await expect(box).to_have_attribute("aria-label", re.compile("; an alert fires$"))
        await page.get_by_role("link", name="Services").click()
        await page.get_by_role("link", name="crossings: an alert fires").click()
        await expect(page.locator("#alerts-firing h3")).to_contain_text("crossings")
        await page.get_by_role("link", name="See it in Events").click()
        await expect(page.locator("#dead li.card")).to_have_count(1)
        await expect(page.locator("#dead li.card")).to_be_focused()


async def test_an_alert_is_acknowledged_and_silenced_by_keyboard_and_the_silence_ended(
    browser: Browser, fresh: Process
) -> None:
    async with window(browser) as page:
        await opened(page, fresh)
        await sink(fresh)
        await expect(page.locator("#said")).to_contain_text("Fires now: ")
        await page.get_by_role("button", name=f"Acknowledge {RULE}").press("Enter")
        await page.keyboard.type("the sea is rough")
        await page.get_by_label("Your name").fill("Ann")
        await page.keyboard.press("Enter")
        await expect(page.locator("#note")).to_be_focused()
        await expect(page.locator("#alerts-acknowledged li")).to_contain_text(
            "Acknowledged by Ann: the sea is rough"
        )
        await page.get_by_role("button", name=f"Silence {RULE}").press("Enter")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name=f"Silence {RULE}").press("Enter")
        await expect(page.get_by_label("Your name")).to_have_value("Ann")
        await page.get_by_label("4 hours").check()
        await page.get_by_label("Why").fill("until the storm is over")
        await page.keyboard.press("Enter")
        await expect(page.locator("#alerts-silenced li")).to_have_count(1)
        silence = page.locator("#silences tbody tr")
        await expect(silence).to_contain_text("until the storm is over")
        assert await violations(page) == []
        await silence.get_by_role("button", name="End").press("Enter")
        await expect(silence).to_have_count(0)
        await expect(page.locator("#alerts-acknowledged li")).to_have_count(1)
