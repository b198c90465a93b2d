"""Events for receivers elsewhere are sent, signed, until they are taken: in order per key, and never lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from borough import System
from borough.clock import SystemClock
from borough.console.facts import system_view
from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration
from borough.runtime.dead_letters import DeadLetters, Selection
from borough.runtime.topics import pushes_of, survey
from borough.runtime.wiring import make_plan
from borough.testing import NotQuiet, Running, free_port, start
from borough.transports.http.message import Response
from tests.runtime.bakery import ENVIRONMENT, Bakery, BakeryService, bakery, cafe

PUSH = "bakery.push-cafe"


class Eager(SystemClock):
    """Draws long waits."""

    def __init__(self) -> None:
        super().__init__()
        self.random.random = lambda: 0.75  # type: ignore[method-assign]


class Killable:
    """A receiver in a process of its own, which writes down what it hears before it says so."""

    def __init__(self, port: int, heard: Path) -> None:
        script = Path(__file__).with_name("receiver_process.py")
        self._process = subprocess.Popen([sys.executable, str(script), str(port), str(heard)])

    async def kill(self) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.wait)


def _lines(path: Path) -> list[Any]:
    """What was written down, but for a line that a kill has cut off."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


async def dead(running: Running) -> list[tuple[str, str]]:
    """The dead events: who has given them up, and why."""
    db: Any = running.database("bakery")
    found = await DeadLetters(db.store, SystemClock()).events(Selection(), 100)
    return [(each.handler, each.cause) for each in found]


async def test_an_event_is_sent_as_it_is_with_a_signature_and_its_trace(tmp_path: Path) -> None:
    async with cafe() as (receiver, url), start(bakery(tmp_path, url)) as running:
        event_id = await running.client(Bakery).bake("left", 12)
        await running.quiet()
    (asked,) = receiver.asked
    (document,) = receiver.heard
    assert (asked.method, asked.path, asked.query) == ("POST", "/hooks/bread", "of=today")
    assert asked.headers.get("content-type") == "application/cloudevents+json; charset=utf-8"
    assert asked.headers.get("webhook-id") == document["id"] == event_id
    assert abs(int(asked.headers.get("webhook-timestamp") or 0) - time.time()) < 60
    assert document["specversion"] == "1.0"
    assert document["type"] == "bakery.Bakery.Baked"
    assert document["data"] == {"oven": "left", "loaves": 12}
    there = (asked.headers.get("traceparent") or "").split("-")
    assert there[1] == document["traceparent"].split("-")[1]
    assert there[2] != document["traceparent"].split("-")[2], "the push is a span of its own"


async def test_only_wanted_events_are_sent(tmp_path: Path) -> None:
    wanted = 'events = ["bakery.Bakery.Burnt"]'
    async with cafe() as (receiver, url), start(bakery(tmp_path, url, wanted=wanted)) as running:
        await running.client(Bakery).bake("left", 1)
        await running.client(Bakery).burn("left")
        await running.quiet()
    assert [each["type"] for each in receiver.heard] == ["bakery.Bakery.Burnt"]


async def test_order_holds_per_key_while_the_first_is_tried_again(tmp_path: Path) -> None:
    async with cafe() as (receiver, url), start(bakery(tmp_path, url)) as running:
        receiver.answers = [500, 404]
        for loaves in range(4):
            await running.client(Bakery).bake("left", loaves)
        await running.quiet()
    assert [each["data"]["loaves"] for each in receiver.heard] == [0, 0, 0, 1, 2, 3]
    assert len({each.headers.get("webhook-id") for each in receiver.asked[:3]}) == 1


async def test_what_the_receiver_refuses_is_dead_at_once_and_can_be_replayed(
    tmp_path: Path,
) -> None:
    async with cafe() as (receiver, url), start(bakery(tmp_path, url)) as running:
        receiver.answers = [410]
        await running.client(Bakery).bake("left", 0)
        await running.client(Bakery).bake("left", 1)
        with pytest.raises(NotQuiet, match=r"push-cafe has given up event .* 410: so it is"):
            await running.quiet()
        ((handler, cause),) = await dead(running)
        assert handler == PUSH
        assert cause == "cafe answered 410: so it is"
        assert [each["data"]["loaves"] for each in receiver.heard] == [0, 1]
        db: Any = running.database("bakery")
        await DeadLetters(db.store, SystemClock()).replay(Selection(), {PUSH})
        await receiver.asked_so_often(3)
        await running.quiet()
        assert await dead(running) == []
    assert receiver.heard[-1]["data"]["loaves"] == 0


