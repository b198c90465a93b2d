"""What has been kept for long enough is deleted, and nothing that may still be needed."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from borough import Database, Event, Service, System, contract, on
from borough.contracts.retention import Retention
from borough.errors import ConfigurationError, StoreUnavailable
from borough.reliability.idempotency import LONGEST_MARK_S
from borough.reliability.lease import Lease, LeaseLost
from borough.runtime.configuration import Configuration
from borough.runtime.duration import Duration
from borough.runtime.housekeeping import Housekeeping, HousekeepingTerms
from borough.runtime.pulse import until_quiet
from borough.testing import start
from borough.testing.clock import ManualClock
from tests.runtime.stage import TOPIC, Place, Placed, Stage, remember, running, staged

DAY = 86_400.0


@asynccontextmanager
async def kept(
    folder: Path, terms: HousekeepingTerms | None = None
) -> AsyncGenerator[tuple[ManualClock, Stage, Place, Housekeeping]]:
    clock = ManualClock()
    async with staged(folder, clock) as stage:
        mail = await stage.place("mail")
        keeping = Housekeeping(
            "mail", mail.store, mail.leases, clock, stage.broker, ["mail.hear"], {}, terms
        )
        yield clock, stage, mail, keeping


async def leased(place: Place) -> Lease:
    lease = await place.leases.take("housekeeping")
    assert lease is not None
    return lease


async def write(place: Place, sql: str, *rows: tuple[Any, ...]) -> None:
    async with place.store.transaction() as tx:
        await tx.many(sql, rows)


async def inbox(place: Place, done_at: float, *ids: str, handler: str = "mail.hear") -> None:
    rows = [(handler, event_id, done_at) for event_id in ids]
    await write(place, "insert into borough_inbox values ($1, 1, $2, $3, 1)", *rows)


async def remembered(place: Place) -> list[str]:
    return await place.store.all(str, "select event_id from borough_inbox order by event_id")


async def noted(place: Place, noted_at: float, handler: str = "mail.hear") -> None:
    await write(
        place,
        "insert or replace into borough_positions (handler, topic, position, noted_at) "
        f"values ($1, '{TOPIC}', 1, $2)",
        (handler, noted_at),
    )


async def test_the_inbox_forgets_what_is_older_than_its_retention(tmp_path: Path) -> None:
    async with kept(tmp_path) as (clock, _, mail, keeping):
        now = clock.epoch_s()
        await noted(mail, now)
        await inbox(mail, now - 7 * DAY - 1, "old")
        await inbox(mail, now - 7 * DAY + 1, "young")
        await keeping.sweep(await leased(mail))
        assert await remembered(mail) == ["young"]
        assert keeping.counts.inbox == 1


async def test_the_inbox_of_a_handler_that_was_away_is_kept(tmp_path: Path) -> None:
    async with kept(tmp_path) as (clock, _, mail, keeping):
        now = clock.epoch_s()
        await noted(mail, now)
        await noted(mail, now - 30 * DAY, "mail.gone")
        for handler in ("mail.hear", "mail.gone"):
            await inbox(mail, now - 29 * DAY, f"{handler} after", handler=handler)
            await inbox(mail, now - 36.9 * DAY, f"{handler} before", handler=handler)
            await inbox(mail, now - 37.1 * DAY, f"{handler} long before", handler=handler)
        await keeping.sweep(await leased(mail))
        assert await remembered(mail) == ["mail.gone after", "mail.gone before"]


async def test_an_outage_longer_than_the_retention_doubles_nothing(tmp_path: Path) -> None:
    async with kept(tmp_path) as (clock, stage, mail, keeping):
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        async with running(relay, consumer):
            for number in range(20):
                await orders.place_order(number)
            await until_quiet([relay, consumer], stage.activity)
        # As if it had been killed before it noted how far it was.
        async with mail.store.transaction() as tx:
            await tx.execute("update borough_positions set position = 0")
        clock.advance(30 * DAY)
        await keeping.sweep(await leased(mail))
        again = stage.consumer(mail, remember(mail), takes_transaction=True)
        async with running(again):
            await until_quiet([again], stage.activity)
        assert await mail.seen() == list(range(20))
        assert again.duplicates == 20
        clock.advance(7 * DAY + 1)
        await noted(mail, clock.epoch_s())
        await keeping.sweep(await leased(mail))
        assert await remembered(mail) == []


async def test_what_has_overtaken_an_event_that_stood_still_for_long_is_not_done_again(
    tmp_path: Path,
) -> None:
    async with kept(tmp_path) as (clock, stage, mail, keeping):
        orders = await stage.place("orders")
        relay = stage.relay(orders)
        let_go: set[int] = set()

        async def hear(event: Placed, tx: Any) -> None:
            if event.customer == "ann" and event.number not in let_go:
                raise StoreUnavailable("not the event's fault, and not for all")
            await remember(mail)(event, tx)

        consumer = stage.consumer(mail, hear, takes_transaction=True)
        await consumer.register()
        async with running(relay, consumer):
            for number, customer in enumerate(("ann", "ann", "bob")):
                await orders.place_order(number, customer)
            await passing(clock, lambda: consumer.handled == 1)
            clock.advance(8 * DAY)
            let_go.add(0)
            await passing(clock, lambda: consumer.noted.count > 0)
            await keeping.sweep(await leased(mail))
        again = stage.consumer(mail, remember(mail), takes_transaction=True)
        async with running(again):
            await until_quiet([again], stage.activity)
        assert await mail.seen() == [2, 0, 1]
        clock.advance(7 * DAY + 1)
        await noted(mail, clock.epoch_s())
        await keeping.sweep(await leased(mail))
        assert await remembered(mail) == []


async def passing(clock: ManualClock, is_so: Callable[[], bool]) -> None:
    """Let time pass until it is so."""
    async with asyncio.timeout(20):
        while not is_so():  # what waits, waits on the clock
            clock.advance(0.5)
            await asyncio.sleep(0.001)


async def test_a_past_generation_is_forgotten_at_once(tmp_path: Path) -> None:
    async with kept(tmp_path) as (clock, _, mail, keeping):
        now = clock.epoch_s()
        await noted(mail, now)
        rows = [
            ("mail.hear", generation, str(number), now)
            for generation in (1, 2, 3)
            for number in range(700)
        ]
        for table, columns in (("inbox", "$4, 1"), ("attempts", "1, $4")):
            sql = f"insert into borough_{table} values ($1, $2, $3, {columns})"
            await write(mail, sql, *rows, ("mail.other", 1, "x", now))
        await write(mail, "insert into borough_generations values ($1, 3, 3, '')", ("mail.hear",))
        await keeping.sweep(await leased(mail))
        for table in ("inbox", "attempts"):
            found = await mail.store.all(
                tuple[str, int, int],
                f"select handler, generation, count(*) from borough_{table} group by 1, 2",
            )
            assert found == [("mail.hear", 3, 700), ("mail.other", 1, 1)]
        assert (keeping.counts.inbox, keeping.counts.attempts) == (1400, 1400)


async def test_old_attempts_answers_and_marks_go(tmp_path: Path) -> None:
    async with kept(tmp_path) as (clock, _, mail, keeping):
        now = clock.epoch_s()
        for name, age in (("old", 1.0), ("young", -1.0)):
            begun, made, until = (
                now - 7 * DAY - age,
                now - 15 * DAY - age,
                now - LONGEST_MARK_S - age,
            )
            await write(
                mail, "insert into borough_attempts values ('h', 1, $1, 1, $2)", (name, begun)
            )
            await write(
                mail,
                "insert into borough_answers values ('o', '', $1, x'', 'value', x'', $2)",
                (name, made),
            )
            await write(
                mail, "insert into borough_marks values ('o', '', $1, 'me', $2)", (name, until)
            )
        await keeping.sweep(await leased(mail))
        for table, column in (("attempts", "event_id"), ("answers", "key"), ("marks", "key")):
            assert await mail.store.all(str, f"select {column} from borough_{table}") == ["young"]
        counts = keeping.counts
        assert (counts.attempts, counts.answers, counts.marks) == (1, 1, 1)


DEAD = """
insert into borough_dead (number, handler, generation, topic, event_id, type, sequence, body, attempts,
    parked_at, died_at, error, cause, frame, fingerprint)
