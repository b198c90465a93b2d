"""Retention: what is old goes in whole segments, what is not stays, and nobody misses it unsaid."""

import asyncio
import fcntl
from pathlib import Path

import msgspec
import pytest

from borough.brokers.embedded import EmbeddedBroker
from borough.contracts.retention import FOREVER, Retention
from borough.ports import TopicFacts, Trimmed
from borough.testing.clock import ManualClock
from tests.brokers.appending_process import numbered
from tests.brokers.topic import (
    TOPIC,
    close_segment,
    everything,
    opened,
    segments_of,
    take,
    take_all,
)

HOUR = 3600
DAY = Retention("age", 24 * HOUR)


async def hourly(broker: EmbeddedBroker, clock: ManualClock, first: int, hours: int) -> None:
    """An event each hour; trimmed as often, so that a segment holds what a part of a day brought."""
    for number in range(first, first + hours):
        await broker.publish([numbered(number)])
        clock.advance(HOUR)
        await broker.trim(TOPIC, DAY, clock.epoch_s())


async def test_what_is_older_than_retained_goes_and_what_is_not_stays(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await hourly(broker, clock, 0, 100)
        left = await everything(broker)
        assert left == [numbered(n) for n in range(100 - len(left), 100)]
        assert 24 <= len(left) <= 24 + 24 / 8 + 1


async def test_a_trim_says_what_it_removed(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(n) for n in range(7)])
        await close_segment(broker, clock)
        size = segments_of(tmp_path)[0].stat().st_size
        await broker.publish([numbered(7)])
        trimmed = await broker.trim(TOPIC, Retention("age", HOUR), clock.epoch_s())
        assert trimmed == Trimmed(7, size)
        assert await everything(broker) == [numbered(7)]


async def test_an_idle_topic_is_emptied_and_keeps_its_numbers(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(n) for n in range(5)])
        end = await broker.end(TOPIC)
        clock.advance(25 * HOUR)
        assert (await broker.trim(TOPIC, DAY, clock.epoch_s())).records == 5
        assert await everything(broker) == []
        assert await broker.end(TOPIC) == await broker.earliest(TOPIC) == end
        assert await broker.trim(TOPIC, DAY, clock.epoch_s()) == Trimmed()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(5)])
        subscription = await broker.subscribe("one", TOPIC, end)
        assert (await take(subscription, 1))[0].position == end + 1
        assert subscription.missed == 0


async def test_forever_removes_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock, full=500) as broker:
        for number in range(20):
            await broker.publish([numbered(number)])
        clock.advance(10_000 * HOUR)
        assert await broker.trim(TOPIC, FOREVER, clock.epoch_s()) == Trimmed()
        assert await everything(broker) == [numbered(n) for n in range(20)]


async def test_a_topic_that_never_had_an_event_is_trimmed_to_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        assert await broker.trim(TOPIC, DAY, clock.epoch_s()) == Trimmed()
        assert await broker.earliest(TOPIC) == 0
        assert await broker.facts(TOPIC) == TopicFacts(0, 0, 0, 0, 0, None)
    assert not (tmp_path / TOPIC).exists()