async def test_after_its_last_attempt_an_event_is_dead_with_the_receivers_words(
    tmp_path: Path,
) -> None:
    async with cafe() as (receiver, url), start(bakery(tmp_path, url)) as running:
        receiver.answers = [500, 500, 500, 500]
        await running.client(Bakery).bake("left", 0)
        with pytest.raises(
            NotQuiet, match=r"push-cafe has given up event .* \(attempt 4\): .* 500"
        ):
            await running.quiet()
        assert await dead(running) == [(PUSH, "cafe answered 500: so it is")]
    assert len(receiver.asked) == 4


async def test_a_redirection_is_not_followed(tmp_path: Path) -> None:
    async with cafe() as (receiver, url), start(bakery(tmp_path, url)) as running:

        async def elsewhere() -> Response:
            return Response(307, ((b"location", b"http://127.0.0.1:9/"),))

        receiver.answers = [elsewhere]
        await running.client(Bakery).bake("left", 0)
        await running.quiet()
    assert len(receiver.asked) == 2


async def test_one_that_cannot_be_reached_costs_no_attempt(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hooks/bread"
    async with start(bakery(tmp_path, url)) as running:
        for loaves in range(30):
            await running.client(Bakery).bake(f"oven {loaves % 5}", loaves)
        with pytest.raises(NotQuiet, match="cafe takes no events"):
            await running.quiet(2.0)
        assert await dead(running) == []
        async with cafe(port) as (receiver, _):
            began = time.monotonic()
            await running.quiet(20.0)
            assert time.monotonic() - began < 12
            assert await dead(running) == []
    for oven in range(5):
        heard = [each["data"] for each in receiver.heard]
        assert [d["loaves"] for d in heard if d["oven"] == f"oven {oven}"] == list(
            range(oven, 30, 5)
        )


async def test_one_that_is_busy_is_left_alone_for_as_long_as_it_says(tmp_path: Path) -> None:
    async with cafe() as (receiver, url), start(bakery(tmp_path, url)) as running:
        at: list[float] = []

        async def busy() -> Response:
            at.append(time.monotonic())
            return Response(503, ((b"retry-after", b"1"),))

        async def done() -> Response:
            at.append(time.monotonic())
            return Response(204, ())

        receiver.answers = [busy, done]
        await running.client(Bakery).bake("left", 0)
        await running.quiet()
    assert at[1] - at[0] >= 1.0


async def test_one_that_is_busy_and_asks_for_no_wait_is_left_alone_for_longer_each_time(
    tmp_path: Path,
) -> None:
    async def busy() -> Response:
        return Response(503, ((b"retry-after", b"0"),))

    async with (
        cafe() as (receiver, url),
        start(bakery(tmp_path, url), clock=Eager()) as running,
    ):
        receiver.answers = [busy] * 4
        began = time.monotonic()
        await running.client(Bakery).bake("left", 0)
        await running.quiet()
        assert time.monotonic() - began >= 1.0, "0.075, 0.15, 0.3 and 0.6 s"
    assert len(receiver.asked) == 5


async def test_one_that_does_not_answer_in_time_is_asked_again(tmp_path: Path) -> None:
    async with (
        cafe() as (receiver, url),
        start(bakery(tmp_path, url, "timeout_s = 0.2")) as running,
    ):

        async def late() -> Response:
            await asyncio.sleep(0.5)
            return Response(204, ())

        receiver.answers = [late]
        await running.client(Bakery).bake("left", 0)
        await running.quiet()
    assert len(receiver.asked) > 1  # a machine that stands still is late once more
    assert len({each.headers.get("webhook-id") for each in receiver.asked}) == 1


async def test_no_more_than_so_many_are_under_way_at_once(tmp_path: Path) -> None:
    async with cafe() as (receiver, url), start(bakery(tmp_path, url, "at_once = 2")) as running:
        now = most = 0
        are_baked = asyncio.Event()

        async def slow() -> Response:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await are_baked.wait()
            await asyncio.sleep(0.02)
            now -= 1
            return Response(204, ())

        receiver.answers = [slow] * 12
        for loaves in range(12):
            await running.client(Bakery).bake(f"oven {loaves}", loaves)
        await receiver.asked_so_often(2)
        are_baked.set()
        await running.quiet()
    assert most == 2


async def test_a_receiver_that_is_killed_again_and_again_hears_all_in_order(tmp_path: Path) -> None:
    heard, port = tmp_path / "heard.jsonl", free_port()
    receiver = Killable(port, heard)
    async with start(bakery(tmp_path, f"http://127.0.0.1:{port}/")) as running:
        for loaves in range(400):
            await running.client(Bakery).bake(f"oven {loaves % 7}", loaves)
            if loaves % 40 == 20:
                await receiver.kill()
                receiver = Killable(port, heard)
        await running.quiet(20.0)
        assert await dead(running) == []
    await receiver.kill()
    for oven in range(7):
        told = [each["loaves"] for each in _lines(heard) if each["oven"] == f"oven {oven}"]
        assert list(dict.fromkeys(told)) == list(range(oven, 400, 7)), "in order, none is missing"


async def test_who_is_stopped_while_a_receiver_is_away_goes_on_at_the_next_start(
    tmp_path: Path,
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    data = tmp_path / "data"
    async with start(bakery(tmp_path, url), data=data) as running:
        await running.client(Bakery).bake("left", 7)
        await asyncio.sleep(0.3)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    async with cafe(port) as (receiver, _), start(bakery(tmp_path, url), data=data) as running:
        await running.quiet()
    assert [each["data"]["loaves"] for each in receiver.heard] == [7]


async def test_a_paused_push_sends_nothing_and_goes_on_later_from_where_it_was(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with cafe() as (receiver, url):
        for loaves, more in enumerate(("", "paused = true", "")):
            async with start(bakery(tmp_path, url, more), data=data) as running:
                await running.client(Bakery).bake("left", loaves)
                await running.quiet()
                assert len(receiver.asked) == (1, 1, 3)[loaves]
    assert [each["data"]["loaves"] for each in receiver.heard] == [0, 1, 2]


async def test_what_was_published_before_the_receiver_was_named_is_not_sent(tmp_path: Path) -> None:
    data = tmp_path / "data"
    alone = bakery(tmp_path, "http://127.0.0.1:9/").configured(
        Configuration.load(tmp_path / "none", {})
    )
    async with start(alone, data=data) as running:
        await running.client(Bakery).bake("left", 1)
        await running.quiet()
    async with cafe() as (receiver, url), start(bakery(tmp_path, url), data=data) as running:
        await running.client(Bakery).bake("left", 2)
        await running.quiet()
    assert [each["data"]["loaves"] for each in receiver.heard] == [2]


async def test_a_push_is_seen_among_the_handlers_of_its_topic_and_on_the_map(
    tmp_path: Path,
) -> None:
    async with cafe() as (_, url):
        data = tmp_path / "data"
        system = bakery(tmp_path, url)
        async with start(system, data=data) as running:
            await running.client(Bakery).bake("left", 1)
            await running.quiet()
        there = system.configured(system.configuration.with_flags({"data.folder": str(data)}))
        (topic,) = await survey(there, SystemClock())
    assert pushes_of(system) == {"bakery": {PUSH}}
    assert [(each.name, each.behind) for each in topic.handlers] == [(PUSH, 0)]
    view = system_view(make_plan(system), system.configuration.options, ())
    assert [(each.name, each.runs) for each in view.services] == [
        ("bakery", "here"),
        ("cafe", "elsewhere"),
    ]
    (hearing,) = view.hearings
    assert (hearing.publisher, hearing.subscriber) == ("bakery", "cafe")
    assert hearing.events == ("bakery.Bakery.Baked", "bakery.Bakery.Burnt")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('url = "http', 'url = "ftp', "push.cafe.url is no URL"),
        ("http://127.0.0.1", "http://10.0.0.7", "clear text to another machine"),
        ("env:BAKERY_SECRET", "whsec_open", "is a secret in clear"),
        ("env:BAKERY_SECRET", "env:NOBODY", "the environment has no NOBODY"),
        ("env:BAKERY_SECRET", "file:short", "no secret of Standard Webhooks"),
        ("[push.cafe]", "[push.Cafe]", "push.Cafe is no name"),
        ('topics = ["bakery.Bakery"]', "", "push.cafe sends nothing"),
        ('["bakery.Bakery"]', '["bakery.Bakry"]', "did you mean bakery.Bakery?"),
        (
            'topics = ["bakery.Bakery"]',
            'events = ["bakery.Bakery.Sold"]',
            "which no contract here publishes",
        ),
        ('secret = "env:BAKERY_SECRET"', "", "missing required field `secret`"),
    ],
)
async def test_what_cannot_be_pushed_is_told_before_the_start(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    (tmp_path / "short").write_text("whsec_QUFB")
    bakery(tmp_path, "http://127.0.0.1:9/")
    page = tmp_path / "borough.toml"
    assert old in page.read_text()
    page.write_text(page.read_text().replace(old, new))

    async def begin() -> None:
        configuration = Configuration.load(tmp_path, ENVIRONMENT)
        async with start(System([BakeryService], configuration=configuration)):
            pass

    with pytest.raises(ConfigurationError, match=why):
        await begin()
