"""The latest per key: what a newer event stands for goes, and everything else is as it was."""

import asyncio
import itertools
from pathlib import Path

import pytest

from borough.brokers.embedded import EmbeddedBroker
from borough.brokers.embedded.compaction import CompactionStopped, compact
from borough.brokers.embedded.segments import Segments
from borough.contracts.retention import LATEST_PER_KEY
from borough.errors import BrokerError
from borough.ports import Message, Trimmed
from borough.testing.clock import ManualClock
from tests.brokers.topic import (
    TOPIC,
    everything,
    keyed,
    latest,
    opened,
    segments_of,
    take,
    take_all,
)

SMALL = 4000


async def publish_each(broker: EmbeddedBroker, messages: list[Message]) -> None:
    for start in range(0, len(messages), 10):
        await broker.publish(messages[start : start + 10])


async def compacted(broker: EmbeddedBroker, clock: ManualClock) -> Trimmed:
    """What a trim removes after the last segment has become old enough to be closed."""
    clock.advance(3601)
    return await broker.trim(TOPIC, LATEST_PER_KEY, clock.epoch_s())


async def test_the_newest_of_each_type_and_key_is_left_in_order_at_its_position(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    sent = [keyed(n, f"k{n * n % 13}", kind=f"orders.Orders.T{n % 2}") for n in range(500)]
    async with opened(tmp_path, clock, full=SMALL) as broker:
        await publish_each(broker, sent)
        begin, end = await broker.earliest(TOPIC), await broker.end(TOPIC)
        size = (await broker.facts(TOPIC)).bytes
        trimmed = await compacted(broker, clock)
        subscription = await broker.subscribe("all", TOPIC, 0)
        left = await take_all(broker, subscription)
        assert [delivery.message for delivery in left] == latest(sent)
        assert [d.position - begin - 1 for d in left] == [d.message.sequence for d in left]
        assert await broker.end(TOPIC) == end == subscription.position
        assert subscription.missed == 0
        facts = await broker.facts(TOPIC)
        assert (facts.records, facts.earliest) == (len(left), begin)
        assert trimmed.records == 500 - len(left)
        assert size is not None
        assert facts.bytes is not None
        assert trimmed.bytes == pytest.approx(size - facts.bytes, abs=100)


async def test_every_position_from_before_is_one_to_go_on_from(tmp_path: Path) -> None:
    clock = ManualClock()
    sent = [keyed(n, f"k{n % 7 if n < 100 else n % 31}") for n in range(200)]
    async with opened(tmp_path, clock, full=SMALL) as broker:
        await publish_each(broker, sent)
        begin = await broker.earliest(TOPIC)
        await compacted(broker, clock)
        left = latest(sent)
        for count in range(201):
            subscription = await broker.subscribe("one", TOPIC, begin + count)
            found = [d.message for d in await take_all(broker, subscription)]
            assert found == [message for message in left if message.sequence >= count]
            await subscription.close()


async def test_what_is_in_the_open_segment_stands_for_older_events_too(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock, full=SMALL) as broker:
        await broker.publish([keyed(1, "a", size=SMALL), keyed(2, "b")])
        await broker.publish([keyed(3, "c"), keyed(4, "a")])
        trimmed = await broker.trim(TOPIC, LATEST_PER_KEY, clock.epoch_s())
        assert trimmed.records == 1
        assert trimmed.bytes > SMALL
        assert [m.sequence for m in await everything(broker)] == [2, 3, 4]


async def test_events_without_a_key_are_all_kept(tmp_path: Path) -> None:
    clock = ManualClock()
    sent = [Message(f"id-{n}", TOPIC, "orders.Placed", None, n, b"{}") for n in range(50)]
    async with opened(tmp_path, clock) as broker:
        await publish_each(broker, sent)
        assert (await compacted(broker, clock)).records == 0
        assert await everything(broker) == sent


async def test_a_topic_of_few_keys_stays_small_whatever_goes_through(tmp_path: Path) -> None:
    clock = ManualClock()
    numbers = itertools.count()
    async with opened(tmp_path, clock, full=SMALL) as broker:
        for _ in range(30):
            await publish_each(
                broker, [keyed(n, f"k{n % 10}") for n in itertools.islice(numbers, 200)]
            )
            await compacted(broker, clock)
            facts = await broker.facts(TOPIC)
            assert facts.records <= 10
            assert facts.segments <= 2
            assert facts.bytes is not None
            assert facts.bytes < SMALL


async def test_segments_that_would_not_change_are_left_alone(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock, full=SMALL) as broker:
        await publish_each(broker, [keyed(n, f"k{n}") for n in range(200)])
        await compacted(broker, clock)
        before = {path.name: path.stat().st_ino for path in segments_of(tmp_path)}
        assert await compacted(broker, clock) == Trimmed()
        await publish_each(broker, [keyed(n, "new") for n in range(200, 400)])
        await compacted(broker, clock)
        after = {path.name: path.stat().st_ino for path in segments_of(tmp_path)}
        kept = [name for name in before if after.get(name) == before[name]]
        assert len(kept) >= len(before) - 2
        assert [m.sequence for m in await everything(broker)] == [*range(200), 399]


async def test_a_little_that_is_new_does_not_make_all_be_rewritten(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock, full=SMALL) as broker:
        await publish_each(broker, [keyed(n, f"k{n}") for n in range(400)])
        await compacted(broker, clock)
        await broker.publish([keyed(400, "k1")])
        assert await compacted(broker, clock) == Trimmed()
        await publish_each(broker, [keyed(n, "k2") for n in range(401, 700)])
        assert (await compacted(broker, clock)).records == 300


async def test_more_records_than_are_sorted_at_once_are_compacted_alike(tmp_path: Path) -> None:
    clock = ManualClock()
    sent = [keyed(n, f"k{n * 7919 % 30_011}", size=0) for n in range(50_000)]
    async with opened(tmp_path, clock, full=200_000) as broker:
        for start in range(0, len(sent), 1000):
            await broker.publish(sent[start : start + 1000])
        await compacted(broker, clock)
        assert await everything(broker) == latest(sent)


async def test_readers_under_way_see_each_latest_event_while_segments_are_rewritten(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    sent = [keyed(n, f"k{n % 17}") for n in range(600)]
    async with opened(tmp_path, clock, full=SMALL) as broker:
        begin = None
        readers = []
        found: list[list[int]] = []
        for start in range(0, 600, 60):
            await publish_each(broker, sent[start : start + 60])
            readers.append(await broker.subscribe("r", TOPIC, begin or 0))
            begin = await broker.earliest(TOPIC)
            found.append([])
            for reader, seen in zip(readers, found, strict=True):
                seen += [d.message.sequence for d in await take(reader, 5)]
            await compacted(broker, clock)
        for reader, seen in zip(readers, found, strict=True):
            seen += [d.message.sequence for d in await take_all(broker, reader)]
            assert seen == sorted(set(seen))
            assert seen[-17:] == list(range(583, 600))
            assert reader.missed == 0


async def test_damage_is_refused_and_nothing_is_removed(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock, full=SMALL) as broker:
        await publish_each(broker, [keyed(n, "k") for n in range(200)])
    damaged = segments_of(tmp_path)[1]
    data = bytearray(damaged.read_bytes())
    data[2000] ^= 0xFF
    damaged.write_bytes(data)
    before = {path.name: path.read_bytes() for path in segments_of(tmp_path)[:-1]}
    async with opened(tmp_path, clock, full=SMALL) as broker:
        with pytest.raises(BrokerError, match="is damaged at byte"):
            await broker.trim(TOPIC, LATEST_PER_KEY, clock.epoch_s())
    assert {path.name: path.read_bytes() for path in segments_of(tmp_path)[:-1]} == before


async def test_a_compaction_stopped_anywhere_leaves_the_log_whole(tmp_path: Path) -> None:
    clock = ManualClock()
    sent = [keyed(n, f"k{n % 12_000}", size=1000) for n in range(20_000)]
    async with opened(tmp_path, clock, full=4_000_000) as broker:
        for start in range(0, len(sent), 5000):
            await broker.publish(sent[start : start + 5000])
        segments = Segments(tmp_path / TOPIC)
        stops = 0
        while _is_stopped_at(stops, segments):
            assert latest(await everything(broker)) == latest(sent)
            assert not list((tmp_path / TOPIC).glob("*.compacted"))
            stops += 1
        assert stops > 5
        assert latest(await everything(broker)) == latest(sent)


def _is_stopped_at(look: int, segments: Segments) -> bool:
    """Compact until it asks so often whether to stop."""
    looks = itertools.count()
    try:
        compact(segments, 4_000_000, lambda: next(looks) >= look)
    except CompactionStopped:
        return True
    return False


async def test_a_trim_that_is_cancelled_ends_soon_and_can_be_done_again(tmp_path: Path) -> None:
    clock = ManualClock()
    sent = [keyed(n, f"k{n % 2000}", size=0) for n in range(20_000)]
    async with opened(tmp_path, clock, full=100_000) as broker:
        for start in range(0, len(sent), 1000):
            await broker.publish(sent[start : start + 1000])
        for turns in range(0, 60, 6):
            trim = asyncio.create_task(broker.trim(TOPIC, LATEST_PER_KEY, clock.epoch_s()))
            for _ in range(turns):
                await asyncio.sleep(0)
            trim.cancel()
            with pytest.raises(asyncio.CancelledError):
                await trim
        assert latest(await everything(broker)) == latest(sent)
        await compacted(broker, clock)
        assert await everything(broker) == latest(sent)


async def test_a_batch_that_is_published_again_brings_back_nothing_that_was_superseded(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    batch = [keyed(1, "a"), keyed(2, "b"), keyed(3, "a"), keyed(4, "c")]
    async with opened(tmp_path, clock) as broker:
        await broker.publish(batch)
        assert (await compacted(broker, clock)).records == 1
    async with opened(tmp_path, clock) as broker:
        await broker.publish([*batch, keyed(5, "d")])
        assert [m.sequence for m in await everything(broker)] == [2, 3, 4, 5]
