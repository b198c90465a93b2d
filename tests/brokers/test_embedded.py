"""The embedded broker: what is published is on disk, read in order, by any process, from any point."""

import asyncio
import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from borough.brokers.embedded import EmbeddedBroker
from borough.clock import SystemClock
from borough.errors import BrokerError, ConfigurationError
from borough.ports import LONGEST_EVENT, Message
from borough.testing.clock import ManualClock
from tests.brokers.appending_process import numbered
from tests.brokers.topic import TOPIC, everything, log_of, opened, take


async def test_messages_come_back_whole_and_in_order(tmp_path: Path) -> None:
    sent = [numbered(n) for n in range(1200)]
    async with opened(tmp_path) as broker:
        await broker.publish(sent[:700])
        await broker.publish(sent[700:])
        assert await everything(broker) == sent


async def test_a_message_above_the_read_size_comes_back_whole(tmp_path: Path) -> None:
    large = Message("large", TOPIC, "orders.Placed", None, 1, os.urandom(1_000_000))
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(0), large, numbered(2)])
        assert await everything(broker) == [numbered(0), large, numbered(2)]


async def test_a_reader_follows_what_another_broker_writes(tmp_path: Path) -> None:
    async with opened(tmp_path) as writing, opened(tmp_path) as reading:
        subscription = await reading.subscribe("one", TOPIC, await reading.end(TOPIC))
        await writing.publish([numbered(1)])
        assert (await take(subscription, 1))[0].message == numbered(1)


async def test_topics_of_one_service_are_published_together_and_read_apart(tmp_path: Path) -> None:
    other = Message("other", "orders.Stock", "orders.Counted", None, 2, b"{}")
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1), other, numbered(3)])
        assert await everything(broker) == [numbered(1), numbered(3)]
        subscription = await broker.subscribe("stock", "orders.Stock", 0)
        assert [d.message for d in await take(subscription, 1)] == [other]


async def test_an_event_published_again_is_not_appended_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(n) for n in range(5)])
        size = log_of(tmp_path).stat().st_size
        await broker.publish([numbered(n) for n in range(5)])
        assert log_of(tmp_path).stat().st_size == size
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(n) for n in range(3, 7)])
        assert await everything(broker) == [numbered(n) for n in range(7)]


async def test_two_writers_see_what_the_other_has_appended(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await one.publish([numbered(1), numbered(2)])
        await two.publish([numbered(2), numbered(3)])
        await one.publish([numbered(3), numbered(4)])
        assert await everything(one) == [numbered(n) for n in range(1, 5)]


@pytest.mark.parametrize("cut", [1, 5, 31, 33, 60, 333])
async def test_a_torn_tail_is_waited_for_by_readers_and_cut_by_the_writer(
    tmp_path: Path, cut: int
) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1), numbered(2)])
        await broker.publish([numbered(3), numbered(8)])
    whole = log_of(tmp_path).read_bytes()
    log_of(tmp_path).write_bytes(whole[:-cut])
    async with opened(tmp_path) as broker:
        left = await everything(broker)
        assert left == [numbered(1), numbered(2), numbered(3), numbered(8)][: len(left)]
        await broker.publish([numbered(3), numbered(8), numbered(4)])
        messages = await everything(broker)
        assert messages == [numbered(n) for n in (1, 2, 3, 8, 4)]


async def test_what_a_torn_batch_left_behind_a_hole_is_cut_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1)])
        start = log_of(tmp_path).stat().st_size
        await broker.publish([numbered(2), numbered(3)])
    with log_of(tmp_path).open("r+b") as log:
        log.seek(start)
        log.write(bytes(30))
    async with opened(tmp_path) as broker:
        assert await everything(broker) == [numbered(1)]
        await broker.publish([numbered(2), numbered(3)])
        assert await everything(broker) == [numbered(1), numbered(2), numbered(3)]


async def test_damage_before_later_batches_is_refused_by_reader_and_writer(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1)])
        await broker.publish([numbered(2)])
    data = bytearray(log_of(tmp_path).read_bytes())
    data[100] ^= 0xFF
    log_of(tmp_path).write_bytes(data)
    async with opened(tmp_path) as broker:
        with pytest.raises(BrokerError, match="is damaged at byte 56"):
            await broker.publish([numbered(3)])
        subscription = await broker.subscribe("one", TOPIC, 0)
        with pytest.raises(BrokerError, match="is damaged at byte 56"):
            await subscription.take(1)
    assert log_of(tmp_path).read_bytes() == bytes(data)


async def test_a_position_of_a_removed_log_lies_before_its_successor(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(n) for n in range(100)])
        position = await broker.end(TOPIC)
    log_of(tmp_path).unlink()
    clock.advance(1.0)
    async with opened(tmp_path, clock) as broker:
        await broker.publish([numbered(1)])
        subscription = await broker.subscribe("one", TOPIC, position)
        assert [d.message for d in await take(subscription, 1)] == [numbered(1)]


async def test_a_position_that_the_log_lost_is_met_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1)])
        size = log_of(tmp_path).stat().st_size
        await broker.publish([numbered(2)])
        position = await broker.end(TOPIC)
    os.truncate(log_of(tmp_path), size)
    async with opened(tmp_path) as broker:
        subscription = await broker.subscribe("one", TOPIC, position)
        await broker.publish([numbered(2), numbered(3)])
        assert [d.message for d in await take(subscription, 2)] == [numbered(2), numbered(3)]


