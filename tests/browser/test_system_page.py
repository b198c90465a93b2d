"""The system page over the real shop: it says what is there, and moves with what happens."""

import re
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from borough.console.facts import CallView, HearingView, ServiceView, SystemView, TeamView
from borough.gateway.process import Process
from tests.browser.windows import DESK, PHONE, keep_shot, overflow, violations, window

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def opened(page: Page, shop: Process, path: str = "/system") -> None:
    await page.goto(shop.edge_url + path)
    await expect(page.locator("#status")).to_have_text("running")


async def number(place: Locator) -> int:
    return int((await place.inner_text()).replace(",", ""))


async def order(page: Page, shop: Process, card: str) -> None:
    """Buy something on the shop's page as a new guest."""
    await page.goto(shop.edge_url)
    await page.get_by_label("Search the shop").fill("kettle")
    await expect(page.locator("#found")).to_contain_text("kettle")
    await page.locator(".tile button").first.click()
    await page.get_by_text("Try it as a guest").click()
    await expect(page.locator("#lines li")).to_have_count(1)
    await page.get_by_label(card).check()
    await page.get_by_role("button", name="Pay", exact=True).click()
    await expect(page.locator("#outcome")).to_have_text("Paid. Thank you!")


async def test_it_names_services_teams_contracts_and_relations(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        orders = page.locator("#service-orders")
        await expect(orders).to_contain_text("Takes an order from basket to paid")
        await expect(orders).to_contain_text("selling · team checkout · own database")
        await orders.locator("summary").click()
        await expect(orders.locator("[data-operation]")).to_have_count(8)
        await expect(orders).to_contain_text("OrderPaid")
        checkout = page.locator("#teams article", has_text="checkout")
        await expect(checkout).to_contain_text(re.compile(r"People\s*5"))
        await expect(checkout).to_contain_text("Monday, Tuesday, Wednesday and Thursday")
        await expect(page.locator("#relations")).to_contain_text("orders asks payments")
        await expect(page.locator("#relations")).to_contain_text("payments tells orders")
        await expect(page.locator("#areas article")).to_have_count(3)
        await keep_shot(page, "system-opened")


async def test_its_numbers_follow_an_order(browser: Browser, shop: Process) -> None:
    async with window(browser) as page, window(browser) as customer:
        await opened(page, shop)
        calls = page.locator("#service-payments [data-count=calls]")
        handled = page.locator("#service-notifications [data-count=handled]")
        before = await number(calls), await number(handled)
        await order(customer, shop, "Pays 4242")
        await expect(calls).to_have_text(str(before[0] + 1))
        await expect(handled).to_have_text(str(before[1] + 2))  # welcome, and paid
        await expect(page.locator("#total-waiting")).to_have_text("0")
        await expect(page.locator("[data-service=payments] .live")).to_contain_text("call")


async def test_looking_at_a_service_by_keyboard_lights_up_its_own_lines(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        box = page.locator("a[data-service=payments]")
        await box.focus()
        lit = page.locator("#map .line.lit")
        await expect(lit).to_have_count(2)
        await expect(page.locator("#relations li.lit")).to_have_count(2)
        await keep_shot(page, "system-looking")
        await page.keyboard.press("Enter")
        await expect(page.locator("#service-payments")).to_be_in_viewport()
        await page.locator("#grouping input").first.focus()
        await expect(lit).to_have_count(0)


async def test_services_can_be_grouped_by_business_area(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        titles = page.locator("#map .group text")
        await expect(titles).to_have_text(["checkout", "catalogue", "identity"])
        await page.locator("#grouping input").first.focus()
        await page.keyboard.press("ArrowRight")
        assert sorted(await titles.all_text_contents()) == ["customers", "money", "selling"]


async def test_the_picture_is_the_same_each_time(browser: Browser, shop: Process) -> None:
    seen: set[str] = set()
    for _ in range(2):
        async with window(browser) as page:
            await opened(page, shop)
            seen.add(await page.locator("#map .line").first.inner_html())
    assert len(seen) == 1


async def test_it_says_when_the_system_no_longer_answers(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        await page.route("**/state.json", lambda route: route.fulfill(status=204))
        await expect(page.locator("#status")).to_contain_text("no answer, last seen")
        await page.unroute("**/state.json")
        await expect(page.locator("#status")).to_have_text("running")


@pytest.mark.parametrize("width", [320, PHONE, 800, DESK, 1900])
async def test_twenty_services_fit_and_no_line_runs_through_a_box(
    browser: Browser, shop: Process, width: int
) -> None:
    view = crowd()

    async def answer(route: Route) -> None:
        await route.fulfill(body=msgspec.json.encode(view), content_type="application/json")

    async with window(browser, width=width) as page:
        await page.route("**/facts.json", answer)
        await opened(page, shop)
        await expect(page.locator("#map .box")).to_have_count(len(view.services))
        await keep_shot(page, f"system-twenty-{width}")
        assert await overflow(page) == []
        assert await page.evaluate(CROSSINGS) == []
        assert await page.evaluate(SPILLS) == []
        if width == PHONE:
            assert await violations(page) == []


# Lines through boxes that they do not belong to, found by walking along each line.
CROSSINGS = """() => {
  const boxes = [...document.querySelectorAll("#map .box")].map((box) => {
    const rect = box.querySelector("rect");
    const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => Number(rect.getAttribute(name)));
    return { name: box.dataset.service, x, y, width, height };
  });
  const found = [];
  for (const line of document.querySelectorAll("#map .line")) {
    const path = line.querySelector("path");
    for (let at = 0; at < path.getTotalLength(); at += 3) {
      const { x, y } = path.getPointAtLength(at);
      for (const box of boxes) {
        const own = box.name === line.dataset.from || box.name === line.dataset.to;
        const inside = x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height;
        if (inside && !own) found.push(`${line.dataset.from} to ${line.dataset.to} through ${box.name}`);
      }
    }
  }
  return [...new Set(found)];
}"""

# Boxes over each other, and texts or lines that leave their place.
SPILLS = """() => {
  const svg = document.querySelector("#map svg").getBoundingClientRect();
  const found = [];
  const rects = [...document.querySelectorAll("#map .box")]
    .map((box) => [box, box.querySelector("rect").getBoundingClientRect()]);
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  for (const [box, own] of rects) {
    for (const text of box.querySelectorAll("text"))
      if (text.getBoundingClientRect().right > own.right - 2) found.push(`${text.textContent} leaves its box`);
    for (const [other, rect] of rects)
      if (other !== box && meet(own, rect)) found.push(`${box.dataset.service} over ${other.dataset.service}`);
  }
  for (const path of document.querySelectorAll("#map .line path")) {
    const rect = path.getBoundingClientRect();
    if (rect.left < svg.left || rect.right > svg.right || rect.top < svg.top || rect.bottom > svg.bottom)
      found.push(`${path.parentNode.dataset.from} to ${path.parentNode.dataset.to} leaves the picture`);
  }
  return found;
}"""

TEAMS = {
    "identity": "accounts sessions profiles",
    "catalogue": "search products prices reviews",
    "checkout": "orders baskets payments promotions",
    "logistics": "warehouse shipping returns",
    "messaging": "notifications newsletters",
    "insight": "analytics recommendation-engine-for-everyone fraud",
    None: "legacy-import",
}
ASKS = """orders-accounts orders-payments orders-search orders-prices orders-baskets orders-promotions
baskets-products baskets-prices payments-fraud sessions-accounts profiles-accounts search-products
reviews-accounts returns-orders returns-payments shipping-warehouse warehouse-products
newsletters-profiles fraud-accounts"""
TELLS = """orders-notifications accounts-notifications payments-orders orders-warehouse
shipping-notifications shipping-orders orders-analytics payments-analytics products-search
returns-warehouse accounts-newsletters prices-search orders-shipping"""


def crowd() -> SystemView:
    """A system of twenty services, many of which talk to each other, two in a circle."""
    services = [
        ServiceView(
            name=name,
            runs="elsewhere" if team is None else "here",
            team=team,
            domain=team,
            capability=f"Knows all there is to know of {name}",
            has_database=True,
            contracts=(),
        )
        for team, names in TEAMS.items()
        for name in names.split()
    ]
    pairs: dict[str, Any] = {
        kind: [pair.split("-") for pair in text.split()]
        for kind, text in (("asks", ASKS), ("tells", TELLS))
    }
    return SystemView(
        name="crowd",
        version="1.0.0",
        services=tuple(sorted(services, key=lambda service: service.name)),
        teams=tuple(
            TeamView(name=name, size=5, on_call=True, time_zone="UTC", release_days=())
            for name in sorted(team for team in TEAMS if team)
        ),
        calls=tuple(
            CallView(caller=caller, provider=provider, contracts=(f"{provider}.All",))
            for caller, provider in pairs["asks"]
        ),
        hearings=tuple(
            HearingView(
                publisher=publisher, subscriber=subscriber, events=(f"{publisher}.All.Done",)
            )
            for publisher, subscriber in pairs["tells"]
        ),
    )
