"""A log in segments: readers follow from one to the next, and a writer goes on whatever was left."""

import asyncio
import os
from pathlib import Path

import pytest

from borough.brokers.embedded.frames import batch_frames, find_frame, scan_records
from borough.errors import BrokerError
from borough.testing.clock import ManualClock
from tests.brokers.appending_process import numbered
from tests.brokers.topic import (
    TOPIC,
    close_segment,
    everything,
    keyed,
    log_of,
    opened,
    segments_of,
    take,
)

SMALL = 1500


async def test_a_full_segment_gets_a_successor_and_a_batch_is_never_split(tmp_path: Path) -> None:
    async with opened(tmp_path, full=SMALL) as broker:
        for number in range(0, 100, 5):
            await broker.publish([numbered(n) for n in range(number, number + 5)])
        begin = await broker.earliest(TOPIC)
        assert await everything(broker) == [numbered(n) for n in range(100)]
    bases = [int(path.stem) - begin for path in segments_of(tmp_path)]
    assert len(bases) > 5
    assert all(base % 5 == 0 for base in bases)
    assert all(path.stat().st_size >= SMALL for path in segments_of(tmp_path)[:-1])


async def test_a_reader_begins_at_any_position_of_any_segment(tmp_path: Path) -> None:
    async with opened(tmp_path, full=SMALL) as broker:
        for number in range(60):
            await broker.publish([numbered(number)])
        begin = await broker.earliest(TOPIC)
        for count in range(60):
            subscription = await broker.subscribe("one", TOPIC, begin + count)
            found = await take(subscription, 1)
            assert found[0].message == numbered(count)
            assert found[0].position == begin + count + 1
            await subscription.close()


async def test_a_position_is_found_in_a_large_segment_without_reading_it_whole(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(n, 3000) for n in range(2000)])
        begin = await broker.earliest(TOPIC)
        for count in (0, 1, 777, 1998, 1999):
            subscription = await broker.subscribe("one", TOPIC, begin + count)
            assert (await take(subscription, 1))[0].message == numbered(count, 3000)
            await subscription.close()


async def test_a_reader_follows_another_broker_across_segments(tmp_path: Path) -> None:
    async with opened(tmp_path, full=SMALL) as writing, opened(tmp_path) as reading:
        subscription = await reading.subscribe("one", TOPIC, 0)

        async def write() -> None:
            for number in range(200):
                await writing.publish([numbered(number)])

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            found = [d.message for d in await take(subscription, 200)]
        assert found == [numbered(n) for n in range(200)]
        assert subscription.missed == 0


async def test_two_writers_take_turns_across_segments(tmp_path: Path) -> None:
    async with opened(tmp_path, full=SMALL) as one, opened(tmp_path, full=SMALL) as two:
        for number in range(0, 60, 2):
            await one.publish([numbered(number)])
            await two.publish([numbered(number), numbered(number + 1)])
        assert await everything(one) == [numbered(n) for n in range(60)]


async def test_the_last_batch_is_known_again_when_a_segment_was_begun_behind_it(
    tmp_path: Path,
) -> None:
    batch = [numbered(n) for n in range(5)]
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish(batch)
        await close_segment(broker, clock)
        assert len(segments_of(tmp_path)) == 2
    async with opened(tmp_path) as broker:
        await broker.publish([*batch, numbered(5)])
        assert await everything(broker) == [numbered(n) for n in range(6)]


async def test_all_of_a_large_last_batch_is_known_again(tmp_path: Path) -> None:
    batch = [keyed(n, "k", size=100_000) for n in range(40)]
    async with opened(tmp_path) as broker:
        await broker.publish(batch)
        size = log_of(tmp_path).stat().st_size
        assert size > 4_000_000
    async with opened(tmp_path) as broker:
        await broker.publish(batch)
    assert log_of(tmp_path).stat().st_size == size