async def test_positions_count_the_events_of_a_topic(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(n) for n in range(3)])
        subscription = await broker.subscribe("one", TOPIC, 0)
        begin = await broker.earliest(TOPIC)
        assert [d.position - begin for d in await take(subscription, 3)] == [1, 2, 3]
        assert subscription.position == await broker.end(TOPIC) == begin + 3


async def test_a_log_held_by_another_process_keeps_events_in_the_outbox(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(1)])
        holder = _holding(tmp_path / TOPIC / "lock")
        assert holder.stdout is not None
        try:
            await asyncio.to_thread(holder.stdout.readline)
            with pytest.raises(BrokerError, match="held by another process"):
                await broker.publish([numbered(2)])
        finally:
            holder.kill()
            holder.wait()
            holder.stdout.close()
        await broker.publish([numbered(2)])
        assert await everything(broker) == [numbered(1), numbered(2)]


def _holding(lock: Path) -> subprocess.Popen[bytes]:
    """A process that holds a lock."""
    return subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE)


HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1])
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("topic", ["../orders.Orders", "", "a/b", ".a", "a..b", "a\n", "x" * 201])
async def test_a_topic_that_cannot_name_a_folder_is_refused(tmp_path: Path, topic: str) -> None:
    async with opened(tmp_path) as broker:
        with pytest.raises(BrokerError, match="cannot name a folder"):
            await broker.end(topic)


async def test_a_folder_that_cannot_be_made_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="choose a writable data folder"):
        await EmbeddedBroker(tmp_path / "file" / "events", SystemClock()).open()


async def test_a_shortage_of_files_is_said_with_the_remedy_and_passes(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        await broker.publish([numbered(0)])
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most[1]))
        try:
            with pytest.raises(BrokerError, match=r"cannot be read: Too many open files; .*ulimit"):
                await broker.subscribe("readers", TOPIC, 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, most)
        assert await everything(broker) == [numbered(0)]


async def test_a_closed_broker_ends_its_subscriptions_and_takes_nothing(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, SystemClock())
    await broker.open()
    subscription = await broker.subscribe("one", TOPIC, 0)
    taking = asyncio.create_task(subscription.take(1))
    await asyncio.sleep(0)
    await broker.close()
    await broker.close()
    with pytest.raises(BrokerError, match="closed"):
        await taking
    with pytest.raises(BrokerError, match="not open"):
        await broker.publish([numbered(1)])


async def test_a_killed_writer_loses_nothing_that_was_published(tmp_path: Path) -> None:
    chance = random.Random(20)
    acknowledged = -1
    async with opened(tmp_path) as broker:
        reader = await broker.subscribe("live", TOPIC, 0)
        live: list[Message] = []
        for _ in range(20):
            acknowledged = await asyncio.to_thread(
                _append_until_killed, tmp_path, acknowledged + 1, chance.uniform(0.0, 0.05)
            )
            end = await broker.end(TOPIC)
            async with asyncio.timeout(10):
                while reader.position < end:
                    live += [delivery.message for delivery in await reader.take(500)]
        last = max(acknowledged, live[-1].sequence)
        await broker.publish([numbered(last), numbered(last + 1)])
        messages = await everything(broker)
    assert messages == [numbered(n) for n in range(last + 2)]
    assert live == messages[: len(live)]


def _append_until_killed(folder: Path, first: int, after_s: float) -> int:
    """Returns the last number that was acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.brokers.appending_process", str(folder), str(first)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    whole = [line for line in lines if line.strip()]
    return int(whole[-1])


async def test_an_event_too_long_to_be_read_is_refused_before_it_is_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as broker:
        longest = Message("e1", TOPIC, "orders.Orders.Placed", None, 1, b"x" * LONGEST_EVENT)
        await broker.publish([longest])
        size = log_of(tmp_path).stat().st_size
        too_long = Message("e2", TOPIC, "orders.Orders.Placed", None, 2, b"x" * (LONGEST_EVENT + 1))
        with pytest.raises(BrokerError, match=r"event e2 of orders\.Orders has 1048577 bytes"):
            await broker.publish([too_long])
        assert log_of(tmp_path).stat().st_size == size
        assert await everything(broker) == [longest]


class StillClock(SystemClock):
    """Lets a thread of the log stand, as a disk that stands still does, after it took the topic's lock."""

    def __init__(self) -> None:
        super().__init__()
        self.stands = threading.Event()
        self.goes_on = threading.Event()

    def monotonic(self) -> float:
        if threading.current_thread().name.startswith("borough-log"):
            self.stands.set()
            self.goes_on.wait(30)
        return super().monotonic()


async def test_who_is_cancelled_twice_while_the_disk_stands_still_holds_the_log_until_it_goes_on(
    tmp_path: Path,
) -> None:
    clock = StillClock()
    async with opened(tmp_path, clock) as broker:
        publishing = asyncio.create_task(broker.publish([numbered(1)]))
        await asyncio.to_thread(clock.stands.wait, 30)
        for _ in range(3):
            publishing.cancel()
            await _turns()
        assert not publishing.done()
        closing = asyncio.create_task(broker.close())
        await _turns()
        assert not closing.done()
        clock.goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        await closing
    async with opened(tmp_path) as broker:
        assert await everything(broker) == [numbered(1)]


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
