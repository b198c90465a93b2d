"""A failing event holds up its key and nobody else, and ends as a dead letter that can be replayed."""

import asyncio
import gc
import logging
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from borough import Secret
from borough.errors import ProcessStalled, StoreUnavailable
from borough.ports import Message
from borough.reliability.backoff import Backoff
from borough.reliability.inbox import InboxTerms
from borough.reliability.lease import Terms
from borough.reliability.retries import Retries
from borough.runtime.dead_letters import DeadLetters, Selection
from tests.conftest import NET
from tests.runtime.parked import QUICK, Bad, consumer_of, dead, place_all, quiet, until, was_buried
from tests.runtime.stage import PLACED, TOPIC, Place, Placed, files_with, running, staged

PATIENT = Retries(
    quick=2, attempts=1000, quick_waits=QUICK.quick_waits, parked_waits=QUICK.parked_waits
)
"""Parks soon, and gives up late."""


async def test_a_failing_event_is_parked_and_the_position_goes_on(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        slow = Retries(quick=2, quick_waits=QUICK.quick_waits, parked_waits=Backoff(600, 900))
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, bad.hear, slow)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "good"), (3, "bad"), (4, "good"), (5, "bad"))
            await until(stage, lambda: consumer.parked == 3 and consumer.handled == 2)
        assert await mail.seen() == [2, 4]
        assert bad.attempts.count(1) == 2
        assert bad.attempts.count(3) == bad.attempts.count(5) == 0
        noted = await mail.store.one(int, "select position from borough_positions")
        assert noted == await stage.broker.end(TOPIC)
        assert await mail.store.all(
            tuple[int, bool], "select attempts, due is null from borough_parked order by number"
        ) == [(2, False), (0, True), (0, True)]


class Ill(Exception):
    """What fails, and holds all that its handler had at hand."""


async def test_of_many_events_that_are_parked_only_few_stay_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "borough.events")  # pytest keeps what is logged
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        raised: weakref.WeakSet[Ill] = weakref.WeakSet()

        async def hear(_event: Placed, _tx: Any) -> None:
            raised.add(error := Ill())
            raise error

        late = Retries(quick=2, quick_waits=QUICK.quick_waits, parked_waits=Backoff(600, 900))
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear, late)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, *((number, f"customer {number}") for number in range(100)))
            await until(stage, lambda: consumer.parked == 100)
            gc.collect()
            assert 0 < len(raised) < 50
        assert consumer.failed == 200


async def test_parked_events_are_handled_in_order_once_the_handler_is_mended(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, bad.hear, PATIENT)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, *((n, "bad" if n % 2 else "good") for n in range(20)))
            await until(stage, lambda: consumer.parked == 10 and consumer.handled == 10)
            assert not await consumer.quiet()
            bad.customers.clear()
            await place_all(orders, (21, "bad"))
            await quiet(stage, relay, consumer)
        seen = await mail.seen()
        assert [n for n in seen if n % 2] == [*range(1, 20, 2), 21]
        assert len(seen) == len(set(seen)) == 21
        assert await mail.store.one(int, "select count(*) from borough_parked") == 0
        assert await dead(mail) == []


async def test_the_last_attempt_makes_a_dead_letter_and_releases_its_followers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")

        async def hear(event: Placed, tx: Any) -> None:
            if event.number != 1:
                bad.customers.clear()
            await bad.hear(event, tx)

        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "bad"), (3, "bad"))
            await quiet(stage, relay, consumer)
        assert bad.attempts == [1, 1, 1, 1, 2, 3]
        assert await mail.seen() == [2, 3]
        assert await dead(mail) == [("RuntimeError", "bad", 4, "no bad here", "parked.py:hear")]
        assert consumer.buried == 1
        told = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
        assert [each.partition("(attempt")[2] for each in told] == [
            " 4), the last one: it is a dead letter now, not tried again by itself. "
            "`borough events dead mail.hear --events` shows it; `borough events replay mail.hear` "
            "has what is dead there handled again: RuntimeError('no bad here')"
        ]


