"""Topics and dead letters as the console's endpoints have them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough.alerting.pace import Paces
from borough.console.event_desk import EventsView
from borough.console.event_paces import topics_now
from borough.console.fleet_events import FleetEvents
from borough.errors import BrokerError
from borough.gateway.process import Process
from borough.ports import TopicFacts
from borough.runtime.topics import HandlerState, TopicState
from tests.console.ferry import Browser, Tickets, sailing
from tests.console.storm import calm, stormy

CARD = "4242424242424242"


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    async with sailing(stormy(tmp_path), tmp_path) as process:
        yield process


@pytest.fixture
def browser(process: Process) -> Browser:
    return Browser(process)


async def events(browser: Browser) -> Any:
    return await browser.document("/console/api/events")


async def wrecked(process: Process, browser: Browser, *tickets: str) -> Any:
    """The groups, once so many tickets could not be handled."""
    for ticket in tickets:
        await process.host.client(Tickets).sell(f"to {ticket}", ticket)
    async with asyncio.timeout(20):
        while True:
            found = (await events(browser))["dead"]
            if sum(group["events"] for group in found) == len(tickets):
                return found
            await asyncio.sleep(0.05)


async def change(browser: Browser, verb: str, value: Any, **fields: str) -> tuple[int, Any]:
    body = msgspec.json.encode(value)
    status, _, answer = await browser.get(
        f"/console/api/events/{verb}", method="POST", body=body, **fields
    )
    return status, msgspec.json.decode(answer)


async def token(browser: Browser) -> str:
    return str((await browser.document("/console/api/session"))["token"])


async def test_a_topic_says_who_hears_it_and_how_far_each_is(
    process: Process, browser: Browser
) -> None:
    await wrecked(process, browser, "t1", "t2")
    async with asyncio.timeout(20):
        while (topic := (await events(browser))["topics"][0])["handlers"][0]["behind"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (topic["topic"], topic["outbox"], topic["facts"]["records"]) == ("tickets.Tickets", 0, 2)
    (handler,) = topic["handlers"]
    del handler["pace"]  # of what was seen lately, if anything was
    assert handler == {
        "name": "crossings.count",
        "behind": 0,
        "parked": 0,
        "dead": 2,
        "keys": 0,
        "heard": 2,
    }


async def test_a_consumer_says_how_it_gets_on_once_it_was_looked_at(
    process: Process, browser: Browser
) -> None:
    async def pace_when(is_so: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(60):
            while True:
                pace = (await events(browser))["topics"][0]["handlers"][0]["pace"]
                if pace is not None and is_so(pace):
                    return pace
                await asyncio.sleep(0.1)

    await pace_when(lambda _: True)  # what failed before the first look is not counted
    await wrecked(process, browser, "t1", "t2")
    pace = await pace_when(lambda pace: (pace["failures"], pace["waiting"]) == (2, 0))
    assert (pace["attempts"], pace["oldest_s"], pace["trend"]) == (2, None, "level")


async def test_of_a_consumer_of_which_nobody_tells_nothing_is_made_up() -> None:
    state = HandlerState("crossings.count", 7, 0, 0)
    topic = TopicState("tickets.Tickets", "7d", TopicFacts(0, 7, 7, 7, 0, None), 0, 0, [state])
    (found,) = topics_now([topic], Paces())
    assert (found.handlers[0].behind, found.handlers[0].pace) == (7, None)
    assert found.published_per_s is None


@pytest.mark.parametrize("hangs", [False, True])
async def test_while_the_broker_is_away_the_databases_are_told_of_all_the_same(
    process: Process, browser: Browser, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    async def away(_: str) -> TopicFacts:
        if hangs:
            await asyncio.Event().wait()
        raise BrokerError("nobody answers at 127.0.0.1:9")

    await wrecked(process, browser, "t1", "t2")
    monkeypatch.setattr(process.host.broker, "facts", away)
    found = await events(browser)
    (topic,), (group,) = found["topics"], found["dead"]
    why = "has told nothing of tickets.Tickets within" if hangs else "nobody answers"
    assert why in topic["unasked"]
    assert (topic["facts"], topic["outbox"], topic["handlers"][0]["dead"]) == (None, 0, 2)
    assert group["events"] == 2


async def test_of_replicas_one_that_could_ask_the_broker_is_believed() -> None:
    known = TopicState("tickets.Tickets", "7d", TopicFacts(0, 7, 7, 7, 0, None), 0, 0, [])
    unasked = TopicState("tickets.Tickets", "7d", None, 3, 0, [], "nobody answers")

    async def survey(*topics: TopicState) -> Any:
        async def told() -> Sequence[EventsView]:
            return [EventsView(topics=[topic], dead=[]) for topic in topics]

        door: Any = None
        (found,) = (await FleetEvents(door, told).survey()).topics
        return found.facts, found.outbox, found.unasked

    assert await survey(known, unasked) == (known.facts, 3, None)
    assert await survey(unasked, known) == (known.facts, 3, None)
    assert await survey(unasked, unasked) == (None, 3, "nobody answers")


async def test_letters_that_failed_alike_are_one_group_and_are_shown_masked(
    process: Process, browser: Browser
) -> None:
    (group,) = await wrecked(process, browser, CARD, "t2")
    assert (group["handler"], group["error"], group["events"]) == (
        "crossings.count",
        "ValueError",
        2,
    )
    found: Any = await browser.document(
        f"/console/api/events/dead?handler=crossings.count&fingerprint={group['fingerprint']}"
    )
    assert [letter["attempts"] for letter in found["letters"]] == [1, 1]
    letter = found["letters"][0]
    assert (letter["trace_id"] is not None, letter["type"]) == (True, "tickets.Tickets.TicketSold")
    assert "***4242" in letter["body"]
    assert CARD not in msgspec.json.encode(found).decode()


async def test_what_is_replayed_is_handled_once_it_can_be(
    process: Process, browser: Browser
) -> None:
    (group,) = await wrecked(process, browser, "t1")
    calm(process)
    chosen = {"handler": group["handler"], "fingerprint": group["fingerprint"]}
    fields = {"x_borough_token": await token(browser)}
    assert await change(browser, "replay", chosen, **fields) == (
        200,
        {"events": 1, "out_of_order": 1},
    )
    async with asyncio.timeout(20):
        while (await events(browser))["topics"][0]["handlers"][0]["parked"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await events(browser))["dead"] == []


async def test_one_letter_is_dropped_and_the_others_stay(
    process: Process, browser: Browser
) -> None:
    await wrecked(process, browser, "t1", "t2")
    found: Any = await browser.document("/console/api/events/dead?handler=crossings.count")
    chosen = {"handler": "crossings.count", "event_id": found["letters"][0]["event_id"]}
    fields = {"x_borough_token": await token(browser)}
    assert await change(browser, "drop", chosen, **fields) == (
        200,
        {"events": 1, "out_of_order": 0},
    )
    (group,) = (await events(browser))["dead"]
    assert group["events"] == 1


@pytest.mark.parametrize("verb", ["replay", "drop"])
async def test_nothing_is_changed_without_the_token_of_the_page(
    process: Process, browser: Browser, verb: str
) -> None:
    (group,) = await wrecked(process, browser, "t1")
    chosen = {"handler": group["handler"], "fingerprint": group["fingerprint"]}
    assert (await change(browser, verb, chosen))[0] == 403
    assert len((await events(browser))["dead"]) == 1


async def test_a_change_says_which_letters_are_meant(process: Process, browser: Browser) -> None:
    fields = {"x_borough_token": await token(browser)}
    status, problem = await change(browser, "drop", {"handler": "crossings.count"}, **fields)
    assert (status, "fingerprint or event_id" in problem["detail"]) == (400, True)
    chosen = {"handler": "nobody.there", "fingerprint": "x"}
    assert (await change(browser, "drop", chosen, **fields))[0] == 404
