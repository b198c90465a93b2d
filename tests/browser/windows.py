"""Windows of a real browser that notice what goes wrong in them."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.requirements import require_tool

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESK = 380, 1280
ICON = "/icon.svg"
SHOTS = os.environ.get("BOROUGH_SHOTS")
"""A folder for pictures of what the tests have seen, for a person to look at."""

expect.set_options(timeout=15_000)  # a busy machine is no fault

Scheme = Literal["light", "dark"]

in_two_windows = pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (DESK, "light")])
"""Both widths and both themes."""

# Elements that move although nobody has done anything; noted before the page's own scripts run.
_WATCH_SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser without windows."""
    require_tool("chromium", BROWSER is not None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def window(
    browser: Browser,
    *,
    width: int = DESK,
    scheme: Scheme = "light",
    answers: frozenset[int] = frozenset(),
) -> AsyncIterator[Page]:
    """A window of its own profile. At its end nothing may have failed in it: no error in a script
    or on the console, no request without answer or with an error status, save for `answers`."""
    faults: list[str] = []
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = await context.new_page()
    page.set_default_timeout(20_000)
    await page.add_init_script(_WATCH_SHIFTS)
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on("console", lambda said: _note_said(faults, said.type, said.text, answers))
    page.on("requestfailed", lambda request: _note_failed(faults, request))
    page.on("response", lambda response: _note_status(faults, response, answers))
    try:
        yield page
        assert not faults, faults
    finally:
        await context.close()


def _note_said(faults: list[str], kind: str, text: str, answers: frozenset[int]) -> None:
    expected = any(f"status of {status}" in text for status in answers)
    if kind in ("error", "warning") and not expected:
        faults.append(f"console: {text}")


def _note_failed(faults: list[str], request: Any) -> None:
    # A stream of events has no end but that the page leaves it, a list that is being read is given up for a newer
    # one, and the icon that a tab shows is fetched beside the page, which may be left meanwhile. Only the page itself
    # aborts; a server that hangs up or is gone has other names.
    is_given_up = request.failure == "net::ERR_ABORTED"
    is_beside = request.resource_type in ("eventsource", "fetch") or request.url.endswith(ICON)
    if not (is_given_up and is_beside):
        faults.append(f"no answer: {request.url} ({request.failure})")


def _note_status(faults: list[str], response: Any, answers: frozenset[int]) -> None:
    if response.status >= 400 and response.status not in answers:
        faults.append(f"{response.status}: {response.url}")


async def overflow(page: Page) -> list[str]:
    """What is wider than the window, empty when the page fits."""
    found: list[str] = await page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.body.querySelectorAll("*")]
        .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
        .map((element) => element.outerHTML.slice(0, 120))"""
    )
    return found


async def shifted(page: Page) -> float:
    """How much has moved by itself so far, as browsers count it (CLS)."""
    found: float = await page.evaluate("window.shifted")
    return found


async def violations(page: Page) -> list[str]:
    """What axe-core finds wrong for people who see, hear or move differently."""
    await page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


async def check(page: Page, name: str) -> None:
    """Keep a picture; nothing may be wider than the window, and nobody may be kept from using it."""
    await keep_shot(page, name)
    assert await overflow(page) == []
    assert await violations(page) == []


async def keep_shot(page: Page, name: str) -> None:
    """A picture for a person to look at, where a folder is named for it."""
    if SHOTS is not None:
        await page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