async def test_a_parked_event_that_is_heard_no_more_says_so_when_it_dies(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        once = Retries(quick=2, quick_waits=QUICK.quick_waits, parked_waits=Backoff(1.0, 1.0))
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, bad.hear, once)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"))
            await until(stage, lambda: consumer.parked == 1)
        later = stage.consumer(
            mail,
            bad.hear,
            takes_transaction=True,
            events=(),
            terms=InboxTerms(retries=QUICK),
        )
        async with running(relay, later):
            await quiet(stage, relay, later)
        [(error, _, _, cause, _)] = await dead(mail)
        assert error.endswith("EventUnheard")
        assert cause == (
            "mail.hear has parked it and hears no orders.Orders.Placed any more; "
            "name that in its mark again, or drop the event"
        )


class Speechless(Exception):
    """It cannot even say what it is."""

    def __str__(self) -> str:
        raise AttributeError("no code")

    __repr__ = __str__


async def test_an_error_that_cannot_be_told_holds_up_only_its_key(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        attempts: list[int] = []

        async def hear(event: Placed, tx: Any) -> None:
            attempts.append(event.number)
            if event.customer == "bad":
                raise Speechless

        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "good"))
            await quiet(stage, relay, consumer)
        assert sorted(attempts) == [1, 1, 1, 1, 2]
        ((error, _, died_after, cause, _),) = await dead(mail)
        assert (error.rpartition(".")[2], died_after) == ("Speechless", 4)
        assert cause == "Speechless, which cannot be told (AttributeError)"


async def test_a_secret_in_what_an_error_said_is_not_stored(tmp_path: Path) -> None:
    secret = Secret("no bad here")
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, Bad("bad").hear)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"))
            await quiet(stage, relay, consumer)
        ((_, _, attempts, cause, _),) = await dead(mail)
        assert (attempts, cause) == (4, "***")
        # Neither is it in what the file and its WAL still hold of the parked row.
        assert await asyncio.to_thread(files_with, tmp_path, b"borough_parked")
        assert not await asyncio.to_thread(files_with, tmp_path, secret.reveal().encode())
    assert NET.taken()  # the handler's error is logged, too, for whoever masks it there


@pytest.mark.parametrize("takes_transaction", [True, False])
async def test_an_event_whose_handler_never_ends_is_put_aside_and_given_up(
    tmp_path: Path, takes_transaction: bool
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        heard: list[int] = []

        async def hear(event: Placed, *_: Any) -> None:
            heard.append(event.number)
            if event.number == 1:
                await asyncio.Event().wait()

        consumer = consumer_of(
            stage, mail, hear, deadline_s=0.5, takes_transaction=takes_transaction
        )
        await consumer.register()
        relay = stage.relay(orders)
        async with running(relay, consumer):
            await place_all(orders, (1, "ann"), (2, "ann"), (3, "bob"))
            await quiet(stage, relay, consumer)
        assert {2, 3} <= set(heard)
        ((error, _, attempts, cause, frame),) = await dead(mail)
        assert (error, attempts, frame) == ("TimeoutError", 4, "test_parking.py:hear")
        assert cause == "it had not ended after 0.5 s, and was cancelled"


async def test_a_dead_event_holds_its_followers_where_the_handler_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        relay = stage.relay(orders)
        consumer = consumer_of(stage, mail, bad.hear, on_dead="block")
        await consumer.register()
        letters = DeadLetters(mail.store, stage.clock)
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "bad"), (3, "good"))
            await quiet(stage, relay, consumer)
            await place_all(orders, (4, "bad"))
            await quiet(stage, relay, consumer)
            assert await mail.seen() == [3]
            assert (
                "not tried again by itself, and those behind it under its key wait." in caplog.text
            )
            bad.customers.clear()
            replayed = await letters.replay(Selection(), {"mail.hear"})
            assert [(event.key, event.holds) for event in replayed] == [("bad", True)]
            await quiet(stage, relay, consumer)
        assert await mail.seen() == [3, 1, 2, 4]
        assert await dead(mail) == []


