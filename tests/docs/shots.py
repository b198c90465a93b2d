"""Takes the README's pictures of the console: `python -m tests.docs.shots`, about two minutes.

The shop runs with its issuer and customers; a browser looks at the map and at a checkout's trace. Then it runs with
a card issuer that answers too late and without its mail server, and the page of alerts says so.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, FloatRect, Page, expect

from borough.console.one_process import mounts
from borough.gateway.process import Process
from borough.observing.keeper import Keeper
from borough.runtime.system import System
from borough.testing import free_port
from shop.conftest import WatchedIssuer, running_issuer
from shop.demo.customer import GOOD
from shop.demo.issuer import Answer
from tests.browser.windows import DESK, launched, window

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 600_000
"""Of all pictures together: who clones the project pays for them."""
WARM_S = 20.0
KEPT_BYTES = 64 * 1024 * 1024
HURRIED = {"events.attempts": 2, "events.retry_first_s": 0.5, "events.retry_last_s": 0.5}
ISSUER = "services.payments.settings.issuer_url"
SERVICES = 5


class SlowIssuer(WatchedIssuer):
    """An issuer that takes `pause_s` for each charge, whatever the card."""

    pause_s = 0.0

    async def charge(self, order_id: str, cents: int, currency: str, card: str) -> Answer:
        await asyncio.sleep(self.pause_s)
        return await super().charge(order_id, cents, currency, GOOD)


async def take(folder: Path) -> int:
    """Take all of them; returns how many bytes they have."""
    IMAGES.mkdir(exist_ok=True)
    async with launched() as browser:
        async with shop(folder / "well", 0.0, {}) as process:
            await asyncio.sleep(WARM_S)
            await take_map(browser, process)
            await take_trace(browser, process)
        nobody = {
            "services.notifications.settings.smtp_host": "127.0.0.1",
            "services.notifications.settings.smtp_port": free_port(),
        }
        async with shop(folder / "ill", 1.2, nobody | HURRIED) as process:
            await take_alerts(browser, process)
    return sum(file.stat().st_size for file in IMAGES.glob("console-*.png"))


@asynccontextmanager
async def shop(folder: Path, pause_s: float, flags: Mapping[str, object]) -> AsyncIterator[Process]:
    """The shop with its edge, the console and customers, what is seen kept in `folder`."""
    data = folder / "data"
    data.mkdir(parents=True)

    def make(ledger: Path) -> WatchedIssuer:
        issuer = SlowIssuer(ledger)
        issuer.pause_s = pause_s
        return issuer

    async with running_issuer(folder, make) as issuer:
        # Of the tests' settings only this one: others have orders given up that take a second.
        where = {ISSUER: issuer.settings[ISSUER]}
        system = System.load(ROOT / "examples" / "shop", flags={**where, **flags}, environment={})
        process = Process(system, data_folder=data, edge_port=free_port(), mounts=mounts)
        keeper = Keeper(data, process.clock, KEPT_BYTES)
        await keeper.open()
        process.observer.sinks["the keeper"] = keeper
        await process.start()
        try:
            async with customers(process, folder):
                yield process
        finally:
            await process.stop()
            await keeper.close()


@asynccontextmanager
async def customers(process: Process, folder: Path) -> AsyncIterator[None]:
    """A few customers who come and go, in a process of their own."""
    asked = ["--edge", process.edge_url, "--ledger", str(folder / "answers.jsonl")]
    crowd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shop.demo.traffic", *asked, "--in-flight", "6", "--pause", "0.4"),
        cwd=ROOT / "examples",
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        crowd.kill()
        await crowd.wait()


async def take_map(browser: Browser, process: Process) -> None:
    """Who talks to whom while customers buy."""
    async with window(browser) as page:
        await page.goto(f"{process.edge_url}/console/#/map")
        await expect(page.locator("#map .line:not(.unseen)").nth(SERVICES)).to_be_visible()
        await expect(page.locator("#summary")).not_to_contain_text("calls 0/s")
        await keep(page, "map")


async def take_trace(browser: Browser, process: Process) -> None:
    """A checkout over all services."""
    async with window(browser) as page:
        await page.goto(f"{process.edge_url}/console/#/traces?operation=checkout&within_s=900")
        whole = page.locator(f"#found li:has(.chip:nth-child({SERVICES}))")
        await whole.first.get_by_role("link").click()
        await expect(page.locator("#waterfall li[data-span]").nth(SERVICES)).to_be_visible()
        await expect(page.locator("#facts")).not_to_contain_text("still coming in")
        await keep(page, "trace")


async def take_alerts(browser: Browser, process: Process) -> None:
    """What fires when payments are slow and mails cannot be sent."""
    async with window(browser) as page:
        await page.goto(f"{process.edge_url}/console/#/alerts")
        for service in ("payments", "notifications"):
            alert = page.locator("#alerts-firing li", has_text=f"{service}.")
            await expect(alert.first).to_be_visible(timeout=120_000)
        await keep(page, "alerts")


async def keep(page: Page, name: str) -> None:
    """The window as it is, as a picture of the README."""
    await page.mouse.move(0, 0)  # no line is lit because the pointer happens to be there
    height = await page.evaluate("Math.min(innerHeight, document.body.scrollHeight)")
    clip = FloatRect(x=0, y=0, width=DESK, height=height)
    await page.screenshot(path=IMAGES / f"console-{name}.png", clip=clip)


def main() -> None:
    """Take them, and refuse what is too much for a clone."""
    with tempfile.TemporaryDirectory(prefix="borough-shots-") as folder:
        total = asyncio.run(take(Path(folder)))
    if total > MOST_BYTES:
        raise SystemExit(f"{IMAGES} has {total} bytes, {MOST_BYTES} at most")
    print(f"{IMAGES}: {total} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
