"""A folder, file or disk that cannot be used: one clear sentence with the remedy."""

# the body of a transaction stands inside `raises`; looking at a small file does not block
# ruff: noqa: ASYNC240, PT012

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.errors import ConfigurationError, StoreError, StoreUnavailable
from borough.stores.sqlite import SqliteStore
from tests.stores.bodies import add, names
from tests.stores.conftest import SCHEMA, Opener

OPEN = """
import asyncio, os, sys
from borough.clock import SystemClock
from borough.errors import BoroughError
from borough.stores.sqlite import SqliteStore

async def main():
    try:
        await SqliteStore(sys.argv[1], clock=SystemClock()).open()
    except BoroughError as error:
        print(type(error).__name__, error)

if os.getuid() == 0:  # who may write everywhere; a user without rights instead
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main())
"""


async def opened_without_rights(path: Path) -> str:
    """Open in a process that cannot write as it likes; what it said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OPEN, str(path), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    return said.decode()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may look into; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="borough-") as name:
        made = Path(name)
        made.chmod(0o755)
        yield made
        made.chmod(0o755)


async def test_a_read_only_folder_is_refused_with_the_remedy(folder: Path) -> None:
    folder.chmod(0o555)
    said = await opened_without_rights(folder / "shop.db")
    assert said.startswith("ConfigurationError")
    assert "is not writable; SQLite keeps files beside the database" in said


async def test_a_read_only_database_is_refused_with_the_remedy(folder: Path) -> None:
    path = folder / "shop.db"
    path.write_bytes(b"")
    path.chmod(0o444)
    folder.chmod(0o777)
    said = await opened_without_rights(path)
    assert said.startswith("ConfigurationError")
    assert "is not writable; change its rights" in said


async def test_a_missing_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nowhere" / "shop.db", clock=SystemClock())
    with pytest.raises(ConfigurationError, match="is no folder; create it"):
        await store.open()
    await store.close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("a letter to a friend " * 100)
    store = SqliteStore(path, clock=SystemClock())
    with pytest.raises(ConfigurationError, match="is no SQLite database; name another file"):
        await store.open()
    assert path.read_text() == "a letter to a friend " * 100
    path.unlink()
    await store.open()  # the failed opening has left nothing behind
    await store.close()


async def test_a_folder_in_the_files_place_is_refused(path: Path) -> None:
    path.mkdir()
    store = SqliteStore(path, clock=SystemClock())
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await store.open()


async def test_a_damaged_page_is_reported_with_the_remedy(opened: Opener, path: Path) -> None:
    store = await opened()
    async with store.transaction() as tx:
        await tx.many("insert into item (name) values ($1)", [(f"{n:0100}",) for n in range(2000)])
    await store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(os.urandom(size - 4096 * 4))
    store = SqliteStore(path, clock=SystemClock())
    await store.open()
    with pytest.raises(StoreError, match="damaged; restore it from a backup"):
        await store.all(str, "select name from item order by name desc")
    with pytest.raises(StoreUnavailable, match="damaged"):
        async with store.transaction() as tx:
            await tx.execute("update item set name = name || 'x'")
    await store.close()


class _Later(SystemClock):
    """A clock that can be put on."""

    later_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_s


async def test_nothing_is_written_into_a_file_that_is_gone_for_more_than_a_second(
    path: Path,
) -> None:
    clock = _Later()
    store = SqliteStore(path, clock=clock)
    await store.open()
    await store.migrate("service", [SCHEMA])
    await add(store, "a")
    away = path.rename(path.with_name("away.db"))
    clock.later_s = 1.0
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"moved, removed or replaced.*put it back"):
            await add(store, "lost")
    path.write_bytes(b"")  # another's
    with pytest.raises(StoreUnavailable, match=r"moved, removed or replaced"):
        await add(store, "lost")
    away.rename(path)
    await add(store, "b")
    assert await names(store) == ["a", "b"]
    await store.close()


async def test_a_full_database_fails_its_body_and_recovers(opened: Opener) -> None:
    store = await opened()
    assert store._writer is not None
    connection = store._writer.connection
    connection.control("pragma max_page_count = 20")
    with pytest.raises(StoreUnavailable, match="disk is full"):
        async with store.transaction() as tx:
            for number in range(100):
                await tx.execute("insert into item (name) values ($1)", f"{number}" * 4000)
    connection.control("pragma max_page_count = 100000")
    await add(store, "a")
    assert await names(store) == ["a"]


async def test_every_setting_is_read_back_at_open(store: SqliteStore) -> None:
    assert store._writer is not None
    connection = store._writer.connection
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": 0,
        "wal_autocheckpoint": 0,
        "foreign_keys": 1,
        "trusted_schema": 0,
    }
    assert {name: connection.control(f"pragma {name}") for name in wanted} == wanted
