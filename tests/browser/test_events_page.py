"""Events in the console: what is dead is looked at, dropped after a question, and replayed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from borough.gateway.process import Process
from tests.browser.told import AT, tell, telling
from tests.browser.windows import (
    Scheme,
    check,
    in_two_windows,
    keep_shot,
    violations,
    window,
)
from tests.console.ferry import Tickets, sailing
from tests.console.storm import calm, stormy

pytestmark = pytest.mark.asyncio(loop_scope="module")
CARD = "4242424242424242"


@pytest_asyncio.fixture(loop_scope="module")
async def wreck(tmp_path: Path) -> AsyncIterator[Process]:
    """A system in which two events are dead by one cause."""
    async with sailing(stormy(tmp_path), tmp_path) as process:
        for ticket in (CARD, "t2"):
            await process.host.client(Tickets).sell("north", ticket)
        yield process


async def opened(page: Page, process: Process) -> None:
    await page.goto(f"{process.edge_url}/console/#/events")
    await expect(page.locator("#dead li.card")).to_contain_text("2 dead letters")


@in_two_windows
async def test_the_page_fits_and_can_be_used_by_all(
    browser: Browser, wreck: Process, width: int, scheme: Scheme
) -> None:
    async with window(browser, width=width, scheme=scheme) as page:
        await opened(page, wreck)
        await page.get_by_role("button", name="Look").click()
        await page.locator(".letters summary").first.click()
        await expect(page.locator(".letters pre").first).to_contain_text("***4242")
        await expect(page.locator(".letters pre").first).to_be_visible()
        await expect(page.locator(".letters pre").last).to_be_hidden()
        await expect(page.locator(".letters")).not_to_contain_text(CARD)
        await check(page, f"events-{scheme}-{width}")
        await page.get_by_role("button", name="Drop all").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Drop 2 dead letters?")
        await keep_shot(page, f"events-question-{scheme}-{width}")
        assert await violations(page) == []


async def test_a_letter_is_dropped_only_after_a_question_and_the_other_is_replayed(
    browser: Browser, wreck: Process
) -> None:
    async with window(browser) as page:
        await opened(page, wreck)
        await page.get_by_role("button", name="Look").click()
        first = page.locator(".letters li").first
        await first.get_by_role("button", name="Drop").click()
        await page.get_by_role("dialog").get_by_role("button", name="Keep").click()
        await expect(page.locator("#dead li.card")).to_contain_text("2 dead letters")
        await first.get_by_role("button", name="Drop").click()
        await page.get_by_role("dialog").get_by_role("button", name="Drop").click()
        await expect(page.locator("#note")).to_have_text("1 event dropped.")
        await expect(page.locator(".letters > li")).to_have_count(1)
        calm(wreck)
        await page.get_by_role("button", name="Replay all").click()
        await expect(page.locator("#note")).to_contain_text(
            "1 event replayed. 1 event out of order"
        )
        await expect(page.locator("#calm")).to_be_visible()
        await expect(page.locator("#facts")).to_contain_text("0 dead")


async def test_letters_that_are_looked_at_stay_open_while_the_list_changes(
    browser: Browser, wreck: Process
) -> None:
    cause = "a" * 300
    group = {
        "handler": "crossings.count",
        "fingerprint": "f1",
        "error": "ValueError",
        "frame": "",
        "events": 2,
        "first_at": AT,
        "last_at": AT,
        "cause": cause,
        "of_taken": "of 260 that it has taken",
        "keys": 3,
    }
    handler = {"name": "crossings.count", "behind": 0, "parked": 4, "dead": 2, "pace": None}
    facts = {"records": 9, "bytes": 900}
    topic = {
        "topic": "tickets.Tickets",
        "retains": "7d",
        "facts": facts,
        "outbox": 0,
        "scheduled": 0,
        "published_per_s": None,
        "handlers": [{**handler, "keys": 3, "heard": 260}],
    }
    async with window(browser) as page:
        letters = [letter("e1"), letter("e2")]

        async def answer(route: Route) -> None:
            await route.fulfill(json={"letters": letters, "more": False})

        await page.route("**/console/api/events/dead*", answer)
        await page.route(
            "**/console/api/events",
            lambda route: route.fulfill(json={"topics": [topic], "dead": [group]}),
        )
        now = {"event-topics": {"tickets.Tickets": topic}}
        key = "crossings.count f1"
        await telling(page, {**now, "dead-letters": {key: group}})
        await page.goto(f"{wreck.edge_url}/console/#/events")
        card = page.locator("#dead li.card")
        await expect(card.locator("b")).to_have_text(
            "2 dead letters, of 260 that it has taken; events of 3 keys wait"
        )
        unknown = {**group, "of_taken": "", "keys": 0}
        await tell(page, {"dead-letters": {key: unknown}})
        await expect(card.locator("b")).to_have_text("2 dead letters")
        await expect(card.locator(":scope > .folded pre")).to_be_hidden()
        await expect(card.locator(".danger")).to_have_text("Drop all")
        await card.get_by_role("button", name="Look").click()
        await page.locator(".letters summary").first.click()
        await tell(page, {**now, "dead-letters": {}})
        await expect(card).to_have_count(0)
        letters.append(letter("e3"))
        await tell(page, {**now, "dead-letters": {key: {**group, "events": 3, "last_at": AT + 1}}})
        await expect(page.locator(".letters > li")).to_have_count(3)
        await expect(page.locator(".letters pre").first).to_be_visible()
        await keep_shot(page, "events-open")


def letter(event_id: str) -> dict[str, Any]:
    """A dead letter as the endpoint has it."""
    return {
        "handler": "crossings.count",
        "event_id": event_id,
        "type": "tickets.Tickets.TicketSold",
        "key": "t1",
        "attempts": 3,
        "died_at": AT,
        "error": "ValueError",
        "cause": "no price",
        "frame": "",
        "fingerprint": "f1",
        "holds": False,
        "trace_id": None,
        "body": "{}",
    }


def pace(**more: Any) -> dict[str, Any]:
    """How a consumer gets on, as the endpoint has it."""
    return {
        "waiting": 0,
        "oldest_s": None,
        "is_at_least": False,
        "per_s": 12.5,
        "attempts": 3750,
        "failures": 0,
        "over_s": 300.0,
        "trend": "level",
        "left_s": None,
        **more,
    }


HANDLERS = {
    "ledger.book": pace(),
    "search.prices": pace(waiting=8400, oldest_s=190.0, trend="catching-up", left_s=245.0),
    "mail.send": pace(waiting=52, oldest_s=64.0, trend="falling-behind", failures=31),
    "stock.take": pace(waiting=3, oldest_s=40.0, is_at_least=True, trend="still", per_s=0.0),
    "points.add": pace(attempts=2, over_s=14.0, trend="unknown", waiting=1, oldest_s=6.0),
    "audit.note": None,
    "greet.all": pace(attempts=8, failures=8, per_s=0.0),
}


@in_two_windows
async def test_a_consumer_says_whether_it_catches_up_and_one_that_is_asked_for_is_shown(
    browser: Browser, wreck: Process, width: int, scheme: Scheme
) -> None:
    handlers = [
        {
            "name": name,
            "behind": 5 if each is None else each["waiting"],
            "parked": 0,
            "dead": 0,
            "keys": 0,
            "heard": None,
            "pace": each,
        }
        for name, each in HANDLERS.items()
    ]
    topic = {
        "topic": "tickets.Tickets",
        "retains": "7d",
        "facts": {"records": 90_000, "bytes": 40_000_000},
        "outbox": 0,
        "scheduled": 2,
        "published_per_s": 14.2,
        "handlers": handlers,
    }
    now = {"event-topics": {"tickets.Tickets": topic}, "dead-letters": {}}
    async with window(browser, width=width, scheme=scheme) as page:
        await page.route(
            "**/console/api/events",
            lambda route: route.fulfill(json={"topics": [topic], "dead": []}),
        )
        await telling(page, now)
        await page.goto(f"{wreck.edge_url}/console/#/events?consumer=stock.take")
        row = page.locator("#consumers tr.asked-for")
        await expect(row).to_be_focused()
        await expect(row).to_be_in_viewport()
        await expect(row).to_have_attribute("aria-current", "true")
        await expect(row).to_contain_text("over 40 s")
        await expect(row).to_contain_text("stands still")
        rows = page.locator("#consumers tbody tr")
        await expect(rows.nth(1)).to_contain_text("catching up, about 4 min left")
        await expect(rows.nth(2)).to_contain_text("falls behind")
        await expect(rows.nth(2)).to_contain_text("3,750 · 31 failed")
        await expect(rows.nth(4)).to_contain_text("too early to say")
        await expect(rows.nth(4)).to_contain_text("2 · in 14 s")
        await expect(rows.nth(5)).to_contain_text("not known")
        await expect(rows.nth(6)).to_contain_text("up to date, but every attempt failed")
        await expect(page.locator("#topics tbody tr")).to_contain_text("TicketSold")
        await expect(page.locator("#topics tbody tr")).to_contain_text("14/s")
        await tell(page, now)  # the rows stay the elements that they are
        await expect(row).to_be_focused()
        away = page.locator("#unasked")
        await expect(away).to_be_hidden()
        unasked = {**topic, "facts": None, "unasked": "nobody answers at kafka:9092"}
        await tell(page, {"event-topics": {"tickets.Tickets": unasked}})
        await expect(away).to_contain_text("is not known: nobody answers at kafka:9092.")
        await expect(page.locator("#topics tbody tr td").nth(3)).to_have_text("\u2013")
        await check(page, f"events-consumers-{scheme}-{width}")


async def test_what_an_address_asks_for_is_shown_and_what_is_gone_is_said(
    browser: Browser, wreck: Process
) -> None:
    async with window(browser) as page:
        await opened(page, wreck)
        await page.get_by_role("button", name="Look").click()
        link = page.locator(".letters > li").last.get_by_role("link", name="Link to")
        address = await link.get_attribute("href")
        assert address is not None
        assert "#/events?dead=crossings.count&group=" in page.url
        await page.goto(f"{wreck.edge_url}/console/{address}")
        await page.reload()
        letter = page.locator(".letters > li.asked-for")
        await expect(letter).to_be_focused()
        await expect(letter).to_be_in_viewport()
        await letter.get_by_role("button", name="Drop").click()
        await page.get_by_role("dialog").get_by_role("button", name="Drop").click()
        await expect(page.locator(".letters > li")).to_have_count(1)
        await page.reload()
        await expect(page.locator("#note")).to_contain_text("is no dead letter of crossings.count")
        await expect(page.locator("#consumers tr.asked-for")).to_be_focused()
        await page.goto(f"{wreck.edge_url}/console/#/services/crossings")
        await page.get_by_role("link", name="Its events").click()
        await expect(page.locator("#dead li.asked-for")).to_be_focused()
        await page.locator("#topics").get_by_role("link", name=".Tickets").click()
        await expect(page.locator("#topics tr.asked-for")).to_be_focused()