values ($1, 'mail.hear', 1, 't', $2, 'x', 1, x'', 8, 0, $3, 'e', 'c', 'f', 'p')
"""
PARKED = """
insert into borough_parked (number, handler, generation, topic, event_id, type, sequence, body, attempts,
    parked_at) values ($1, 'mail.hear', 1, 't', $2, 'x', 1, x'', 8, 0)
"""


async def test_what_a_clock_from_before_borough_has_stamped_is_kept_as_long_as_anything(
    tmp_path: Path,
) -> None:
    async with kept(tmp_path) as (clock, _, mail, keeping):
        lease, answered = await leased(mail), "select key from borough_answers"
        answer = "insert into borough_answers values ('o', '', $1, x'', 'value', x'', $2)"
        await write(mail, DEAD, *((number, f"dead {number}", 90.0) for number in range(300)))
        await write(mail, answer, ("charge", 90.0))
        for days in (0, 13):
            clock.advance(days * DAY)
            await keeping.sweep(lease)
            assert await mail.store.one(int, "select count(*) from borough_dead") == 300
            assert await mail.store.all(str, answered) == ["charge"]
        clock.advance(3 * DAY)
        await keeping.sweep(lease)
        assert (keeping.counts.dead, keeping.counts.answers) == (300, 1)


async def test_a_sweep_while_the_clock_is_from_before_borough_ends(tmp_path: Path) -> None:
    clock = ManualClock(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    async with staged(tmp_path, clock) as stage:
        mail = await stage.place("mail")
        keeping = Housekeeping("mail", mail.store, mail.leases, clock, stage.broker, [], {})
        await write(mail, DEAD, (1, "dead", 60.0))
        await keeping.sweep(await leased(mail))
        assert keeping.counts.dead == 0


async def test_old_dead_events_go_unless_they_hold_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(tmp_path) as (clock, _, mail, keeping):
        now = clock.epoch_s()
        await write(mail, DEAD, (1, "old", now - 15 * DAY), (2, "holding", now - 99 * DAY))
        await write(mail, DEAD, (3, "young", now - 13 * DAY))
        await write(mail, PARKED, (2, "holding"))
        await keeping.sweep(await leased(mail))
        found = await mail.store.all(str, "select event_id from borough_dead order by number")
        assert found == ["holding", "young"]
        assert keeping.counts.dead == 1
        assert "1 dead events were kept for 336 h and nobody replayed them" in caplog.text


async def test_a_process_that_lost_the_role_deletes_nothing(tmp_path: Path) -> None:
    async with kept(tmp_path) as (clock, _, mail, keeping):
        await noted(mail, clock.epoch_s())
        await inbox(mail, 0.0, "old")
        lease = await leased(mail)
        await write(mail, "update borough_leases set epoch = epoch + $1", (1,))
        with pytest.raises(LeaseLost):
            await keeping.sweep(lease)
        assert await remembered(mail) == ["old"]


async def test_it_works_in_batches_between_which_others_have_their_turn(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        clock = stage.clock
        await noted(mail, clock.epoch_s())
        rows = [(f"{number:06}", clock.epoch_s() - 8 * DAY) for number in range(20_000)]
        await write(mail, "insert into borough_inbox values ('mail.hear', 1, $1, $2, 1)", *rows)
        keeping = Housekeeping("mail", mail.store, mail.leases, clock, stage.broker, [], {})
        sweep = asyncio.create_task(keeping.sweep(await leased(mail)))
        seen: set[int] = set()
        while not sweep.done():
            async with mail.store.transaction() as tx:
                seen.add(await tx.one(int, "select count(*) from borough_inbox"))
        await sweep
        assert await remembered(mail) == []
        gone = sorted(seen)
        assert len(gone) > 5
        assert max(b - a for a, b in itertools.pairwise(gone)) <= 2 * 2000


async def test_it_sweeps_each_interval_and_lives_through_a_failed_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    terms = HousekeepingTerms(every_s=60.0)
    async with kept(tmp_path, terms) as (clock, _, mail, keeping):
        await noted(mail, clock.epoch_s() + 30 * DAY)

        async def swept(count: int) -> None:
            async with asyncio.timeout(5):
                while keeping.counts.sweeps + keeping.counts.failed < count:  # noqa: ASYNC110
                    await asyncio.sleep(0)

        async def asleep() -> None:
            async with asyncio.timeout(5):
                while sum(not w.done() for *_, w in clock._sleepers) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0)

        async with running(keeping):
            for count in (1, 2):
                await inbox(mail, 0.0, f"{count}")
                await asleep()
                clock.advance(60.0)
                await swept(count)
                assert await remembered(mail) == []
            await write(mail, "alter table borough_dead rename to dead_away", ())
            await asleep()
            clock.advance(60.0)
            await swept(3)
            assert keeping.counts.failed == 1
            assert "mail: housekeeping goes on later" in caplog.text
            await write(mail, "alter table dead_away rename to borough_dead", ())
            await inbox(mail, 0.0, "last")
            await asleep()
            clock.advance(60.0)
            await swept(4)
            assert await remembered(mail) == []


async def test_its_own_topics_are_trimmed_as_they_say(tmp_path: Path) -> None:
    async with kept(tmp_path) as (clock, stage, _, _):
        orders = await stage.place("orders")
        retention = Retention("age", 3600)
        keeping = Housekeeping(
            "orders", orders.store, orders.leases, clock, stage.broker, [], {TOPIC: retention}
        )
        lease = await leased(orders)
        relay = stage.relay(orders)
        async with running(relay):
            for hour in range(6):
                for number in range(10):
                    await orders.place_order(10 * hour + number)
                await until_quiet([relay], stage.activity)
                await keeping.sweep(lease)
                clock.advance(3600)
        facts = await stage.broker.facts(TOPIC)
        assert 0 < facts.records <= 20
        assert keeping.counts.trimmed_events == 60 - facts.records
        assert keeping.counts.trimmed_bytes > 0


class Heard(Event):
    """Something was heard."""

    number: int


@contract("source", version="1.0", publishes=[Heard], retains="30d")
class Source(Protocol):
    """Publishes what it keeps for a month."""


class SourceService(Service, Source, name="source"):
    db: Database


class EarService(Service, name="ear"):
    @on(Heard, name="listen")
    async def hear(self, event: Heard) -> None:
        """Do nothing."""


async def test_an_inbox_that_forgets_before_its_topics_is_refused_at_the_start() -> None:
    system = System([SourceService, EarService])
    expected = "events.inbox_for is 7d, and ear.listen hears source.Source, which retains 30d"
    with pytest.raises(ConfigurationError, match=expected):
        async with start(system):
            pass
    async with start(system, settings={"events.inbox_for": "30d"}) as running_system:
        await running_system.quiet()


async def test_it_works_in_a_system_that_runs() -> None:
    settings = {"events.housekeeping_every_s": 0.05, "events.inbox_for": "30d"}
    async with start(System([SourceService, EarService]), settings=settings) as system:
        db = system.database("ear")
        async with db.transaction() as tx:
            await tx.execute("insert into borough_inbox values ('ear.listen', 1, 'old', 0.0, 1)")
        async with asyncio.timeout(10):
            while await db.all(int, "select 1 from borough_inbox"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "1.5h", "7 d", "7w", "7D", "\u0667d"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of time; write a number above zero and s"):
        Duration(text)


def test_a_length_of_time_keeps_its_text(tmp_path: Path) -> None:
    assert [Duration(text).seconds for text in ("30s", "90m", "24h", "7d")] == [
        30,
        5400,
        86_400,
        604_800,
    ]
    loaded = Configuration.load(tmp_path, {"BOROUGH_EVENTS_DEAD_FOR": "36h"})
    assert loaded.options.events.dead_for.seconds == 36 * 3600
    assert ("events.dead_for", "36h", "BOROUGH_EVENTS_DEAD_FOR") in loaded.explain()
    with pytest.raises(
        ConfigurationError, match=r"BOROUGH_LIMITS_ANSWERS_FOR: limits\.answers_for: 'x'"
    ):
        Configuration.load(tmp_path, {"BOROUGH_LIMITS_ANSWERS_FOR": "x"})