async def test_dropping_what_holds_them_lets_the_followers_go_on(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")

        async def hear(event: Placed, tx: Any) -> None:
            await Bad(*({"bad"} if event.number == 1 else ())).hear(event, tx)

        relay = stage.relay(orders)
        consumer = consumer_of(stage, mail, hear, on_dead="block")
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "bad"), (3, "bad"))
            await quiet(stage, relay, consumer)
            assert await mail.seen() == []
            assert len(await DeadLetters(mail.store, stage.clock).drop(Selection())) == 1
            await quiet(stage, relay, consumer)
        assert await mail.seen() == [2, 3]
        assert await dead(mail) == []


async def test_a_redelivered_event_that_is_parked_or_dead_is_dropped(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, bad.hear)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "good"))
            await quiet(stage, relay, consumer)
        async with mail.store.transaction() as tx:
            await tx.execute("update borough_positions set position = 0")
        before = len(bad.attempts)
        consumer = consumer_of(stage, mail, bad.hear)
        async with running(consumer):
            await quiet(stage, consumer)
        assert (consumer.duplicates, len(bad.attempts)) == (2, before)
        assert len(await dead(mail)) == 1


async def test_form_two_stands_behind_the_parked_events_of_its_key(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        heard: list[int] = []
        mended = asyncio.Event()

        async def hear(event: Placed) -> None:
            if event.customer == "bad" and not mended.is_set():
                raise RuntimeError("no")
            heard.append(event.number)

        retries = Retries(
            quick=1, attempts=1000, quick_waits=QUICK.quick_waits, parked_waits=QUICK.parked_waits
        )
        relay = stage.relay(orders)
        consumer = consumer_of(stage, mail, hear, retries, takes_transaction=False)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"), (2, "bad"), (3, "good"), (4, "bad"))
            await until(stage, lambda: consumer.parked == 3 and heard == [3])
            mended.set()
            await quiet(stage, relay, consumer)
        assert heard == [3, 1, 2, 4]


async def test_an_event_that_takes_its_process_down_is_parked_and_then_dead(
    tmp_path: Path,
) -> None:
    """A crash is a role that is not given back: the consumer is cancelled, its lease left as it is."""
    async with staged(tmp_path, terms=Terms(0.05, 0.02)) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay = stage.relay(orders)
        await consumer_of(stage, mail, None).register()
        async with running(relay):
            await place_all(orders, (1, "bad"), (2, "good"))
            await quiet(stage, relay)
        begun: list[int] = []
        crashes = 0
        retries = Retries(
            quick=2, attempts=8, quick_waits=QUICK.quick_waits, parked_waits=QUICK.parked_waits
        )
        while crashes < 30:
            entered = asyncio.Event()

            async def hear(event: Placed, tx: Any, entered: asyncio.Event = entered) -> None:
                begun.append(event.number)
                if event.customer == "bad":
                    entered.set()
                    await asyncio.Event().wait()
                await Bad().hear(event, tx)

            place = Place("mail", mail.store, stage.clock, stage.terms)
            lease = None
            while lease is None:
                lease = await place.leases.take(f"consume mail.hear {TOPIC}")
            consumer = consumer_of(stage, place, hear, retries)
            work = asyncio.create_task(consumer._consume(lease))
            done = asyncio.create_task(until(stage, partial(was_buried, consumer)))
            met = asyncio.create_task(entered.wait())
            await asyncio.wait([done, met], return_when=asyncio.FIRST_COMPLETED)
            over = done.done()
            for task in (work, done, met):
                task.cancel()
            await asyncio.gather(work, done, met, return_exceptions=True)
            if over:
                break
            crashes += 1
        consumer = consumer_of(
            stage, Place("mail", mail.store, stage.clock, stage.terms), Bad().hear
        )
        async with running(consumer):  # the innocent one may still be parked
            await quiet(stage, consumer)
        assert begun.count(1) == crashes
        assert (
            crashes <= 2 * retries.attempts
        )  # the first has counted nothing, and who waits is passed over
        assert await mail.seen() == [2]
        ((error, key, attempts, cause, _),) = await dead(mail)
        assert (error, key) == ("borough.runtime.course.Died", "bad")
        assert attempts >= retries.quick
        assert "the process ended while this event was handled" in cause


async def test_a_crowded_parking_stops_reading_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        narrow = Retries(
            quick=1,
            attempts=1000,
            quick_waits=QUICK.quick_waits,
            parked_waits=QUICK.parked_waits,
            behind=3,
        )
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, bad.hear, narrow)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, *((n, "bad") for n in range(8)))
            await until(stage, lambda: "reads no further" in caplog.text)
            assert await mail.store.one(int, "select count(*) from borough_parked") == 3
            bad.customers.clear()
            await quiet(stage, relay, consumer)
        assert await mail.seen() == list(range(8))


