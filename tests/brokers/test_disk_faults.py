"""A disk that is full, read-only or loses what it was given: events wait, none is lost or doubled."""

# several events are published inside `raises`
# ruff: noqa: PT012

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from borough.brokers.embedded import EmbeddedBroker
from borough.clock import SystemClock
from borough.errors import BrokerError, ConfigurationError
from borough.ports import Message
from tests.brokers.appending_process import numbered
from tests.brokers.topic import everything, opened
from tests.mounts import mounted_failing, mounted_small

LARGE = 40_000
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def large(number: int) -> Message:
    small = numbered(number)
    return Message(small.id, small.topic, small.type, small.key, small.sequence, b"x" * LARGE)


async def published(broker: EmbeddedBroker, first: int, last: int) -> tuple[int, str]:
    """Publish one after the other: the first number that failed, and why."""
    for number in range(first, last):
        try:
            await broker.publish([large(number)])
        except BrokerError as error:
            return number, str(error)
    return last, ""


async def numbers(broker: EmbeddedBroker) -> list[int]:
    return [message.sequence for message in await everything(broker)]


async def test_a_full_disk_keeps_events_in_the_outbox_until_there_is_space(tmp_path: Path) -> None:
    with mounted_small(tmp_path) as disk:
        async with opened(disk.folder / "events") as broker:
            await published(broker, 0, 5)
            disk.fill()
            failed, why = await published(broker, 5, 50)
            assert failed < 50
            assert "No space left on device" in why
            assert await numbers(broker) == list(range(failed))  # readers go on
            with pytest.raises(BrokerError):
                await broker.publish([large(failed)])
            disk.free()
            assert await published(broker, failed, 20) == (20, "")
            assert await numbers(broker) == list(range(20))
        async with opened(disk.folder / "events") as broker:
            assert await numbers(broker) == list(range(20))


async def test_a_batch_that_does_not_fit_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with mounted_small(tmp_path) as disk:
        async with opened(disk.folder / "events") as broker:
            batches = [[large(10 * batch + n) for n in range(10)] for batch in range(10)]
            done = 0
            with pytest.raises(BrokerError, match="No space left on device"):
                for batch in batches:
                    await broker.publish(batch)
                    done += 10
            assert await numbers(broker) == list(range(done))
            disk.grow(16)
            for batch in batches[done // 10 :]:
                await broker.publish(batch)
            assert await numbers(broker) == list(range(100))


async def test_a_start_on_a_read_only_disk_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with mounted_small(tmp_path) as disk:
        assert disk.remount(read_only=True)
        with pytest.raises(ConfigurationError, match="choose a writable data folder"):
            await EmbeddedBroker(disk.folder / "events", SystemClock()).open()


async def test_a_disk_that_turns_read_only_loses_nothing_that_was_published(tmp_path: Path) -> None:
    with mounted_failing(tmp_path, errors="remount-ro") as disk:
        async with opened(disk.folder / "events") as broker:
            await published(broker, 0, 5)
            disk.break_down()
            failed, why = await published(broker, 5, 10)
            assert failed == 5
            assert "Read-only file system" in why
            assert await numbers(broker) == list(range(5))
        disk.repair()
        async with opened(disk.folder / "events") as broker:
            assert await numbers(broker) == list(range(5))
            assert await published(broker, 5, 10) == (10, "")
            assert await numbers(broker) == list(range(10))


async def test_after_a_failed_sync_what_is_published_again_reaches_the_disk(tmp_path: Path) -> None:
    with mounted_failing(tmp_path) as disk:
        async with opened(disk.folder / "events") as broker:
            await published(broker, 0, 5)
            disk.fail_syncs()
            failed, why = await published(broker, 5, 200)
            assert failed < 200
            assert why
            disk.mend()
            await asyncio.sleep(0)
            assert await published(broker, failed, failed + 5) == (failed + 5, "")
        disk.repair()  # forgets every page that only memory held
        async with opened(disk.folder / "events") as broker:
            assert await numbers(broker) == list(range(failed + 5))


async def test_what_a_killed_writer_could_not_sync_is_written_again_before_it_counts(
    tmp_path: Path,
) -> None:
    with mounted_failing(tmp_path) as disk:
        folder = disk.folder / "events"
        async with opened(folder) as broker:
            await published(broker, 0, 5)
        disk.fail_syncs()
        killed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tests.brokers.unsynced_process", str(folder), "5"],
            env={"PYTHONPATH": ":".join(filter(None, sys.path))},
            timeout=60,
            check=False,
        )
        assert killed.returncode == 9  # between the failed sync and what should have followed
        disk.mend()
        async with opened(folder) as broker:
            assert await numbers(broker) == list(range(6))  # as memory has it
            assert await published(broker, 5, 6) == (6, "")
        disk.repair()  # forgets every page that only memory held
        async with opened(folder) as broker:
            assert await numbers(broker) == list(range(6))


def test_a_limit_on_file_sizes_keeps_events_in_the_outbox(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.brokers.test_disk_faults", str(tmp_path / "events")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "File too large" in ended.stdout


async def publish_within_a_limit(folder: Path) -> None:
    """In a process of its own: files may not grow beyond 200 KiB for a while."""
    async with opened(folder) as broker:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, UNLIMITED[1]))
        failed, why = await published(broker, 0, 20)
        print(why)
        assert await numbers(broker) == list(range(failed))
        resource.setrlimit(resource.RLIMIT_FSIZE, UNLIMITED)
        assert await published(broker, failed, 20) == (20, "")
        assert await numbers(broker) == list(range(20))


if __name__ == "__main__":
    asyncio.run(publish_within_a_limit(Path(sys.argv[1])))
