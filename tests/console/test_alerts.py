"""Alerts as the console's endpoints have them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough.gateway.process import Process
from tests.console.ferry import FACTS, Browser, Tickets, sailing
from tests.console.storm import HURRIED, stormy

QUICK = "\n[alerts]\nevery_s = 0.05\n"


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    system = stormy(tmp_path, FACTS + HURRIED + QUICK)
    async with sailing(system, tmp_path) as process:
        yield process


@pytest.fixture
def browser(process: Process) -> Browser:
    return Browser(process)


async def fired(process: Process, browser: Browser) -> Any:
    """The alert of a ticket that could not be handled."""
    await process.host.client(Tickets).sell("to t1", "t1")
    async with asyncio.timeout(30):
        while True:
            found: Any = await browser.document("/console/api/alerts")
            if any(alert["state"] == "firing" for alert in found["alerts"]):
                return found
            await asyncio.sleep(0.05)


async def post(browser: Browser, path: str, value: Any) -> tuple[int, Any]:
    token = str((await browser.document("/console/api/session"))["token"])
    body = msgspec.json.encode(value)
    status, _, answer = await browser.get(
        f"/console/api/alerts{path}", method="POST", body=body, x_borough_token=token
    )
    return status, msgspec.json.decode(answer)


async def test_an_alert_is_shown_acknowledged_and_silenced(
    process: Process, browser: Browser
) -> None:
    found = await fired(process, browser)
    (alert,) = [each for each in found["alerts"] if each["rule"] == "dead-letters"]
    assert (alert["service"], alert["team"]) == ("crossings", "fleet")
    assert alert["look"] == "#/events?dead=crossings.count"
    assert "ValueError: no ferry sails to t1" in alert["summary"]
    assert [route["team"] for route in found["routes"]] == ["fleet", "quay"]
    assert {rule["name"] for rule in found["rules"]} >= {"dead-letters", "slow-calls"}

    status, done = await post(browser, f"/{alert['id']}/acknowledge", {"note": "I look"})
    assert (status, done["state"], done["note"]) == (200, "acknowledged", "I look")
    status, silence = await post(
        browser, "/silences", {"rule": "dead-letters", "for_s": 60, "reason": "a storm"}
    )
    assert (status, silence["service"], silence["by"]) == (201, None, "the console")
    found = await browser.document("/console/api/alerts")
    assert found["silences"] == [silence]
    assert (await post(browser, f"/silences/{silence['id']}/end", {}))[0] == 200
    assert (await browser.document("/console/api/alerts"))["silences"] == []


async def test_who_follows_hears_which_services_have_alerts(
    process: Process, browser: Browser
) -> None:
    await fired(process, browser)
    reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
    writer.write(b"GET /console/api/live?topics=alerts HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(20):
        while not (line := await reader.readline()).startswith(b"data: "):
            pass
    writer.close()
    changed = msgspec.json.decode(line[6:])["changed"]
    assert (changed["firing"], changed["by_service"]) == (1, {"crossings": "firing"})


async def test_nothing_is_changed_without_the_sessions_token(
    process: Process, browser: Browser
) -> None:
    status, _, _ = await browser.get(
        "/console/api/alerts/silences", method="POST", body=b'{"for_s": 1, "reason": "x"}'
    )
    assert status == 403


async def test_what_is_not_there_is_told(process: Process, browser: Browser) -> None:
    assert (await post(browser, "/x/acknowledge", {"note": ""}))[0] == 404
    assert (await post(browser, "/silences/x/end", {}))[0] == 404
    status, said = await post(browser, "/silences", {"rule": "x", "for_s": 1, "reason": "x"})
    assert (status, said["detail"].startswith("there is no rule x")) == (400, True)
