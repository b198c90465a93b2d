"""The console over the real shop: its frame, and the pages Map and Services."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from borough.console.one_process import mounts
from borough.gateway.process import Process
from tests.browser.told import EVENTS_FAIL, SEARCH_IS_DOWN, WORDS, telling
from tests.browser.windows import (
    PHONE,
    Scheme,
    check,
    in_two_windows,
    keep_shot,
    overflow,
    violations,
    window,
)
from tests.console.ferry import FACTS, ferry

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def opened(page: Page, shop: Process, path: str = "#/map") -> None:
    await page.goto(f"{shop.edge_url}/console/{path}")
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


# --- the frame ------------------------------------------------------------------------------------


async def test_its_pages_are_reached_by_keyboard_and_by_address(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page:
        await opened(page, shop, "")
        await expect(page).to_have_title("Map · shop")
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        for title in ("Traces", "Services", "Events", "Alerts"):
            link = page.get_by_role("navigation").get_by_role("link", name=title)
            await link.press("Enter")
            await expect(page).to_have_title(f"{title} · shop")
            await expect(link).to_have_attribute("aria-current", "page")
            await expect(page.locator("#main")).to_be_focused()
            assert await violations(page) == []
        await page.go_back()
        await expect(page).to_have_title("Events · shop")
        await page.goto(f"{shop.edge_url}/console/#/nowhere")
        await expect(page).to_have_title("Map · shop")


async def test_light_and_dark_can_be_chosen_and_stay(browser: Browser, shop: Process) -> None:
    async with window(browser, scheme="dark") as page:
        await opened(page, shop)
        root = page.locator("html")
        await expect(root).to_have_attribute("data-theme", "dark")
        await page.get_by_role("button", name="Light").click()
        await expect(root).to_have_attribute("data-theme", "light")
        await page.reload()
        await expect(root).to_have_attribute("data-theme", "light")


async def test_it_says_when_the_system_no_longer_answers(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await page.route("**/api/live*", lambda route: route.fulfill(status=204))
        await page.goto(f"{shop.edge_url}/console/")
        await expect(page.locator("#status")).to_have_text("no answer")
        await page.unroute("**/api/live*")
        await expect(page.locator("#status")).to_have_text("running")


@pytest_asyncio.fixture(loop_scope="module")
async def locked(tmp_path: Path) -> AsyncIterator[Process]:
    """A system whose console asks for a password."""
    (tmp_path / "password").write_text("open sesame")
    toml = FACTS + '\n[console]\npassword = "file:password"\n'
    process = Process(
        ferry(tmp_path, toml), data_folder=tmp_path / "data", edge_port=0, mounts=mounts
    )
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


async def test_with_a_password_it_asks_for_it_first(browser: Browser, locked: Process) -> None:
    async with window(browser, width=PHONE, answers=frozenset({401})) as page:
        await page.goto(f"{locked.edge_url}/console/#/services")
        await page.get_by_label("Password").fill("guess")
        await page.get_by_label("Password").press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("That is not the console's password")
        assert await violations(page) == []
        await page.get_by_label("Password").fill("open sesame")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#services tbody tr")).to_have_count(2)
        await page.reload()
        await expect(page.locator("#services tbody tr")).to_have_count(2)
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Password")).to_be_visible()


# --- the map --------------------------------------------------------------------------------------


async def test_looking_at_a_service_by_keyboard_lights_up_its_own_lines(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        box = page.locator("[data-service=payments]")
        lit = page.locator("#map .line.lit")
        await box.focus()
        await expect(lit).to_have_count(2)
        await page.locator("#grouping input").first.focus()
        await expect(lit).to_have_count(0)
        await box.press("Enter")
        await expect(page.locator(".chosen")).to_contain_text("team checkout, on call: yes")
        await expect(page.locator("#relations tbody tr:visible")).to_have_count(2)
        await keep_shot(page, "map-chosen")
        await page.reload()
        await expect(lit).to_have_count(2)
        await page.get_by_role("button", name="Only its neighbours").click()
        await expect(page.locator("#map .box")).to_have_count(2)
        await page.get_by_role("button", name="Clear").click()
        await expect(page.locator("#map .box")).to_have_count(5)
        await expect(page.locator("#relations tbody tr:visible")).to_have_count(6)


async def test_a_service_is_found_and_opened(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        await page.get_by_label("Find a service").fill("notif")
        await expect(page.locator("#map .box.found")).to_have_count(1)
        await page.get_by_label("Find a service").press("Enter")
        await page.get_by_role("link", name="Open the service").click()
        await expect(page).to_have_title("Services · shop")
        await expect(page.locator("h1")).to_have_text("notifications")


async def test_the_map_grows_and_shrinks_by_keyboard(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        svg = page.locator("#map svg")
        before = float(await svg.get_attribute("width") or 0)
        await page.locator("#map").press("+")
        assert float(await svg.get_attribute("width") or 0) == pytest.approx(before * 1.3)
        await page.locator("#map").press("0")
        assert float(await svg.get_attribute("width") or 0) == before


async def test_services_can_be_grouped_by_business_area(browser: Browser, shop: Process) -> None:
    async with window(browser) as page:
        await opened(page, shop)
        titles = page.locator("#map .group text")
        await expect(titles).to_have_text(["checkout", "catalogue", "identity"])
        await page.locator("#grouping input").first.focus()
        await page.keyboard.press("ArrowRight")
        assert sorted(await titles.all_text_contents()) == ["customers", "money", "selling"]


async def test_an_order_is_seen_on_the_map_and_its_events_in_the_numbers(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page, window(browser) as customer:
        await opened(page, shop, "#/services/notifications")
        handled = page.locator("[data-count=handled]")
        before = await number(handled)
        await order(customer, shop, "Pays 4242")
        await expect(handled).to_have_text(str(before + 2))  # welcome, and paid
        await page.goto(f"{shop.edge_url}/console/#/map")
        line = page.locator("[data-edge='call orders payments'].line")
        await expect(line).not_to_have_class("unseen")
        row = page.locator("#relations tr", has_text="Payments").first
        await expect(row).to_contain_text("yes")
        await expect(page.locator("[data-service=payments] .live")).to_contain_text("/s")
        await expect(page.locator("#map .undeclared")).to_have_count(0)
        issuer = page.locator("#map .box.outside")
        await expect(issuer).to_contain_text("127.0.0.1:")
        await issuer.click()
        await expect(page.locator(".chosen")).to_contain_text("A host outside the system")
        await expect(
            page.locator("#relations tr:not([hidden]) td", has_text="outside")
        ).to_be_visible()
        await keep_shot(page, "map-outside")
        assert await violations(page) == []


# --- services -------------------------------------------------------------------------------------


async def test_a_service_has_its_owner_contracts_plots_and_processes(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page:
        await opened(page, shop, "#/services")
        await page.get_by_label("Find a service, team or capability").fill("checkout")
        await expect(page.locator("#services tbody tr:visible")).to_have_count(2)
        await page.get_by_role("link", name="orders").click()
        main = page.locator("main")
        await expect(main).to_contain_text("Takes an order from basket to paid")
        await expect(main).to_contain_text("Monday, Tuesday, Wednesday and Thursday")
        await expect(main).to_contain_text("with 4 other services")
        await expect(page.locator("[data-operation]")).to_have_count(8)
        await expect(main).to_contain_text("OrderPaid")
        await expect(page.locator(".plot")).to_have_count(7)
        await expect(page.locator(".plot", has_text="Memory").locator("strong")).to_contain_text(
            "MiB"
        )


async def test_an_operation_can_be_tried_with_the_form_of_the_docs(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page:
        await opened(page, shop, "#/services/search")
        operation = page.locator("[data-operation='search.Search.find']")
        await operation.locator("summary").click()
        await operation.get_by_role("button", name="Send").click()
        await expect(operation.locator(".answer .status")).to_have_text("200")
        inner = page.locator("[data-operation='search.Search.reserve']")
        await inner.locator("summary").click()
        await expect(inner).to_contain_text("borough call search.Search.reserve --as SERVICE")
        assert await violations(page) == []
        assert await overflow(page) == []


@in_two_windows
async def test_a_service_that_has_died_is_down_since_when_why_and_with_its_last_words(
    browser: Browser, shop: Process, width: int, scheme: Scheme
) -> None:
    why = "search.1 ended 4 times, the last time at "
    async with window(browser, width=width, scheme=scheme) as page:
        await telling(page, SEARCH_IS_DOWN)
        await page.goto(f"{shop.edge_url}/console/#/map")
        box = page.locator("#map .box.down")
        await expect(box.locator(".live")).to_contain_text("down since ")
        await expect(box).to_have_attribute("data-service", "search")
        await expect(page.locator("#map .box", has_text="accounts")).to_contain_text("not called")
        await expect(page.locator("#down q")).to_have_text(WORDS[-1])
        await box.click()
        await expect(page.locator(".chosen .bad")).to_contain_text(why)
        await check(page, f"down-map-{scheme}-{width}")
        await page.get_by_role("link", name="Open the service").click()
        await expect(page.locator("#state")).to_contain_text("search: down since ")
        await expect(page.locator("#ends p")).to_contain_text(why)
        await expect(page.locator("#ends pre")).to_have_text("\n".join(WORDS))
        await check(page, f"down-service-{scheme}-{width}")


@in_two_windows
async def test_events_that_fail_and_alerts_colour_a_service_and_a_little_that_fails_less(
    browser: Browser, shop: Process, width: int, scheme: Scheme
) -> None:
    async with window(browser, width=width, scheme=scheme) as page:
        await telling(page, EVENTS_FAIL)
        await page.goto(f"{shop.edge_url}/console/#/map")
        for name, state, look in (
            ("notifications", "failing", "bad"),
            ("search", "failing", "bad"),
            ("payments", "ailing", "open"),
            ("orders", "well", ""),
        ):
            box = page.locator(f"#map [data-service={name}]")
            await expect(box.locator(".lamp")).to_have_attribute("data-state", state)
            await expect(box.locator(".live")).to_have_class(f"live {look}".strip())
        await expect(page.locator("#map [data-service=notifications] .live")).to_have_text(
            "events 2/s · 75 % failed"
        )
        await expect(page.locator("#summary")).to_contain_text("failed 2/s")
        await check(page, f"colours-map-{scheme}-{width}")


@in_two_windows
async def test_a_service_shows_its_rooms_what_is_wrong_with_it_and_whom_it_asks_outside(
    browser: Browser, shop: Process, width: int, scheme: Scheme
) -> None:
    said = {"state": "firing", "summary": "payments has no room left: 4 of 4 threads are taken."}
    alerts = [{**said, "service": "payments"}, {**said, "service": "orders"}]
    async with window(browser, width=width, scheme=scheme) as page:
        await telling(page, EVENTS_FAIL)
        await page.route(
            "**/console/api/alerts", lambda route: route.fulfill(json={"alerts": alerts})
        )
        await page.goto(f"{shop.edge_url}/console/#/services/payments")
        await expect(page.locator("#rooms tbody tr")).to_have_text("Threads4 of 41231")
        await expect(page.locator("#near")).to_contain_text("Asks outsidecards.example")
        await expect(page.locator("#wrong li")).to_have_text(f"{said['summary']} See the alert")
        await check(page, f"colours-service-{scheme}-{width}")
        link = page.get_by_role("link", name="See the alert")
        await expect(link).to_have_attribute("href", "#/alerts?service=payments")