async def test_a_position_before_the_earliest_starts_there_and_tells_how_many_are_missing(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await hourly(broker, clock, 0, 60)
        begin = await broker.end(TOPIC) - 60
        earliest = await broker.earliest(TOPIC)
        slow = await broker.subscribe("slow", TOPIC, begin + 10)
        assert (slow.position, slow.missed) == (earliest, earliest - begin - 10)
        assert (await take(slow, 1))[0].message == numbered(earliest - begin)
        since_ever = await broker.subscribe("since ever", TOPIC, 0)
        assert (since_ever.position, since_ever.missed) == (earliest, earliest - begin)
        right = await broker.subscribe("right", TOPIC, earliest)
        assert (right.position, right.missed) == (earliest, 0)


async def test_a_log_that_was_begun_after_a_handler_has_nothing_missing(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        position = await broker.end(TOPIC)
        await broker.publish([numbered(1)])
        subscription = await broker.subscribe("one", TOPIC, position)
        assert [d.message for d in await take(subscription, 1)] == [numbered(1)]
        assert subscription.missed == 0


async def test_a_reader_reads_a_removed_segment_to_its_end_and_counts_the_rest(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        for number in range(0, 30, 10):
            await broker.publish([numbered(n) for n in range(number, number + 10)])
            await close_segment(broker, clock)
        await broker.publish([numbered(30)])
        slow = await broker.subscribe("slow", TOPIC, 0)
        assert len(await take(slow, 4)) == 4
        clock.advance(100 * HOUR)
        await broker.publish([numbered(31)])
        await broker.trim(TOPIC, DAY, clock.epoch_s())
        found = [d.message.sequence for d in await take_all(broker, slow)]
        assert found == [*range(4, 10), 30, 31]
        assert slow.missed == 20


async def test_a_waiting_reader_is_not_lost_when_its_segment_goes(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(1)])
        subscription = await broker.subscribe("one", TOPIC, await broker.end(TOPIC))
        waiting = asyncio.create_task(take(subscription, 1))
        await asyncio.sleep(0)
        clock.advance(25 * HOUR)
        assert (await broker.trim(TOPIC, DAY, clock.epoch_s())).records == 1
        await broker.publish([numbered(2)])
        assert [d.message for d in await waiting] == [numbered(2)]
        assert subscription.missed == 0


async def test_a_clock_that_was_ahead_for_a_while_does_not_keep_events_for_ever(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        clock.advance(1000 * HOUR)
        await broker.publish([numbered(0)])
        await close_segment(broker, clock)
        clock.advance(-1000 * HOUR)
        await broker.publish([numbered(1)])
        await close_segment(broker, clock)
        await broker.publish([numbered(2)])
        clock.advance(23 * HOUR)
        await broker.trim(TOPIC, DAY, clock.epoch_s())
        assert [m.sequence for m in await everything(broker)] == [2]


@pytest.mark.parametrize("closed", [False, True])
async def test_a_clock_that_was_behind_for_a_while_removes_nothing_that_is_retained(
    tmp_path: Path, closed: bool
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(0)])
        clock.advance(4 * HOUR)
        await broker.publish([numbered(1)])
        if closed:
            await broker.trim(TOPIC, DAY, clock.epoch_s())
        clock.advance(-1000 * HOUR)
        await broker.publish([numbered(2)])
        clock.advance(1000 * HOUR)
        await broker.trim(TOPIC, DAY, clock.epoch_s())
        assert len(segments_of(tmp_path)) == 2 + closed
        assert [m.sequence for m in await everything(broker)] == [0, 1, 2]
        clock.advance(25 * HOUR)
        assert (await broker.trim(TOPIC, DAY, clock.epoch_s())).records == 3


async def test_only_one_process_trims_a_topic_at_a_time(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(1)])
        clock.advance(25 * HOUR)
        with (tmp_path / TOPIC / "trim").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            assert await broker.trim(TOPIC, DAY, clock.epoch_s()) == Trimmed()
        assert (await broker.trim(TOPIC, DAY, clock.epoch_s())).records == 1


async def test_another_process_goes_on_where_one_was_closed_and_emptied(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as writing, opened(tmp_path, clock) as trimming:
        for number in range(10):
            await writing.publish([numbered(number)])
            clock.advance(25 * HOUR)
            await trimming.trim(TOPIC, DAY, clock.epoch_s())
        await writing.publish([numbered(10)])
        assert [m.sequence for m in await everything(trimming)] == [10]
        assert await writing.end(TOPIC) - await writing.earliest(TOPIC) == 1


async def test_the_facts_of_a_topic_count_what_it_holds(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        began = clock.epoch_s()
        await broker.publish([numbered(n) for n in range(4)])
        await close_segment(broker, clock)
        await broker.publish([numbered(4)])
        facts = await broker.facts(TOPIC)
        assert facts.oldest_s == pytest.approx(began)
        assert msgspec.structs.replace(facts, oldest_s=None) == TopicFacts(
            earliest=await broker.earliest(TOPIC),
            end=await broker.end(TOPIC),
            records=5,
            bytes=sum(path.stat().st_size for path in segments_of(tmp_path)),
            segments=2,
            oldest_s=None,
        )
        assert facts.end - facts.earliest == 5