async def test_a_database_that_cannot_be_had_is_not_the_fault_of_the_event(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        failures = 0

        async def hear(event: Placed, tx: Any) -> None:
            nonlocal failures
            if failures < 6:
                failures += 1
                raise StoreUnavailable("the disk is full")
            await Bad().hear(event, tx)

        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "ann"), (2, "ann"))
            await quiet(stage, relay, consumer)
        assert await mail.seen() == [1, 2]
        assert (consumer.parked, consumer.buried) == (0, 0)


async def test_an_unreadable_event_is_dead_at_once(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        consumer = consumer_of(stage, mail, Bad().hear)
        await consumer.register()
        broken = Message("b", TOPIC, PLACED.wire_name, "ann", 1, b'{"specversion":"1.0"}')
        async with running(consumer):
            await stage.broker.publish([broken])
            await until(stage, lambda: consumer.buried == 1)
            assert await consumer.quiet()
        ((error, key, attempts, cause, _),) = await dead(mail)
        assert (error, key, attempts) == ("borough.runtime.envelope.EventUnreadable", "ann", 1)
        assert "missing required field `id`" in cause


async def test_a_time_from_before_a_clock_was_set_back_does_not_hold_an_event(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        bad = Bad("bad")
        slow = Retries(quick=1, quick_waits=QUICK.quick_waits, parked_waits=Backoff(500, 500))
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, bad.hear, slow)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "bad"))
            await until(stage, lambda: consumer.parked == 1)
        async with mail.store.transaction() as tx:
            await tx.execute("update borough_parked set due = due + 3600")
        bad.customers.clear()
        consumer = consumer_of(stage, mail, bad.hear, slow)
        async with running(consumer):
            await quiet(stage, consumer)
        assert await mail.seen() == [1]


async def test_a_body_that_stands_still_counts_like_any_failure(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")

        async def hear(event: Placed, tx: Any) -> None:
            raise ProcessStalled("the process stood still")

        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "ann"))
            await quiet(stage, relay, consumer)
        assert [row[0] for row in await dead(mail)] == ["borough.errors.ProcessStalled"]


async def test_failures_of_the_database_are_not_held_against_an_event_that_fails_later(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        runs: list[BaseException] = []

        async def hear(event: Placed, tx: Any) -> None:
            innocent = len(runs) < 3 or len(runs) in range(5, 11)  # also while it is parked
            error = StoreUnavailable("the disk is full") if innocent else ValueError("no")
            runs.append(error)
            raise error

        retries = Retries(
            quick=2, attempts=4, quick_waits=Backoff(0.001, 0.001), parked_waits=Backoff(0.01, 0.02)
        )
        relay, consumer = stage.relay(orders), consumer_of(stage, mail, hear, retries)
        await consumer.register()
        async with running(relay, consumer):
            await place_all(orders, (1, "ann"))
            await quiet(stage, relay, consumer)
        assert [type(error) for error in runs].count(ValueError) == 4
        ((error, _, attempts, cause, _),) = await dead(mail)
        assert (error, attempts, cause) == ("ValueError", 4, "no")
