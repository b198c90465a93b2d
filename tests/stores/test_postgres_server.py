"""PostgreSQL goes away and comes back, and an answer of COMMIT is lost: what is kept, and what is told."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from borough.engines.postgres import PostgresServer
from borough.errors import CommitFailed, CommitUnknown, StoreUnavailable
from borough.ports import Migration
from borough.stores.postgres import PostgresStore
from tests.servers.cutting import line_to
from tests.servers.postgres import postgres_server, postgres_url
from tests.stores.postgres_store import SCHEMA, Publisher, add, ids, opened

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """One on a database of its own."""
    async with opened(postgres_url) as store:
        yield store


async def test_an_answer_of_commit_that_never_came_is_asked_for(
    store: PostgresStore, postgres_url: str
) -> None:
    async with line_to(postgres_url) as line, opened(line.url) as cut_off:
        publisher = Publisher()
        line.cut = "after"
        await add(cut_off, 1, publisher)
        assert await ids(store) == [1]
        assert len(publisher.told) == 1
        line.cut = "before"
        with pytest.raises(CommitFailed):
            await add(cut_off, 2, publisher)
        assert await ids(store) == [1]
        assert len(publisher.told) == 1


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_where_nothing_tells_what_became_of_a_commit_it_is_told_as_unknown(
    store: PostgresStore, postgres_url: str, cut: Any
) -> None:
    async with line_to(postgres_url) as line, opened(line.url) as cut_off:
        line.cut = cut
        with pytest.raises(CommitUnknown):
            await add(cut_off, 1)
        assert await ids(store) == ([1] if cut == "after" else [])


async def test_a_server_that_has_crashed_is_not_believed_that_a_commit_is_kept(
    postgres_server: PostgresServer, store: PostgresStore, postgres_url: str
) -> None:
    """It gives the ids once more of which its log had nothing, and they are another's then."""

    async def crash() -> None:
        postgres_server.stop_at_once()
        postgres_server.restart()
        for number in range(10, 20):
            await add(store, number)

    async with line_to(postgres_url) as line, opened(line.url) as cut_off:
        line.cut, line.meanwhile = "before", crash
        with pytest.raises((CommitUnknown, CommitFailed)):
            await add(cut_off, 1, Publisher())
    assert 1 not in await ids(store)


async def test_a_transaction_in_which_nothing_was_done_may_be_repeated(postgres_url: str) -> None:
    async with line_to(postgres_url) as line, opened(line.url) as cut_off:
        line.cut = "before"
        with pytest.raises(StoreUnavailable):
            async with cut_off.transaction():
                pass


async def test_a_commit_of_what_a_function_wrote_is_told_as_unknown(
    store: PostgresStore, postgres_url: str
) -> None:
    charge = Migration(
        "0002_charge.sql",
        """
        create function charge(id bigint) returns bigint language sql
            as 'insert into item values (id, id::text, 1) returning id';
        """,
    )
    async with line_to(postgres_url) as line, opened(line.url) as cut_off:
        await store.migrate("service", [SCHEMA, charge])
        line.cut = "after"
        with pytest.raises(CommitUnknown):
            async with cut_off.transaction() as tx:
                await tx.one(int, "select charge($1)", 7)
        assert await ids(store) == [7]


async def test_a_store_goes_on_after_a_restart_of_its_server(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    async with opened(postgres_url) as store:
        await add(store, 1)
        async with store.snapshot():
            await asyncio.gather(*(ids(store) for _ in range(5)))
        postgres_server.kill()
        began = time.monotonic()
        waiting = asyncio.create_task(ids(store))
        await asyncio.sleep(0.1)  # it asks in vain
        postgres_server.restart()  # not in a thread: the server ends with who starts it
        assert await waiting == [1]
        assert time.monotonic() - began < 30
        await asyncio.gather(*(add(store, number) for number in range(2, 20)))
        assert len(await ids(store)) == 19


async def test_a_body_that_loses_its_server_has_done_nothing(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    async with opened(postgres_url) as store:

        async def cut_off() -> None:
            async with store.transaction() as tx:
                await tx.execute("insert into item values (1, 'a', 1)")
                postgres_server.stop_at_once()
                postgres_server.restart()
                await tx.execute("insert into item values (2, 'b', 1)")

        with pytest.raises(StoreUnavailable):
            await cut_off()
        assert await ids(store) == []
