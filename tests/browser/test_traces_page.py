"""Traces in the console: one is found by an order's id, looked at, searched for, and a large one is usable."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import pytest
from playwright.async_api import Browser, Page, Response, Route, expect

from borough.gateway.process import Process
from borough.observing.trace_view import view_of
from borough.telemetry.otlp_reading import ReadLine, ReadSpan
from borough.telemetry.waiting import WAITING_FOR
from tests.browser.windows import (
    Scheme,
    check,
    in_two_windows,
    keep_shot,
    window,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICES = {"accounts", "notifications", "orders", "payments", "search"}


class Edge(Protocol):
    """A shop, however it runs."""

    @property
    def edge_url(self) -> str: ...


async def order(page: Page, shop: Edge) -> str:
    """Buy something on the shop's page as a new guest; returns the order's id."""
    async with page.expect_response(_answers_checkout) as answer:
        await page.goto(shop.edge_url)
        await page.get_by_label("Search the shop").fill("kettle")
        await expect(page.locator("#found")).to_contain_text("kettle")
        await page.locator(".tile button").first.click()
        await page.get_by_text("Try it as a guest").click()
        await expect(page.locator("#lines li")).to_have_count(1)
        await page.get_by_label("Pays 4242").check()
        await page.get_by_role("button", name="Pay", exact=True).click()
    await expect(page.locator("#outcome")).to_have_text("Paid. Thank you!")
    placed: dict[str, Any] = await (await answer.value).json()
    return str(placed["order_id"])


def _answers_checkout(answer: Response) -> bool:
    return answer.request.method == "POST" and answer.url.rstrip("/").endswith("/orders")


async def opened(page: Page, shop: Edge, hash_: str) -> None:
    await page.goto(f"{shop.edge_url}/console/{hash_}")
    await expect(page.locator("#status")).to_have_text("running")


async def show_found(page: Page) -> None:
    """Open the checkout that was searched for."""
    await expect(page.locator("#total")).to_have_text("1 trace · live")
    await page.locator("#found li", has_text="orders.Orders/checkout").get_by_role("link").click()


async def test_a_checkout_is_one_trace_over_five_services_found_by_its_order_within_three_clicks(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as customer, window(browser) as page:
        order_id = await order(customer, shop)
        await opened(page, shop, "#/map")
        await page.get_by_role("link", name="Traces").click()  # one
        await expect(page.locator("#found li").first).to_be_visible()
        await page.locator("#text").fill(order_id)
        checkout = page.locator("#found li", has_text="orders.Orders")
        await expect(checkout.locator(".chip")).to_have_count(len(SERVICES))
        await keep_shot(page, "traces-found")
        await checkout.get_by_role("link").click()  # two
        await expect(page.locator("#waterfall li[data-span]").first).to_be_visible()
        assert set(await page.locator(".page-trace .services .chip").all_inner_texts()) == SERVICES
        heard = page.locator("#waterfall li", has=page.locator(".bit.event"))
        await expect(heard.filter(has_text="OrderPaid").first).to_be_visible()
        await expect(page.locator("#why")).not_to_be_empty()
        await expect(page.locator("#waterfall .bit.critical").first).to_be_visible()


@in_two_windows
async def test_list_and_trace_fit_and_can_be_used_by_all(
    browser: Browser, shop: Process, width: int, scheme: Scheme
) -> None:
    async with window(browser) as customer:
        order_id = await order(customer, shop)
    async with window(browser, width=width, scheme=scheme) as page:
        await opened(page, shop, "#/traces")
        await expect(page.locator("#found li").first).to_be_visible()
        await check(page, f"traces-{scheme}-{width}")
        await page.locator("#text").fill(f"order_id={order_id}")
        await show_found(page)
        hears = page.locator("#waterfall button.name", has_text="process").first
        await hears.click()
        await expect(page.locator("#waterfall .detail")).to_contain_text(order_id)
        await check(page, f"trace-{scheme}-{width}")


async def test_a_span_has_an_address_and_the_arrows_walk_and_fold(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as customer, window(browser) as page:
        order_id = await order(customer, shop)
        await opened(page, shop, f"#/traces?text={order_id}")
        await show_found(page)
        await expect(page.locator("#waterfall .name").first).to_be_visible()
        await page.locator("#waterfall .name").first.focus()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(page.locator("#waterfall .detail")).to_have_count(1)
        address = page.url
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("ArrowLeft")
        await expect(page.locator("#waterfall li[data-span]:visible")).to_have_count(1)
        await page.goto("about:blank")
        await page.goto(address)
        await expect(page.locator("#waterfall .detail")).to_have_count(1)


async def test_the_list_follows_what_happens_until_it_is_paused(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as customer, window(browser) as page:
        await opened(page, shop, "#/traces?operation=checkout")
        await expect(page.locator("#total")).to_contain_text("live")
        before = await page.locator("#found li").count()
        await order(customer, shop)
        await expect(page.locator("#found li")).to_have_count(before + 1)
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("#total")).to_contain_text("paused")


async def test_what_a_schedule_begins_is_shown_when_asked_for(
    browser: Browser, shop: Process
) -> None:
    async with window(browser) as page:
        await opened(page, shop, "#/traces")
        await expect(page.locator("#found li").first).to_be_visible()
        await expect(page.locator("#found li", has_text="every payments.reconcile")).to_have_count(
            0
        )
        await page.get_by_label("Begun by").select_option("yes")
        await expect(page.locator("#found li", has_text="every payments").first).to_be_visible()


async def test_two_thousand_spans_are_shown_soon_with_logs_and_a_pause_of_an_hour_left_out(
    browser: Browser, shop: Process
) -> None:
    view = msgspec.json.encode(view_of(*large()))

    async def answer(route: Route) -> None:
        await route.fulfill(body=view, content_type="application/json")

    async with window(browser) as page:
        await page.route("**/api/traces/*", answer)
        await opened(page, shop, "#/map")
        began = await page.evaluate("performance.now()")
        await page.evaluate(f"location.hash = '#/trace/{'ab' * 16}'")
        await expect(page.locator("#waterfall li[data-span]")).to_have_count(2000)
        assert await page.evaluate("performance.now()") - began < 4000
        await expect(page.locator(".legend")).to_contain_text("60 min left out")
        await page.get_by_text("Failed or logged").click()
        await expect(page.locator("#waterfall li[data-span]:visible")).to_have_count(2)
        await expect(page.locator(".logs")).to_contain_text("the press is jammed")
        await expect(page.locator(".logs summary")).to_have_text(f"{TRACEBACK[-1]} 7 lines")
        await expect(page.locator(".logs pre")).to_be_hidden()
        await page.locator(".logs summary").click()
        written = page.locator(".logs pre")
        assert await written.inner_text() == "\n".join(TRACEBACK)
        assert await written.evaluate("(each) => getComputedStyle(each).whiteSpace") == "pre"
        await expect(page.locator("#why")).to_contain_text("payments failed in step 1000")
        await keep_shot(page, "trace-large")


def coming_in(has_come: asyncio.Event) -> Callable[[Route], Awaitable[None]]:
    """Answers with half of a trace until the rest has come."""
    spans = [
        _span(0, "", 0, 40_000_000),
        _span(1, f"{0:016x}", 1_000_000, 30_000_000, **{WAITING_FOR: "a thread"}),
        _span(1999, f"{0:016x}", 60_000_000, 3_260_000_000),
    ]

    async def answer(route: Route) -> None:
        view = view_of(spans) if has_come.is_set() else view_of(spans[:1], gathered_ns=0)
        assert view is not None
        is_list = "/api/traces?" in route.request.url
        answer = {"traces": [msgspec.structs.asdict(view) | {"spans": len(view.rows)}]}
        body = msgspec.json.encode(answer if is_list else view)
        await route.fulfill(body=body, content_type="application/json")

    return answer


async def test_a_trace_settles_in_the_list_under_the_pointer_and_the_focus(
    browser: Browser, shop: Process
) -> None:
    has_come = asyncio.Event()
    async with window(browser) as page:
        await page.route("**/api/traces?*", coming_in(has_come))
        await opened(page, shop, "#/traces")
        entry = page.locator("#found li")
        await expect(entry.locator(".why")).to_have_text("still coming in")
        await expect(page.locator("#total")).to_have_text("1 trace · 1 still coming in · live")
        await entry.hover()
        await entry.get_by_role("link").focus()
        has_come.set()
        await expect(entry.locator(".why")).to_contain_text("took 3.2 s afterwards")
        await expect(entry.get_by_role("link")).to_be_focused()


async def test_an_open_trace_takes_in_what_still_comes_and_tells_waiting_from_work(
    browser: Browser, shop: Process
) -> None:
    has_come = asyncio.Event()
    async with window(browser) as page:
        await page.route("**/api/traces/*", coming_in(has_come))
        await opened(page, shop, f"#/trace/{'ab' * 16}")
        await expect(page.locator("#waterfall li[data-span]")).to_have_count(1)
        await expect(page.locator("#facts")).to_contain_text("still coming in")
        await page.locator("#waterfall .name").focus()
        has_come.set()
        await expect(page.locator("#waterfall li[data-span]")).to_have_count(3)
        await expect(page.locator("#waterfall .name").first).to_be_focused()
        await expect(page.locator("#facts")).not_to_contain_text("still coming in")
        waits = page.locator("#waterfall li", has=page.locator(".bit.waits"))
        await waits.locator(".name").click()
        await expect(waits.locator(".detail")).to_contain_text("29 ms of it waiting for a thread")
        await check(page, "trace-waits")


TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "press.py", line 7, in squeeze',
    "    return self._plate.down(force)",
    '  File "plate.py", line 40, in down',
    "    raise Jammed(force)",
    "",
    "press.Jammed: 12 kN",
]


def large() -> tuple[list[ReadSpan], list[ReadLine]]:
    """A call with 1,998 steps below it, and an event that was handled an hour later."""
    second = 1_000_000_000
    spans = [_span(0, "", 0, 2 * second)]
    spans += [
        _span(number, f"{number // 10:016x}", number * 1_000_000, (number + 1) * 1_000_000)
        for number in range(1, 1999)
    ]
    spans.append(_span(1999, f"{0:016x}", 3602 * second, 3603 * second))
    line = ReadLine(
        at_ns=700_000_000,
        severity=17,
        level="ERROR",
        text="\n".join(["the press is jammed", *TRACEBACK]),
        service="orders",
        trace_id="ab" * 16,
        span_id=f"{700:016x}",
        attributes={},
    )
    return spans, [line]


def _span(number: int, parent: str, began_ns: int, ended_ns: int, **facts: str) -> ReadSpan:
    return ReadSpan(
        trace_id="ab" * 16,
        span_id=f"{number:016x}",
        parent=parent,
        service="payments" if number % 2 == 0 else "orders",
        instance="one",
        name=f"step {number}",
        kind=5 if number == 1999 else 1,
        began_ns=began_ns,
        ended_ns=ended_ns,
        status=2 if number == 1000 else 0,
        message="",
        attributes={**facts},
        links=(),
    )
