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
    DESK,
    PHONE,
    Scheme,
    check,
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
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
        await expect(page.locator("#facts")).to_contain_text("0 parked · 0 dead")


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
    }
    handler = {"name": "crossings.count", "behind": 0, "parked": 4, "dead": 2}
    facts = {"records": 9, "bytes": 900}
    topic = {
        "topic": "tickets.Tickets",
        "retains": "7d",
        "facts": facts,
        "outbox": 0,
        "scheduled": 0,
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
            "2 dead letters of 260 events that crossings.count has taken; events of 3 keys wait"
        )
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
        "holds": False,
        "trace_id": None,
        "body": "{}",
    }
