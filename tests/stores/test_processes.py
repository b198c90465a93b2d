"""Several processes share one file: the baton goes round, and a killed holder loses it."""

# looking at a small file does not block
# ruff: noqa: ASYNC240

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from borough.errors import StoreUnavailable
from borough.ports import Migration
from borough.stores.sqlite import SqliteStore
from tests.stores.bodies import names
from tests.stores.conftest import Opener

PROGRAM = Path(__file__).parent / "writer_process.py"
COUNTED = Migration(
    "0001_count.sql",
    "create table done (tag text, n integer, primary key (tag, n)); create table total (n integer);"
    "insert into total values (0);",
)


@asynccontextmanager
async def process(
    mode: str, path: Path, tag: str = "", count: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process on the same file; killed in the end, if it still runs."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        mode,
        str(path),
        tag,
        str(count),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def lines(child: asyncio.subprocess.Process) -> list[str]:
    """What it said until its end."""
    assert child.stdout is not None
    return (await child.stdout.read()).decode().split()


async def count_until(store: SqliteStore, done: asyncio.Event) -> int:
    """Bodies in this process, 8 in flight, until told to stop."""
    written = 0

    async def bodies() -> None:
        nonlocal written
        while not done.is_set():
            async with store.transaction() as tx:
                await tx.execute("update total set n = n + 1")
            written += 1

    await asyncio.gather(*(bodies() for _ in range(8)))
    return written


async def test_two_processes_write_one_file_and_nothing_is_lost(opened: Opener, path: Path) -> None:
    store = await opened()
    await store.migrate("count", [COUNTED])
    done = asyncio.Event()
    async with process("write", path, "a", 2000) as one, process("write", path, "b", 2000) as two:
        counting = asyncio.ensure_future(count_until(store, done))
        said = await asyncio.gather(lines(one), lines(two))
        assert await one.wait() == await two.wait() == 0
        done.set()
        written = await counting
    assert [len(part) for part in said] == [2000, 2000]
    assert await store.one(int, "select n from total") == 4000 + written
    assert await store.one(int, "select count(*) from done") == 4000


async def test_what_a_killed_process_had_acknowledged_is_there(opened: Opener, path: Path) -> None:
    store = await opened()
    await store.migrate("count", [COUNTED])
    async with process("write", path, "a", 1_000_000) as child:
        assert child.stdout is not None
        said = [await child.stdout.readline() for _ in range(500)]
        child.kill()
        said += (await child.stdout.read()).splitlines()
        await child.wait()
    acknowledged = [int(line) for line in said if line.strip()]
    kept = set(await store.all(int, "select n from done"))
    assert kept.issuperset(acknowledged)
    assert await store.one(int, "select n from total") == len(kept)


async def test_a_killed_holder_gives_the_baton_back(opened: Opener, path: Path) -> None:
    store = await opened()
    await store.migrate("count", [COUNTED])
    async with process("hold", path) as child:
        assert child.stdout is not None
        await child.stdout.readline()
        child.send_signal(signal.SIGSTOP)  # its body would expire by itself
        waiting = asyncio.ensure_future(add_one(store))
        await asyncio.sleep(0)
        assert not waiting.done()
        child.kill()
        await waiting
    assert await store.one(int, "select n from total") == 1


async def add_one(store: SqliteStore) -> None:
    """One body."""
    async with store.transaction() as tx:
        await tx.execute("update total set n = n + 1")


async def test_a_paused_holder_is_waited_for_until_the_deadline(opened: Opener, path: Path) -> None:
    loop = asyncio.get_running_loop()
    wait = 10.0
    store = await opened(deadline=lambda: loop.time() + wait)
    await store.migrate("count", [COUNTED])
    async with process("hold", path) as child:
        assert child.stdout is not None
        await child.stdout.readline()
        child.send_signal(signal.SIGSTOP)
        wait = 0.1
        with pytest.raises(StoreUnavailable, match="another process holds it"):
            await add_one(store)
        assert await store.one(int, "select n from total") == 0  # readers go on
    wait = 10.0
    await add_one(store)
    assert await store.one(int, "select n from total") == 1


async def test_who_has_waited_comes_before_a_busy_holder(opened: Opener, path: Path) -> None:
    store = await opened()
    await store.migrate("count", [COUNTED])
    done = asyncio.Event()
    counting = asyncio.ensure_future(count_until(store, done))
    async with process("write", path, "a", 300) as child:
        said = await lines(child)  # ends although this process never rests
    done.set()
    await counting
    assert len(said) == 300


async def test_opening_waits_for_the_baton(path: Path, opened: Opener) -> None:
    loop = asyncio.get_running_loop()
    held = os.open(f"{path}.baton", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(StoreUnavailable, match="another process holds it"):
        await opened(deadline=lambda: loop.time() + 0.05)
    assert not path.exists()
    opening = asyncio.ensure_future(opened())
    await asyncio.sleep(0.01)
    assert not path.exists()
    os.close(held)
    await opening
    assert path.exists()


async def test_closing_without_the_baton_leaves_the_wal_to_others(
    opened: Opener, path: Path
) -> None:
    store = await opened(wait_s=0.05)
    await store.migrate("count", [COUNTED])
    held = os.open(f"{path}.baton", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    await store.close()
    assert Path(f"{path}-wal").stat().st_size > 0
    os.close(held)
    again = await opened()
    assert await again.one(int, "select n from total") == 0


async def test_another_programs_write_lock_is_waited_for(opened: Opener, path: Path) -> None:
    store = await opened()
    other = apsw.Connection(str(path))
    other.execute("begin immediate; insert into item (name) values ('theirs')")
    adding = asyncio.ensure_future(insert_ours(store))
    await asyncio.sleep(0.01)
    assert not adding.done()
    other.execute("commit")
    other.close()
    await adding
    assert await names(store) == ["ours", "theirs"]


async def insert_ours(store: SqliteStore) -> None:
    """One body."""
    async with store.transaction() as tx:
        await tx.execute("insert into item (name) values ('ours')")


async def test_two_processes_that_migrate_at_once_apply_once(path: Path) -> None:
    async with process("migrate", path) as one, process("migrate", path) as two:
        said = await asyncio.gather(lines(one), lines(two))
        assert await one.wait() == await two.wait() == 0
    assert sorted(said) == [["0"], ["1"]]
