"""Dead letters are shown by group, and replayed beside whatever else is at work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from borough.reliability.retries import Retries
from borough.runtime.dead_letters import DeadLetters, Selection
from tests.runtime.parked import QUICK, Bad, consumer_of, dead, place_all, quiet, until, was_buried
from tests.runtime.stage import Place, Placed, Stage, running, staged


@asynccontextmanager
async def buried(
    folder: Path, *placed: tuple[int, str]
) -> AsyncIterator[tuple[Stage, Place, Place, Bad]]:
    """Where these orders of "bad" were placed and heard, once each of them is a dead letter."""
    async with staged(folder) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, bad.hear)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, *placed)
            await quiet(stage, relay, consumer)
        yield stage, orders, mail, bad


async def test_a_replayed_group_is_handled_again_and_others_stay_dead(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad", "worse")

        async def hear(event: Placed, tx: Any) -> None:
            if event.customer == "worse" and "worse" in bad.customers:
                raise ValueError("worse")
            await bad.hear(event, tx)

        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear)
        await consumer.register()
        letters = DeadLetters(mail.store, stage.clock)
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "worse"), (3, "bad"), (4, "worse"))
            await quiet(stage, relay, consumer)
            groups = await letters.groups(Selection())
            assert sorted((group.error, group.events) for group in groups) == [
                ("RuntimeError", 2),
                ("ValueError", 2),
            ]
            bad.customers.clear()
            mine = next(group for group in groups if group.error == "ValueError")
            replayed = await letters.replay(Selection(fingerprint=mine.fingerprint), {"mail.hear"})
            assert [event.holds for event in replayed] == [False, False]
            await quiet(stage, relay, consumer)
        assert await mail.seen() == [2, 4]
        assert [row[0] for row in await dead(mail)] == ["RuntimeError", "RuntimeError"]


async def test_dead_letters_of_a_handler_that_is_gone_are_not_replayed(tmp_path: Path) -> None:
    async with buried(tmp_path, (1, "bad")) as (stage, _, mail, _):
        assert await DeadLetters(mail.store, stage.clock).replay(Selection(), {"mail.other"}) == []
        assert len(await dead(mail)) == 1


async def test_an_event_that_died_twice_is_replayed_once(tmp_path: Path) -> None:
    async with buried(tmp_path, (1, "bad"), (2, "bad")) as (stage, _, mail, bad):
        # As on another broker, which has the topic still, when the inbox has forgotten it.
        async with mail.store.transaction() as tx:
            await tx.execute("delete from borough_inbox")
            await tx.execute("update borough_positions set position = 0")
        again = consumer_of(stage, mail, bad.hear)
        async with running(again):
            await quiet(stage, again)
        assert len(await dead(mail)) == 4
        bad.customers.clear()
        letters = DeadLetters(mail.store, stage.clock)
        await letters.replay(Selection(), {"mail.hear"})
        last = consumer_of(stage, mail, bad.hear)
        async with running(last):
            await quiet(stage, last)
        assert await mail.seen() == [1, 2]
        assert await dead(mail) == []


async def test_a_dead_event_that_was_parked_again_is_replayed_at_once_and_its_key_goes_on(
    tmp_path: Path,
) -> None:
    async with buried(tmp_path, (1, "bad")) as (stage, orders, mail, bad):
        async with mail.store.transaction() as tx:  # it came again, and waits for its next try
            await tx.execute(
                "insert into borough_parked (number, handler, generation, topic, event_id, type, key, sequence,"
                " body, attempts, parked_at, due, cause) select 77, handler, generation, topic, event_id, type,"
                " key, sequence, body, 1, parked_at, $1, '' from borough_dead",
                stage.clock.epoch_s() + 3600,
            )
        bad.customers.clear()
        await DeadLetters(mail.store, stage.clock).replay(Selection(), {"mail.hear"})
        again, last = stage.relay(orders), consumer_of(stage, mail, bad.hear)
        async with running(again, last):
            await place_all(orders, (2, "bad"))
            await quiet(stage, again, last)
        assert await mail.seen() == [1, 2]


class AtWork:
    """A form-two handler that stands still in event 2 until it is let go, and then fails once."""

    def __init__(self, *fails: int) -> None:
        self.fails = list(fails)
        self.heard: list[int] = []
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.running: set[str] = set()
        self.together = False

    async def hear(self, event: Placed) -> None:
        self.heard.append(event.number)
        self.together = self.together or event.customer in self.running
        self.running.add(event.customer)
        try:
            if event.number == 2:
                self.reached.set()
                await self.go_on.wait()
            if event.number in self.fails:
                self.fails.remove(event.number)
                raise RuntimeError("no")
        finally:
            self.running.discard(event.customer)


@pytest.mark.parametrize("fails", [(), (2,)])
@pytest.mark.parametrize("parked", [True, False])
async def test_a_replayed_event_waits_for_the_one_of_its_key_at_work_and_goes_before_the_next(
    tmp_path: Path, parked: bool, fails: tuple[int, ...]
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        work = AtWork(1, 1, 4, *fails)
        once = Retries(
            quick=1, attempts=2, quick_waits=QUICK.quick_waits, parked_waits=QUICK.parked_waits
        )
        relay = stage.relay(orders)
        consumer = consumer_of(stage, mail, work.hear, once, takes_transaction=False)
        await consumer.register()
        letters = DeadLetters(mail.store, stage.clock)
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), *([(2, "bad")] if parked else []))
            await until(stage, partial(was_buried, consumer))
            await place_all(orders, *([] if parked else [(2, "bad")]), (3, "bad"))
            await work.reached.wait()
            assert len(await letters.replay(Selection(), {"mail.hear"})) == 1
            await place_all(orders, (4, "good"))
            await until(stage, lambda: work.heard.count(4) == 2)  # what is parked was looked at
            assert work.heard.count(1) == 2
            work.go_on.set()
            await quiet(stage, relay, consumer)
        order = [number for number in work.heard if number != 4]
        assert order == [1, 1, 2, 1, *fails, 3]
        assert not work.together
        assert await dead(mail) == []
        assert await mail.store.one(int, "select count(*) from borough_parked") == 0


async def test_the_cause_of_a_group_is_that_of_its_latest_event(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")

        async def hear(event: Placed, tx: Any) -> None:
            raise RuntimeError(event.customer)

        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear)
        await consumer.register()
        async with running(relay, consumer):
            for number, customer in enumerate(("anna", "zoe", "bob"), 1):
                await place_all(orders, (number, customer))
                await quiet(stage, relay, consumer)
        letters = DeadLetters(mail.store, stage.clock)
        (group,) = await letters.groups(Selection())
        assert (group.events, group.cause) == (3, "bob")
        first = (await letters.events(Selection(), 1))[0]
        (group,) = await letters.groups(Selection(event_id=first.event_id))
        assert (group.events, group.cause) == (1, "anna")
