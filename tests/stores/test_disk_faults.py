"""A disk that is full, read-only or loses what it was given: said clearly, survived, nothing lost."""

# several bodies stand inside `raises`; looking at a small file does not block
# ruff: noqa: ASYNC240, PT012

import asyncio
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from borough.clock import SystemClock
from borough.errors import CommitFailed, ConfigurationError, StoreError, StoreUnavailable
from borough.ports import Migration
from borough.stores.sqlite import SqliteOptions, SqliteStore
from tests.mounts import mounted_failing, mounted_small
from tests.stores.bodies import SLOW, add, names
from tests.stores.conftest import SCHEMA

FILLING = "x" * 3000
LIMITED = Path(__file__).with_name("limited_process.py")


def store_on(folder: Path, **options: object) -> SqliteStore:
    chosen = SqliteOptions(wait_s=5.0, **options)  # type: ignore[arg-type]
    return SqliteStore(folder / "shop.db", clock=SystemClock(), options=chosen)


async def opened_on(folder: Path, **options: object) -> SqliteStore:
    store = store_on(folder, **options)
    await store.open()
    await store.migrate("service", [SCHEMA])
    return store


async def added(store: SqliteStore, first: int, count: int) -> tuple[list[str], list[StoreError]]:
    """Rows added side by side: the names acknowledged, and what the others were told."""
    wanted = [f"{number:05}-{FILLING}" for number in range(first, first + count)]
    results = await asyncio.gather(*(add(store, name) for name in wanted), return_exceptions=True)
    assert all(result is None or isinstance(result, StoreError) for result in results), results
    done = [name for name, result in zip(wanted, results, strict=True) if result is None]
    return done, [result for result in results if isinstance(result, StoreError)]


def is_sound(path: Path) -> bool:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


async def test_a_full_disk_is_told_with_the_remedy_and_survived(tmp_path: Path) -> None:
    with mounted_small(tmp_path) as disk:
        store = await opened_on(disk.folder)
        kept, _ = await added(store, 0, 20)
        disk.fill()
        done, failures = await added(store, 100, 200)
        assert failures
        assert {type(failure) for failure in failures} <= {CommitFailed, StoreUnavailable}
        assert all("the disk is full; free some space" in str(failure) for failure in failures)
        kept += done
        assert await names(store) == kept  # and reading goes on
        assert await store.one(int, SLOW, 300_000) == 300_000
        disk.free()
        more, failures = await added(store, 1000, 20)
        assert (len(more), failures) == (20, [])
        assert await names(store) == kept + more
        await store.close()
        assert is_sound(disk.folder / "shop.db")


async def test_a_disk_that_runs_full_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    with mounted_small(tmp_path) as disk:
        store = await opened_on(disk.folder, group_size=8)
        kept: list[str] = []
        failures: list[StoreError] = []
        for first in range(0, 2000, 50):
            done, failed = await added(store, first, 50)
            kept += done
            failures += failed
            if len(failures) > 200:
                break
        assert failures
        assert await names(store) == kept
        await store.close()
        with pytest.raises(StoreUnavailable, match="the disk is full; free some space"):
            await opened_on(disk.folder)
        disk.grow(16)
        store = await opened_on(disk.folder)
        assert await names(store) == kept
        await store.close()


async def test_a_checkpoint_that_fails_is_the_reason_that_is_told(tmp_path: Path) -> None:
    with mounted_small(tmp_path, 4) as disk:
        bound = 1 << 20
        store = await opened_on(disk.folder, checkpoint_bytes=bound, wal_bytes=bound)
        kept: list[str] = []
        async with store.snapshot():  # keeps the WAL as it is
            for first in range(0, 100_000, 50):
                wal = Path(f"{store.path}-wal").stat().st_size
                if wal > bound * 0.9:
                    break
                kept += (await added(store, first, 50))[0]
        disk.fill()
        async with asyncio.timeout(4):  # without waiting for a time that helps nobody
            with pytest.raises(StoreError, match="the disk is full; free some space"):
                for number in range(50):
                    await add(store, f"more {number} {FILLING * 20}")
                    kept.append(f"more {number} {FILLING * 20}")
        disk.free()
        await add(store, "zzz")
        assert await names(store) == [*kept, "zzz"]
        await store.close()


