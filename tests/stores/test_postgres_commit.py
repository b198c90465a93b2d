"""What is told of a COMMIT that nobody confirms: after a crash, without its copies, by a server that lets nobody in."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from borough.engines.postgres import PostgresServer
from borough.errors import CommitFailed, CommitUnknown, StoreError
from borough.stores.postgres import PostgresLimits, PostgresStore
from tests.servers.cutting import line_to
from tests.servers.postgres import postgres_server, postgres_url
from tests.stores.postgres_store import Publisher, add, ids, opened

HASTY = PostgresLimits(wait_s=30.0, commit_known_s=0.2)

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """One on a database of its own."""
    async with opened(postgres_url) as store:
        yield store


class Crash:
    """What befalls a server when one of its processes is killed: it ends all others, recovers, and is the same one."""

    def __init__(self, victim: int, witness: asyncpg.Connection) -> None:
        self._victim = victim
        self._is_recovering = asyncio.Event()
        witness.add_termination_listener(lambda _: self._is_recovering.set())

    async def come(self) -> None:
        """Returns when nobody is let in before the server has recovered."""
        os.kill(self._victim, signal.SIGKILL)
        await self._is_recovering.wait()


@asynccontextmanager
async def crash_of(url: str) -> AsyncGenerator[Crash]:
    """One that may come at once: the less time has passed, the less of the log is written."""
    victim, witness = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        yield Crash(victim.get_server_pid(), witness)
    finally:
        victim.terminate()
        witness.terminate()


async def test_a_server_of_which_a_process_has_crashed_is_not_believed_that_a_commit_is_kept(
    store: PostgresStore, postgres_url: str
) -> None:
    """It goes on under the same start, and gives ids once more all the same."""

    async def crash_and_go_on() -> None:
        await crash.come()
        async with opened(postgres_url) as after:
            for number in range(10, 20):
                await add(after, number)

    async with (
        line_to(postgres_url) as line,
        opened(line.url) as cut_off,
        crash_of(postgres_url) as crash,
    ):
        line.cut, line.meanwhile = "before", crash_and_go_on
        with pytest.raises(CommitUnknown):
            await add(cut_off, 1, Publisher())
    assert 1 not in await ids(store)


async def test_an_event_that_is_there_after_a_crash_tells_that_its_commit_is_kept(
    store: PostgresStore, postgres_url: str
) -> None:
    async with (
        line_to(postgres_url) as line,
        opened(line.url) as cut_off,
        crash_of(postgres_url) as crash,
    ):
        line.cut, line.meanwhile = "after", crash.come
        await add(cut_off, 1, Publisher())
    assert await ids(store) == [1]


async def test_a_store_finds_out_of_a_commit_whose_tables_were_made_after_it_had_connected(
    postgres_url: str,
) -> None:
    async with line_to(postgres_url) as line, opened(line.url) as cut_off:
        line.cut = "before"
        with pytest.raises(CommitFailed):
            await add(cut_off, 1, Publisher())


async def test_what_a_session_keeps_to_is_said_in_it(store: PostgresStore) -> None:
    """A pooler refuses what it is told on connecting, or leaves it out: then COMMIT may answer before it is kept."""
    said = await store.all(
        tuple[str, str],
        "select name, setting from pg_settings where source = 'session' order by name",
    )
    assert dict(said).items() >= {
        ("default_transaction_read_only", "on"),
        ("synchronous_commit", "on"),
    }


class Copies:
    """Those that a server's COMMIT waits for, as an administrator sees it: none, or one that is not there."""

    def __init__(self, inner: asyncpg.Connection, writer: asyncpg.Connection) -> None:
        self._inner = inner
        self._writer = writer

    async def name(self, names: str) -> None:
        """From now on these are waited for."""
        await self._inner.execute(f"alter system set synchronous_standby_names = '{names}'")
        await self._inner.execute("select pg_reload_conf()")

    async def go(self) -> None:
        """Returns when whoever commits waits for one that is not there."""
        await self.name("nobody")
        writing = asyncio.create_task(self._write_until_cancelled())
        await self.end("pg_cancel_backend", await self.one_who_waits("write"))
        await writing

    async def _write_until_cancelled(self) -> None:
        """The server hears of whom to wait for in its own time."""
        is_over = asyncio.Event()
        self._writer.add_log_listener(lambda *_: is_over.set())
        while not is_over.is_set():
            await self._writer.execute("/* write */ select pg_logical_emit_message(true, '', '')")

    async def one_who_waits(self, query: str) -> int:
        """The process that waits for copies with this."""
        found = None
        while found is None:
            await asyncio.sleep(0.01)
            found = await self._inner.fetchval(
                "select pid from pg_stat_activity where wait_event = 'SyncRep' and query ~ $1",
                query,
            )
        return int(found)

    async def end(self, how: str, pid: int) -> None:
        """The process does not wait any longer."""
        await self._inner.execute(f"select {how}({pid})")


