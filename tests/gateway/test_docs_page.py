"""The docs page in a real browser: what it shows, by keyboard, on a phone, and that it tries operations."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from borough.contracts.descriptor import describe
from borough.contracts.openapi import openapi
from borough.contracts.reading import read_contract
from borough.gateway.documents import described
from borough.gateway.edge import OwnDocuments
from borough.transports.http.message import Request, Response
from tests.gateway.library import Library, Town
from tests.requirements import require_tool
from tests.transports.http.listening import Service

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
require_tool("chromium", BROWSER is not None)

from playwright.async_api import Locator, Page, async_playwright, expect  # noqa: E402


def document() -> dict[str, object]:
    return openapi(
        [describe(read_contract(Library))], title="library", version="2.5.0", public_only=True
    )


@asynccontextmanager
async def opened(town: Town, width: int = 1280, below: str = "") -> AsyncIterator[Page]:
    """The docs page of a town, `below` the path that a proxy takes away; no complaint of the browser passes."""
    complaints: list[str] = []

    async def answer(request: Request) -> Response:
        assert request.path.startswith(f"{below}/"), request.path
        request.path = request.path.removeprefix(below)
        return await town.edge.answer(request)

    service = await Service.open(answer)
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=BROWSER, args=["--no-sandbox"]
            )
            page = await browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            await page.goto(f"http://127.0.0.1:{service.origin[1]}{below}/docs")
            await expect(page.locator(".operation").first).to_be_visible()
            yield page
            await browser.close()
    finally:
        await service.server.close()
    # A refusal that a test asked for is told by the browser, too; it is no fault of the page.
    assert [each for each in complaints if "status of 401" not in each] == []


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path, documents=OwnDocuments(describe=described(document)))


def form(page: Page, name: str) -> Locator:
    return page.locator(f"[id='op-library.Library.{name}'] form")


async def test_it_lists_the_public_operations_with_who_may_call(town: Town) -> None:
    async with opened(town) as page:
        await expect(page).to_have_title("library API")
        await expect(page.locator(".version")).to_have_text("2.5.0")
        assert await page.locator(".operation").count() == 5
        shelf = page.locator("[id='op-library.Library.shelf']")
        await expect(shelf.locator(".who")).to_have_text("signed in")
        await expect(page.locator("[id='op-library.Library.who'] .who")).to_have_text("anyone")


async def test_it_tries_an_operation_with_a_token(town: Town) -> None:
    token = await town.issuer.issue("anna")
    async with opened(town) as page:
        await page.click("nav a:has-text('shelf')")
        send = form(page, "shelf").get_by_role("button", name="Send")
        await send.click()
        await expect(form(page, "shelf").locator(".status")).to_have_text("401")
        await page.fill("#token", token)
        await send.click()
        await expect(form(page, "shelf").locator(".status")).to_have_text("200")
        await expect(form(page, "shelf").locator("pre").first).to_contain_text('"user": "anna"')


async def test_below_a_path_of_another_server_it_asks_there(town: Town) -> None:
    async with opened(town, below="/api") as page:
        await expect(page).to_have_title("library API")
        await page.click("nav a:has-text('who')")
        await form(page, "who").get_by_role("button", name="Send").click()
        await expect(form(page, "who").locator(".status")).to_have_text("200")
    assert (await town.get("/docs/")).headers.get("location") == "../docs"


async def test_it_offers_a_body_that_fits_and_shows_a_stream(town: Town) -> None:
    token = await town.issuer.issue("anna", scopes=["books:read", "books:write"])
    async with opened(town) as page:
        await page.fill("#token", token)
        for name in ("add", "titles"):
            await page.click(f"nav a:has-text('{name}')")
            await form(page, name).get_by_role("button", name="Send").click()
            await expect(form(page, name).locator(".status")).to_have_text("200")
        await expect(form(page, "titles").locator("pre").first).to_contain_text(
            '{"item":"Ulysses"}'
        )


async def test_it_can_be_used_by_keyboard_alone(town: Town) -> None:
    async with opened(town) as page:
        await page.keyboard.press("/")
        await page.keyboard.type("get shelf")
        await expect(page.locator(".operation:visible")).to_have_count(1)
        await page.locator(".operation:visible summary").first.focus()
        await page.keyboard.press("Enter")
        await expect(form(page, "shelf")).to_be_visible()
        await page.locator("#search").focus()
        await page.keyboard.press("Escape")
        await expect(page.locator(".operation:visible")).to_have_count(5)


async def test_it_fits_a_phone_and_can_be_dark(town: Town) -> None:
    async with opened(town, width=360) as page:
        await page.locator(".operation summary").first.click()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.click("#theme")
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != light