async def test_a_start_on_a_full_disk_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with mounted_small(tmp_path) as disk:
        disk.fill()
        with pytest.raises(StoreUnavailable, match="the disk is full; free some space"):
            await store_on(disk.folder).open()
        disk.free()
        store = await opened_on(disk.folder)
        await add(store, "a")
        await store.close()


async def test_a_migration_on_a_full_disk_is_not_applied_and_tells_the_remedy(
    tmp_path: Path,
) -> None:
    large = Migration("0002_large.sql", "create table t (b); insert into t values (zeroblob(3e6))")
    with mounted_small(tmp_path) as disk:
        store = await opened_on(disk.folder)
        with pytest.raises(StoreUnavailable, match="the disk is full; free some space"):
            await store.migrate("service", [SCHEMA, large])
        small = Migration("0002_small.sql", "create table t (b)")
        assert await store.migrate("service", [SCHEMA, small]) == ["0002_small.sql"]
        await store.close()


async def test_a_start_on_a_read_only_disk_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with mounted_small(tmp_path) as disk:
        store = await opened_on(disk.folder)
        await add(store, "a")
        assert not disk.remount(read_only=True)  # the kernel sees that a store is open
        await store.close()
        assert disk.remount(read_only=True)
        with pytest.raises(ConfigurationError, match="is not writable"):
            await store_on(disk.folder).open()
        assert disk.remount(read_only=False)
        store = await opened_on(disk.folder)
        assert await names(store) == ["a"]
        await store.close()


async def test_a_disk_that_turns_read_only_is_told_and_nothing_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    with mounted_failing(tmp_path, errors="remount-ro") as disk:
        store = await opened_on(disk.folder)
        kept, _ = await added(store, 0, 50)
        disk.break_down()
        done, failures = await added(store, 100, 20)
        assert done == []
        assert all("is read-only; make them writable" in str(failure) for failure in failures)
        assert await names(store) == kept
        await store.close()
        disk.repair()
        store = await opened_on(disk.folder)
        assert await names(store) == kept
        await store.close()


async def test_a_failed_sync_fails_the_commit_and_the_next_one_is_durable(tmp_path: Path) -> None:
    with mounted_failing(tmp_path) as disk:
        store = await opened_on(disk.folder)
        kept, _ = await added(store, 0, 50)
        disk.fail_syncs()
        failures: list[StoreError] = []
        for first in range(1000, 3000, 20):  # what goes into blocks that it has may go well
            done, failures = await added(store, first, 20)
            kept += done
            if failures:
                break
        assert {type(failure) for failure in failures} == {CommitFailed}
        assert await names(store) == kept  # what failed is not there: the file's truth
        disk.mend()
        done, failures = await added(store, 5000, 20)
        assert failures == []
        assert await names(store) == kept + done
        await store.close()
        disk.repair()  # forgets every page that only memory held
        store = await opened_on(disk.folder)
        assert await names(store) == kept + done
        await store.close()


def test_a_limit_on_file_sizes_is_told_and_survived(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.stores.limited_process", str(tmp_path / "shop.db")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "the disk is full; free some space (disk I/O error: File too large)" in ended.stdout
    assert "Traceback" not in ended.stderr
    acknowledged = [line[6:] for line in ended.stdout.splitlines() if line.startswith("added ")]
    connection = apsw.Connection(str(tmp_path / "shop.db"))
    found = [row[0] for row in connection.execute("select name from item order by id")]
    connection.close()
    assert found == acknowledged
    assert "after" in acknowledged