@pytest.fixture
async def copies(postgres_server: PostgresServer, postgres_url: str) -> AsyncIterator[Copies]:
    """None, until they `go`. Asks for the database before, which is made by a COMMIT."""
    inner, writer = await asyncpg.connect(postgres_url), await asyncpg.connect(postgres_url)
    copies = Copies(inner, writer)
    try:
        yield copies
    finally:
        await copies.name("")
        await inner.close()
        await writer.close()


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_commit_that_no_copy_has_confirmed_is_told_as_unknown(
    postgres_url: str, copies: Copies, how: str
) -> None:
    """The server shows it as kept all the same, and answers so where only its waiting was ended."""
    async with opened(postgres_url, HASTY) as store:
        await copies.go()
        adding = asyncio.create_task(add(store, 1, Publisher()))
        await copies.end(how, await copies.one_who_waits("^commit"))
        with pytest.raises(CommitUnknown):
            await adding
        assert await ids(store) == [1]


async def test_an_asynchronous_commit_waits_for_no_copy_and_is_seen_at_once(
    postgres_url: str, copies: Copies
) -> None:
    async with opened(postgres_url) as store:
        await copies.go()
        lost: list[StoreError] = []
        async with asyncio.timeout(20), store.transaction(serializable=False) as tx:
            await tx.execute("insert into item values (1, 'item 1', 1)")
            tx.commit_asynchronously(lost.append)
        assert (await ids(store), lost) == ([1], [])
        adding = asyncio.create_task(add(store, 2))  # and it was for that one only
        await copies.one_who_waits("^commit")
        await copies.name("")
        await adding


@pytest.mark.parametrize("publisher", [None, Publisher()])
async def test_a_commit_is_kept_that_a_copy_has_confirmed_after_all(
    postgres_url: str, copies: Copies, publisher: Publisher | None
) -> None:
    async with opened(postgres_url) as store:
        await copies.go()
        adding = asyncio.create_task(add(store, 1, publisher))
        await copies.end("pg_cancel_backend", await copies.one_who_waits("^commit"))
        await copies.one_who_waits("pg_logical_emit_message")
        assert not adding.done()
        await copies.name("")
        await adding


async def test_who_is_cancelled_while_copies_are_waited_for_tells_first_what_is_kept(
    postgres_url: str, copies: Copies
) -> None:
    async with opened(postgres_url) as store:
        await copies.go()
        publisher = Publisher()
        adding = asyncio.create_task(add(store, 1, publisher))
        await copies.end("pg_cancel_backend", await copies.one_who_waits("^commit"))
        await copies.one_who_waits("pg_logical_emit_message")
        adding.cancel()
        await copies.name("")
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert len(publisher.told) == 1


async def test_a_server_that_lets_nobody_in_any_more_leaves_a_commit_unknown(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    administrator = await asyncpg.connect(postgres_url)
    password = urlsplit(postgres_url).password

    async def let_nobody_in() -> None:
        await administrator.execute("alter role borough password 'another'")

    try:
        async with line_to(postgres_url) as line, opened(line.url) as cut_off:
            line.cut, line.meanwhile = "after", let_nobody_in
            with pytest.raises(CommitUnknown):
                await add(cut_off, 1, Publisher())
    finally:
        await administrator.execute(f"alter role borough password '{password}'")
        await administrator.close()
