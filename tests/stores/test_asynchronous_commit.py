"""A transaction whose COMMIT is not awaited: what comes next in its process has it, or neither."""

import asyncio
from collections.abc import Callable
from typing import Any

import apsw
import pytest

from borough.errors import CommitFailed, ConstraintViolated, StoreError
from borough.stores.sqlite import SqliteStore
from borough.stores.sqlite.connection import Connection
from tests.stores.bodies import ADD, add, names
from tests.stores.conftest import Opener

Counted = Callable[[], int]


async def add_asynchronously(store: SqliteStore, name: str) -> list[StoreError]:
    """One body with one row, for whose COMMIT nobody waits; why it was lost, once it is."""
    lost: list[StoreError] = []
    async with store.transaction() as tx:
        await tx.execute(ADD, name, 1)
        tx.commit_asynchronously(lost.append)
    return lost


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How many COMMITs have been begun."""
    seen: list[str] = []
    control = Connection.control

    def counted(self: Connection, text: str) -> Any:
        seen.append(text)
        return control(self, text)

    monkeypatch.setattr(Connection, "control", counted)
    return lambda: seen.count("commit")


async def test_leaving_waits_for_nothing_and_what_comes_next_is_in_the_same_commit(
    store: SqliteStore, commits: Counted
) -> None:
    before = commits()
    await add_asynchronously(store, "first")
    assert commits() == before
    await add(store, "second")
    assert commits() == before + 1
    assert await names(store) == ["first", "second"]


async def test_who_comes_when_the_commit_runs_is_in_a_later_one_and_sees_it(
    store: SqliteStore, commits: Counted
) -> None:
    before = commits()
    await add_asynchronously(store, "first")
    while commits() == before:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    async with store.transaction() as tx:
        assert await tx.all(str, "select name from item") == ["first"]
        await tx.execute(ADD, "second", 1)
    assert commits() == before + 2


async def test_another_process_comes_after_it(opened: Opener) -> None:
    store, other = await opened(wait_s=60.0), await opened(wait_s=60.0)
    await add_asynchronously(store, "first")
    async with other.transaction() as tx:
        assert await tx.all(str, "select name from item") == ["first"]


async def test_a_commit_that_failed_is_told_and_is_nobodys_error(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Connection.control
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(self: Connection, text: str) -> Any:
        if text == "commit" and not failed.is_set():
            loop.call_soon_threadsafe(failed.set)
            raise apsw.FullError("database or disk is full")
        return control(self, text)

    monkeypatch.setattr(Connection, "control", full)
    lost = await add_asynchronously(store, "first")
    assert lost == []
    await failed.wait()
    await add(store, "second")
    (failure,) = lost
    assert isinstance(failure, CommitFailed)
    assert await names(store) == ["second"]


async def test_a_body_that_fails_says_so_all_the_same(store: SqliteStore) -> None:
    lost: list[StoreError] = []

    async def body() -> None:
        async with store.transaction() as tx:
            tx.commit_asynchronously(lost.append)
            await tx.execute("insert into line (item_id) values (7)")  # no such item at the end

    with pytest.raises(ConstraintViolated):
        await body()
    assert await store.one(int, "select count(*) from line") == 0
    assert lost == []


async def test_closing_keeps_what_nobody_has_waited_for(opened: Opener) -> None:
    store = await opened()
    await add_asynchronously(store, "first")
    await store.close()
    assert await names(await opened()) == ["first"]
