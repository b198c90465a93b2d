"""The shop's page, in a real browser."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, ViewportSize, async_playwright, expect

from borough.testing import start
from shop.conftest import RunningIssuer, running_issuer
from tests.requirements import require_tool

SHOP = Path(__file__).parents[2] / "examples" / "shop"
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
require_tool("a browser (chromium)", BROWSER is not None)

PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1280, height=900)
Scheme = Literal["light", "dark"]


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncGenerator[RunningIssuer]:
    async with running_issuer(tmp_path) as found:
        yield found


@asynccontextmanager
async def shop_page(
    issuer: RunningIssuer,
    size: ViewportSize = DESK,
    scheme: Scheme = "light",
    *,
    hurried: bool = False,
) -> AsyncGenerator[Page]:
    """The page of a running shop. An error in its scripts fails the test."""
    faults: list[str] = []
    async with (
        start(SHOP, settings=issuer.hurried if hurried else issuer.settings, edge=True) as shop,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = await browser.new_page(viewport=size, color_scheme=scheme)
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(shop.edge_url)
        await expect(page.locator(".tile")).to_have_count(24)
        yield page
        await browser.close()
    assert not faults


async def choose(page: Page, what: str) -> None:
    """Search for something and put the first one into the basket, as a guest."""
    await page.get_by_label("Search the shop").fill(what)
    await expect(page.locator("#found")).to_contain_text(what)
    await page.locator(".tile button").first.click()
    await page.get_by_text("Try it as a guest").click()
    await expect(page.locator("#lines li")).to_have_count(1)


async def pay(page: Page, card: str) -> None:
    await page.get_by_label(card).check()
    await page.get_by_role("button", name="Pay", exact=True).click()


async def test_the_keyboard_alone_is_enough_to_order(issuer: RunningIssuer) -> None:
    async with shop_page(issuer) as page:
        press = page.keyboard.press
        await press("/")
        await page.keyboard.type("copper kettle")
        await expect(page.locator("#found")).to_contain_text("copper kettle")
        await press("Tab")  # to "Sign in"
        await press("Tab")  # to "Add" of the first item
        await press("Enter")
        await expect(page.locator("#guest")).to_be_focused()
        await press("Enter")
        await expect(page.locator("#lines li")).to_have_count(1)
        await page.locator("#cards input").first.focus()
        await press("Tab")
        await press("Enter")
        await expect(page.locator("#outcome")).to_have_text("Paid. Thank you!")
        await expect(page.locator("#mails summary").first).to_contain_text("is paid")
        await page.locator("#mails summary").first.focus()
        await press("Enter")
        await expect(page.locator("#mails pre").first).to_contain_text("1 x Copper Kettle")


async def test_a_declined_card_is_explained_and_the_basket_is_kept(issuer: RunningIssuer) -> None:
    async with shop_page(issuer) as page:
        await choose(page, "lantern")
        await pay(page, "Is declined")
        await expect(page.locator("#outcome")).to_contain_text("Nothing was charged")
        await expect(page.locator("#orders .state")).to_have_text("declined")
        await expect(page.locator("#lines li")).to_have_count(1)
        await pay(page, "4242")
        await expect(page.locator("#outcome")).to_have_text("Paid. Thank you!")
        await expect(page.locator("#lines li")).to_have_count(0)


async def test_an_open_payment_says_so_and_is_settled_before_ones_eyes(
    issuer: RunningIssuer,
) -> None:
    async with shop_page(issuer, hurried=True) as page:
        await choose(page, "lantern")
        await pay(page, "the issuer answers too late")
        await expect(page.locator("#outcome")).to_contain_text("do not pay again")
        await expect(page.locator("#orders .state")).to_have_text("paid", timeout=10_000)
        await page.get_by_text("Cancel and refund").click()
        await expect(page.locator("#orders .state")).to_have_text("cancelled")


async def test_a_wrong_password_is_said_in_the_dialog(issuer: RunningIssuer) -> None:
    async with shop_page(issuer) as page:
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_label("Mail address").fill("nobody@shop.example")
        await page.get_by_label("Password").fill("wrong horse")
        await page.locator("#door").get_by_role("button", name="Sign in").click()
        await expect(page.locator("#door-problem")).to_contain_text("do not belong together")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (DESK, "light")])
async def test_the_page_fits_its_window(
    issuer: RunningIssuer, size: ViewportSize, scheme: Scheme
) -> None:
    async with shop_page(issuer, size, scheme) as page:
        await choose(page, "kettle")
        await pay(page, "4242")
        await expect(page.locator("#mails details")).to_have_count(2)
        await page.locator("#mails summary").first.click()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ink, paper = await page.evaluate(
            "['color', 'backgroundColor'].map(name => getComputedStyle(document.documentElement)[name])"
        )
        assert (_light(paper) > _light(ink)) == (scheme == "light")


def _light(color: str) -> int:
    red, green, blue = color.removeprefix("rgb(").removesuffix(")").split(",")[:3]
    return int(red) + int(green) + int(blue)
