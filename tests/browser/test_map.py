"""The map of systems that are generated: of twenty services and of sixty, at all widths."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, Route, expect

from benchmarks.crowd import crowd as generated
from borough.console.facts import CallView, HearingView, ServiceView, SystemView, TeamView
from borough.gateway.process import Process
from tests.browser.windows import DESK, PHONE, keep_shot, overflow, violations, window

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("count", "width"),
    [*((20, width) for width in (320, PHONE, 800, DESK, 1900)), (60, PHONE), (60, DESK)],
)
async def test_many_services_fit_and_no_line_runs_through_a_box(
    browser: Browser, shop: Process, count: int, width: int
) -> None:
    view = twenty() if count == 20 else sixty()

    async def answer(route: Route) -> None:
        await route.fulfill(body=msgspec.json.encode(view), content_type="application/json")

    async def between(route: Route) -> None:
        await route.fulfill(body=msgspec.json.encode({"edges": edges_of(view)}))

    async with window(browser, width=width) as page:
        await page.route("**/console/api/system", answer)
        await page.route("**/console/api/map", between)
        await page.route("**/console/api/live*", lambda route: route.fulfill(status=204))
        await page.goto(f"{shop.edge_url}/console/#/map")
        await expect(page.locator("#map .box")).to_have_count(len(view.services))
        await keep_shot(page, f"map-{count}-{width}")
        await expect(page.locator("#map .line.undeclared")).to_have_count(1)
        assert await page.locator("#relations tr", has_text="NOT DECLARED").count() == 1
        elsewhere = sum(each.runs == "elsewhere" for each in view.services)
        await expect(page.locator("#map .line.elsewhere:not(.unseen)")).to_have_count(elsewhere)
        assert await page.locator("#relations tr", has_text="asks elsewhere").count() == elsewhere
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

QUIET = {"per_s": 0.0, "faults_per_s": 0.0, "p50_ms": None, "p99_ms": None}


def edges_of(view: SystemView) -> list[dict[str, Any]]:
    """What is declared, one call that is not, and one to a service elsewhere."""
    pairs = [("call", each.caller, each.provider) for each in view.calls]
    pairs += [("event", each.publisher, each.subscriber) for each in view.hearings]
    rest: dict[str, Any] = {
        "count": 0,
        "faults": 0,
        "operations": [],
        "lately": QUIET,
        "faring": "quiet",
    }
    elsewhere = {each.name for each in view.services if each.runs == "elsewhere"}
    pairs += [("call", view.services[0].name, name) for name in elsewhere]
    found = [
        {
            "kind": kind,
            "caller": one,
            "callee": other,
            "elsewhere": other in elsewhere,
            "declared": True,
            "observed": other in elsewhere,
            **rest,
        }
        for kind, one, other in pairs
    ]
    busy = {"per_s": 120.0, "faults_per_s": 3.0, "p50_ms": 2.0, "p99_ms": 40.0}
    strange = {**rest, "operations": ["fraud.All.check"], "lately": busy, "faring": "ailing"}
    found.append(
        {
            "kind": "call",
            "caller": view.services[0].name,
            "callee": view.services[5].name,
            "elsewhere": False,
            "declared": False,
            "observed": True,
            **strange,
        }
    )
    return found


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


def twenty() -> SystemView:
    """A system of twenty services, many of which talk to each other, two in a circle."""
    pairs: dict[str, Any] = {
        kind: [pair.split("-") for pair in text.split()]
        for kind, text in (("asks", ASKS), ("tells", TELLS))
    }
    teams = {name: team for team, names in TEAMS.items() for name in names.split()}
    return system_of(teams, pairs["asks"], pairs["tells"])


def sixty() -> SystemView:
    """A generated system of sixty services."""
    found = generated()
    return system_of(found.teams, found.calls, found.hearings)


def system_of(
    teams: Mapping[str, str | None],
    calls: Sequence[Sequence[str]],
    hearings: Sequence[Sequence[str]],
) -> SystemView:
    """Such a system."""
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
        for name, team in teams.items()
    ]
    return SystemView(
        name="crowd",
        version="1.0.0",
        services=tuple(sorted(services, key=lambda service: service.name)),
        teams=tuple(
            TeamView(name=name, size=5, on_call=True, time_zone="UTC", release_days=())
            for name in sorted({team for team in teams.values() if team})
        ),
        calls=tuple(
            CallView(caller=caller, provider=provider, contracts=(f"{provider}.All",))
            for caller, provider in calls
        ),
        hearings=tuple(
            HearingView(
                publisher=publisher, subscriber=subscriber, events=(f"{publisher}.All.Done",)
            )
            for publisher, subscriber in hearings
        ),
    )
