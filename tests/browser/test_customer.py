"""A customer's way through the shop's page: an account, an order, its mail, and a declined card."""

import pytest
from playwright.async_api import Browser, Page, expect

from borough.gateway.process import Process
from tests.browser.windows import (
    Scheme,
    check,
    in_two_windows,
    keep_shot,
    violations,
    window,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def open_account(page: Page, mail: str) -> None:
    await page.get_by_role("button", name="Sign in").click()
    door = page.locator("#door")
    await door.get_by_label("Mail address").fill(mail)
    await door.get_by_label("Password").fill("correct horse")
    await door.get_by_label("Name, to open an account").fill("Ada Lovelace")
    await keep_shot(page, "customer-door")
    assert await violations(page) == []
    await door.get_by_role("button", name="Open an account").click()
    await expect(page.locator("#name")).to_have_text("Ada Lovelace")


async def put_in_basket(page: Page, words: str) -> None:
    await page.get_by_label("Search the shop").fill(words)
    await expect(page.locator("#found")).to_contain_text(words)
    await page.locator(".tile button").first.click()
    await expect(page.locator("#lines li")).to_have_count(1)


async def pay(page: Page, card: str) -> None:
    await page.get_by_label(card).check()
    await page.get_by_role("button", name="Pay", exact=True).click()


@in_two_windows
async def test_from_an_account_over_a_declined_card_to_the_mail_of_a_paid_order(
    browser: Browser, shop: Process, width: int, scheme: Scheme
) -> None:
    mail = f"ada-{width}-{scheme}@shop.example"
    async with window(browser, width=width, scheme=scheme, answers=frozenset({402})) as page:
        await page.goto(shop.edge_url)
        await open_account(page, mail)
        await put_in_basket(page, "kettle")
        await pay(page, "Is declined")
        await expect(page.locator("#outcome")).to_contain_text("Your card was declined")
        await expect(page.locator("#outcome")).to_contain_text("Nothing was charged")
        await expect(page.locator("#orders .state")).to_have_text(["declined"])
        await check(page, f"customer-declined-{scheme}-{width}")
        await pay(page, "4242")
        await expect(page.locator("#outcome")).to_have_text("Paid. Thank you!")
        await expect(page.locator("#orders .state")).to_have_text(["paid", "declined"])
        letter = page.locator("#mails details", has_text="is paid")
        await letter.locator("summary").click()
        await expect(letter.locator("pre")).to_contain_text("Kettle")
        await check(page, f"customer-paid-{scheme}-{width}")


async def test_who_has_an_account_signs_out_and_in_again(browser: Browser, shop: Process) -> None:
    async with window(browser, answers=frozenset({401, 409})) as page:
        await page.goto(shop.edge_url)
        await open_account(page, "grace@shop.example")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.locator("#name")).to_have_text("")
        await page.get_by_role("button", name="Sign in").click()
        door = page.locator("#door")
        await door.get_by_label("Mail address").fill("grace@shop.example")
        await door.get_by_label("Password").fill("wrong horse")
        await door.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#door-problem")).to_contain_text("do not belong together")
        await door.get_by_label("Password").fill("correct horse")
        await door.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#name")).to_have_text("Ada Lovelace")
