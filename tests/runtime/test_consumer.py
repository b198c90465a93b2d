"""Events are handled once, in order per key, and a failing key holds up no other."""

import asyncio
import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from borough.errors import BrokerError, StoreUnavailable, TransactionConflict
from borough.ports import Message
from borough.reliability.backoff import Backoff
from borough.reliability.inbox import InboxTerms
from borough.reliability.lease import Lease, LeaseLost
from borough.reliability.retries import Retries
from borough.runtime.positions import Positions
from borough.runtime.pulse import until_quiet
from borough.services.context import current_call, inside_transaction
from borough.telemetry.trace import read_traceparent
from borough.testing.clock import ManualClock
from tests.runtime.stage import TOPIC, Place, Placed, Stage, remember, running, staged


async def test_form_one_commits_its_effects_with_its_inbox_row(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay = stage.relay(orders)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        async with running(relay, consumer):
            await asyncio.gather(*(orders.place_order(n, f"c{n % 9}") for n in range(300)))
            await until_quiet([relay, consumer], stage.activity)
        assert sorted(await mail.seen()) == list(range(300))
        assert await mail.store.one(int, "select count(*) from borough_inbox") == 300
        assert consumer.handled == 300


def tasks_that_stand() -> set[asyncio.Task[Any]]:
    gc.collect()
    return {found for found in gc.get_objects() if isinstance(found, asyncio.Task)}


async def test_a_handled_event_leaves_no_task_behind(tmp_path: Path) -> None:
    before = tasks_that_stand()  # other tests leave some, too
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay = stage.relay(orders)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        async with running(relay, consumer):
            await asyncio.gather(*(orders.place_order(n, f"c{n}") for n in range(200)))
            await until_quiet([relay, consumer], stage.activity)
            left = tasks_that_stand() - before
        assert consumer.handled == 200
        assert len(left) < 100


async def test_order_holds_per_key_while_handlers_fail_at_random(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        attempts: dict[int, int] = {}

        async def hear(event: Placed, tx: Any) -> None:
            attempts[event.number] = attempts.get(event.number, 0) + 1
            if attempts[event.number] <= event.number * 7919 % 5 - 2:
                raise RuntimeError("not yet")
            await tx.execute(
                "insert into seen (number, customer) values ($1, $2)", event.number, event.customer
            )

        relay = stage.relay(orders)
        consumer = stage.consumer(mail, hear, takes_transaction=True)
        await consumer.register()
        async with running(relay, consumer):
            for number in range(60):
                await orders.place_order(number, f"c{number % 5}")
            async with asyncio.timeout(20):
                await until_quiet([relay, consumer], stage.activity)
        for customer in range(5):
            mine = await mail.store.all(
                int, "select number from seen where customer = $1 order by place", f"c{customer}"
            )
            assert mine == list(range(customer, 60, 5))
        assert consumer.failed == consumer.retries > 0


@pytest.mark.parametrize("error", [RuntimeError("cannot"), SystemExit(3)])
async def test_a_failing_key_waits_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        mended, seen = asyncio.Event(), asyncio.Event()

        async def hear(event: Placed) -> None:
            if event.customer == "bad" and not mended.is_set():
                raise error
            order.append(event.number)
            if event.number == 50:
                seen.set()

        order: list[int] = []
        relay = stage.relay(orders)
        terms = InboxTerms(retries=Retries(parked_waits=Backoff(0.01, 0.1), attempts=1000))
        consumer = stage.consumer(mail, hear, takes_transaction=False, terms=terms)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1, "bad")
            await orders.place_order(2, "bad")
            for number in range(3, 51):
                await orders.place_order(number, "good")
            async with asyncio.timeout(10):
                await seen.wait()
            assert order == list(range(3, 51))
            mended.set()
            async with asyncio.timeout(20):
                await until_quiet([relay, consumer], stage.activity)
        assert order[-2:] == [1, 2]
        event_id = await mail.store.one(str, "select min(event_id) from borough_inbox")
        assert f"mail.hear failed on event {event_id} (attempt 1)" in caplog.text


class SleepCounter(ManualClock):
    """Manual time that counts how often somebody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


async def test_a_due_event_waits_for_a_free_slot_without_any_work(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := SleepCounter()) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        busy, free, again = asyncio.Event(), asyncio.Event(), asyncio.Event()
        attempts: list[int] = []

        async def hear(event: Placed) -> None:
            attempts.append(event.number)
            if attempts == [1]:
                raise RuntimeError("not yet")
            if event.number == 1:
                again.set()
            else:
                busy.set()
                await free.wait()

        relay = stage.relay(orders)
        terms = InboxTerms(at_once=1)
        consumer = stage.consumer(mail, hear, takes_transaction=False, terms=terms)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1, "ann")
            await orders.place_order(2, "bob")
            async with asyncio.timeout(10):
                await busy.wait()
                clock.advance(1.0)  # the first event is due again, and the only slot is taken
                before = clock.sleeps
                for _ in range(300):
                    await asyncio.sleep(0)
                assert clock.sleeps - before < 10
                free.set()
                await again.wait()
        assert attempts == [1, 2, 1]


async def test_an_event_appended_twice_takes_effect_once(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        await orders.place_order(1)
        row = await orders.store.one(dict[str, Any], "select * from borough_outbox")
        async with running(consumer):
            for _ in range(3):
                await stage.broker.publish([Message(**row)])
                for log in stage.broker._logs.values():
                    assert log.writer is not None
                    log.writer._recent.clear()  # as if thousands had been written in between
            await until_quiet([consumer], stage.activity)
        assert await mail.seen() == [1]
        assert consumer.duplicates == 2


async def test_an_event_is_redelivered_after_its_position_was_lost_and_dropped(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay = stage.relay(orders)
        heard: list[int] = []

        async def hear(event: Placed) -> None:
            heard.append(event.number)

        one = stage.consumer(mail, remember(mail), takes_transaction=True, name="one")
        two = stage.consumer(mail, hear, takes_transaction=False, name="two")
        await one.register()
        await two.register()
        async with running(relay, one, two):
            for number in range(20):
                await orders.place_order(number)
            await until_quiet([relay, one, two], stage.activity)
        async with mail.store.transaction() as tx:
            await tx.execute("update borough_positions set position = 0")
        one = stage.consumer(mail, remember(mail), takes_transaction=True, name="one")
        two = stage.consumer(mail, hear, takes_transaction=False, name="two")
        async with running(one, two):
            await until_quiet([one, two], stage.activity)
        assert await mail.seen() == heard == list(range(20))
        assert (one.duplicates, two.duplicates) == (20, 20)


async def test_a_new_handler_starts_now_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay = stage.relay(orders)
        async with running(relay):
            await orders.place_order(1)
            await until_quiet([relay], stage.activity)
            first = stage.consumer(mail, remember(mail), takes_transaction=True)
            await first.register()
            await orders.place_order(2)
            async with running(first):
                await until_quiet([relay, first], stage.activity)
            await orders.place_order(3)
            second = stage.consumer(mail, remember(mail), takes_transaction=True)
            await second.register()
            async with running(second):
                await until_quiet([relay, second], stage.activity)
        assert await mail.seen() == [2, 3]
        assert second.duplicates == 0


async def test_events_that_a_handler_does_not_hear_are_passed_over(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay = stage.relay(orders)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True, events=())
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1)
            await until_quiet([relay, consumer], stage.activity)
        noted = await mail.store.one(int, "select position from borough_positions")
        assert noted == await stage.broker.end(TOPIC)
        assert consumer.handled == 0


async def test_events_of_another_topic_of_the_publisher_keep_nobody_from_quiet(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        async with running(consumer):
            await stage.broker.publish([Message("s", "orders.Stock", "x", None, 1, b"{}")])
            async with asyncio.timeout(5):
                await until_quiet([consumer], stage.activity)
            assert await consumer.quiet()


async def test_the_handler_of_form_two_sees_a_call_with_a_stable_key(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        calls: list[Any] = []

        async def hear(event: Placed) -> None:
            assert not inside_transaction()
            calls.append(current_call())
            if len(calls) == 1:
                raise RuntimeError("once more")

        relay = stage.relay(orders)
        consumer = stage.consumer(mail, hear, takes_transaction=False)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1)
            async with asyncio.timeout(5):
                await until_quiet([relay, consumer], stage.activity)
        first, second = calls
        event_id = await mail.store.one(str, "select event_id from borough_inbox")
        assert first.key == second.key == f"mail.hear/{event_id}"
        assert first.event_id == event_id
        assert (first.caller, first.service) == ("mail", "mail")
        assert read_traceparent(first.trace.traceparent) is not None
        assert 0 < first.deadline - stage.clock.monotonic() <= 30


async def test_calls_are_marked_as_inside_a_transaction_in_form_one(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        inside: list[bool] = []

        async def hear(event: Placed, tx: Any) -> None:
            inside.append(inside_transaction())

        relay = stage.relay(orders)
        consumer = stage.consumer(mail, hear, takes_transaction=True)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1)
            await until_quiet([relay, consumer], stage.activity)
        assert inside == [True]


async def test_a_conflict_reruns_form_one_at_once(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        runs: list[int] = []

        async def hear(event: Placed, tx: Any) -> None:
            runs.append(event.number)
            if len(runs) < 4:
                raise TransactionConflict("another was first")

        relay = stage.relay(orders)
        consumer = stage.consumer(mail, hear, takes_transaction=True)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1)
            await until_quiet([relay, consumer], stage.activity)
        assert (runs, consumer.failed, consumer.handled) == ([1, 1, 1, 1], 0, 1)


async def test_the_effects_of_a_fenced_consumer_are_refused(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        entered, resume = asyncio.Event(), asyncio.Event()

        async def hear(event: Placed) -> None:
            entered.set()
            await resume.wait()

        await _registered(stage, mail)
        await orders.place_order(1)
        relay = stage.relay(orders)
        async with running(relay):
            await until_quiet([relay], stage.activity)
        consumer = stage.consumer(mail, hear, takes_transaction=False)
        lease = await mail.leases.take("consume")
        assert lease is not None
        consuming = asyncio.create_task(consumer._consume(lease))
        await entered.wait()
        async with mail.store.transaction() as tx:
            await tx.execute("update borough_leases set epoch = epoch + 1, owner = 'other'")
        resume.set()
        with pytest.raises(ExceptionGroup) as lost:
            await consuming
        assert lost.value.split(LeaseLost)[1] is None
        assert await mail.store.all(str, "select event_id from borough_inbox") == []


async def _registered(stage: Stage, mail: Place) -> None:
    await stage.consumer(mail, remember(mail), takes_transaction=True).register()


async def test_stopping_lets_running_handlers_finish(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        entered, resume = asyncio.Event(), asyncio.Event()

        async def hear(event: Placed) -> None:
            entered.set()
            await resume.wait()

        relay = stage.relay(orders)
        consumer = stage.consumer(mail, hear, takes_transaction=False)
        await consumer.register()
        async with running(relay):
            task = asyncio.create_task(consumer.run())
            await orders.place_order(1)
            await orders.place_order(2)
            await entered.wait()
            consumer.stop()
            resume.set()
            await task
        assert consumer.handled == 1
        noted = await mail.store.one(int, "select position from borough_positions")
        assert 0 < noted < await stage.broker.end(TOPIC)


async def test_a_handler_that_outlives_the_grace_is_cancelled(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        entered, cancelled = asyncio.Event(), asyncio.Event()

        async def hear(event: Placed) -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        relay = stage.relay(orders)
        terms = InboxTerms(grace_s=0.01)
        consumer = stage.consumer(mail, hear, takes_transaction=False, terms=terms)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1)
            await entered.wait()
        assert cancelled.is_set()
        assert await mail.store.all(str, "select event_id from borough_inbox") == []


async def test_a_handler_that_outlives_its_deadline_is_tried_again(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        runs: list[int] = []

        async def hear(event: Placed) -> None:
            runs.append(event.number)
            if len(runs) == 1:
                await asyncio.Event().wait()

        relay = stage.relay(orders)
        terms = InboxTerms(deadline_s=0.5)
        consumer = stage.consumer(mail, hear, takes_transaction=False, terms=terms)
        await consumer.register()
        async with running(relay, consumer):
            await orders.place_order(1)
            async with asyncio.timeout(20):
                await until_quiet([relay, consumer], stage.activity)
        assert runs == [1] * (1 + consumer.failed)  # a machine that stands still is late once more
        assert (consumer.failed > 0, consumer.handled) == (True, 1)


async def test_a_note_that_failed_loses_no_number(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        relay = stage.relay(orders)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        positions, failures = consumer.positions, 0

        class Failing(Positions):
            async def write(
                self,
                lease: Lease,
                position: int,
                sequence: int,
                places: str = "",
                settled_at: float | None = None,
            ) -> None:
                nonlocal failures
                failures += 1
                if failures == 1:
                    raise StoreUnavailable("the disk is full")
                await positions.write(lease, position, sequence, places, settled_at)

        consumer.positions = Failing("mail.hear", TOPIC, mail.db, stage.broker)
        async with running(relay, consumer):
            await orders.place_order(1, "ann")
            await orders.place_order(2, "bob")
            async with asyncio.timeout(20):
                await consumer.noted.wait(0)
        assert failures > 1
        assert await mail.store.one(int, "select sequence from borough_positions") == 2


class Unsure:
    """A broker whose log begins anew, and which cannot say where it ends. `is_closed`: a reading of it was closed."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self.is_closed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def end(self, _topic: str) -> int:
        raise BrokerError("it does not answer")

    async def subscribe(self, _group: str, _topic: str, position: int) -> Any:
        return SimpleNamespace(position=position - 1, close=self._close)

    async def _close(self) -> None:
        self.is_closed.set()


async def test_a_reading_whose_beginning_fails_is_closed(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        unsure: Any = Unsure(stage.broker)
        consumer.broker = unsure
        async with running(consumer), asyncio.timeout(20):
            await unsure.is_closed.wait()