async def test_an_emptied_topic_keeps_its_numbers(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(n) for n in range(5)])
        await close_segment(broker, clock)
        end = await broker.end(TOPIC)
        segments_of(tmp_path)[0].unlink()
    async with opened(tmp_path, clock) as broker:
        assert await broker.end(TOPIC) == end == await broker.earliest(TOPIC)
        await broker.publish([numbered(5)])
        assert await broker.end(TOPIC) == end + 1


async def test_a_closed_segment_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, full=SMALL) as broker:
        for number in range(30):
            await broker.publish([numbered(number)])
    first = segments_of(tmp_path)[0]
    size = first.stat().st_size
    first.write_bytes(first.read_bytes()[:-3])
    async with opened(tmp_path) as broker:
        with pytest.raises(BrokerError, match=r"is damaged at byte \d+; restore it from a backup"):
            await everything(broker)
    assert first.stat().st_size == size - 3


async def test_a_segment_that_is_missing_in_the_middle_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path, full=SMALL) as broker:
        for number in range(60):
            await broker.publish([numbered(number)])
        missing = segments_of(tmp_path)[1]
        missing.unlink()
        with pytest.raises(BrokerError, match=rf"{missing.name} is missing"):
            await everything(broker)


async def test_a_segment_with_a_damaged_head_is_refused_by_reader_and_writer(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1)])
    data = bytearray(log_of(tmp_path).read_bytes())
    data[9] ^= 1
    log_of(tmp_path).write_bytes(data)
    async with opened(tmp_path) as broker:
        with pytest.raises(BrokerError, match="has a damaged head"):
            await broker.publish([numbered(2)])
        with pytest.raises(BrokerError, match="has a damaged head"):
            await broker.subscribe("one", TOPIC, 0)


async def test_a_segment_of_another_topic_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1)])
    (tmp_path / TOPIC).rename(tmp_path / "orders.ORDERS")
    async with opened(tmp_path) as broker:
        with pytest.raises(BrokerError, match="is a part of another log"):
            await broker.subscribe("one", "orders.ORDERS", 0)


async def test_a_log_that_was_removed_under_reader_and_writer_begins_anew(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(n) for n in range(3)])
        subscription = await broker.subscribe("one", TOPIC, 0)
        await take(subscription, 3)
        for path in (tmp_path / TOPIC).iterdir():
            path.unlink()
        (tmp_path / TOPIC).rmdir()
        clock.advance(1.0)
        await broker.publish([numbered(3)])
        assert [d.message for d in await take(subscription, 1)] == [numbered(3)]
        assert subscription.missed == 1  # nobody knows what else was in it


async def test_what_a_writer_cut_and_wrote_again_is_not_read_twice(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1)])
        whole = log_of(tmp_path).stat().st_size
        subscription = await broker.subscribe("one", TOPIC, 0)
        await broker.publish([numbered(2), numbered(3)])
        assert len(await take(subscription, 3)) == 3
        os.truncate(log_of(tmp_path), whole)  # as a writer does whose fsync has failed
        taking = asyncio.create_task(take(subscription, 1))
        await asyncio.sleep(0)
        async with opened(tmp_path) as writing:
            await writing.publish([numbered(2), numbered(3), numbered(4)])
            assert [d.message for d in await taking] == [numbered(4)]


async def test_a_log_of_an_earlier_version_is_not_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "orders.log").write_bytes(b"BOROUGH1" + bytes(100))
    async with opened(tmp_path):
        pass
    assert f"{tmp_path}/orders.log is an event log of an earlier version" in caplog.text


def test_a_record_whose_end_a_file_does_not_have_is_not_looked_for_without_end(
    tmp_path: Path,
) -> None:
    frames = b"".join(batch_frames([numbered(1)], 1, 0))
    path = tmp_path / "torn"
    path.write_bytes(b"\0" * 100 + frames[:-1])  # what a power cut leaves of two batches
    with path.open("rb") as file:
        assert find_frame(file.fileno(), 1, 10_000) is None
        assert list(scan_records(file.fileno(), 100, 10_000)) == []
