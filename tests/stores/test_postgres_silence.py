"""A server that does not answer: what its transactions raise, and that the next one finds another connection."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from borough.clock import SystemClock
from borough.errors import CommitUnknown, DeadlineExceeded, StoreUnavailable
from borough.ports import Migration
from borough.stores.postgres import PostgresLimits, PostgresStore
from borough.stores.postgres.lookout import NEVER, Lookout
from tests.servers.postgres import postgres_server, postgres_url
from tests.stores.postgres_store import SCHEMA, add, ids, opened

__all__ = ["postgres_server", "postgres_url"]

ONE = PostgresLimits(connections=1, wait_s=30.0, rollback_s=0.3)
BEGUN_S = 1.5
"""What the server gives each statement that it does answer."""
PID = "select pg_backend_pid()"


class _Until(SystemClock):
    """The deadline of the call at hand, and a clock that may stand still before it, whatever the machine does."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline: float | None = None
        self._ahead_s = 0.0
        self._stands_at: float | None = None

    def __call__(self) -> float | None:
        return self.deadline

    def monotonic(self) -> float:
        if self._stands_at is not None:
            return self._stands_at
        return super().monotonic() + self._ahead_s

    def within(self, seconds: float) -> None:
        self.deadline = self.monotonic() + seconds

    def stand_before(self, seconds: float) -> None:
        """The call's time is not over until the clock is told to `go_on` or to `stand_after`."""
        self._stands_at = self.monotonic()
        self.within(seconds)

    def go_on(self) -> None:
        """A moment is left."""
        assert self.deadline is not None
        self._ahead_s = self.deadline - 0.1 - super().monotonic()
        self._stands_at = None

    def stand_after(self) -> None:
        """The call's time is over, and no more passes."""
        assert self.deadline is not None
        self._stands_at = self.deadline + 1


@pytest.fixture
def until() -> _Until:
    return _Until()


@pytest.fixture
async def store(postgres_url: str, until: _Until) -> AsyncIterator[PostgresStore]:
    """One with a single connection, so that a test knows which."""
    async with opened(postgres_url, ONE, until, until) as store:
        yield store


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """The server's process for one connection does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _goes_on(store: PostgresStore, until: _Until, number: int) -> None:
    until.deadline = None
    await add(store, number)
    assert number in await ids(store)


async def test_a_statement_without_an_answer_ends_with_the_calls_deadline(
    store: PostgresStore, until: _Until
) -> None:
    async def body() -> None:
        async with store.transaction() as tx:
            with standing_still(await tx.one(int, PID)):
                until.go_on()
                await tx.one(int, "select 1")

    until.stand_before(BEGUN_S)
    with pytest.raises(DeadlineExceeded, match="select 1"):
        await body()
    await _goes_on(store, until, 1)


async def test_a_begin_without_an_answer_is_refused_as_one_of_which_nothing_has_run(
    store: PostgresStore, until: _Until
) -> None:
    with standing_still(await store.one(int, PID)):
        until.within(0.2)
        with pytest.raises(StoreUnavailable, match="has not begun"):
            async with store.transaction():
                pass
        await _goes_on(store, until, 1)


async def test_a_commit_without_an_answer_is_told_as_unknown(
    store: PostgresStore, until: _Until
) -> None:
    async def body() -> None:
        async with store.transaction() as tx:
            await tx.execute("insert into item values (1, 'a', 1)")
            os.kill(pid, signal.SIGSTOP)
            until.go_on()

    pid = await store.one(int, PID)
    until.stand_before(BEGUN_S)
    try:
        with pytest.raises(CommitUnknown):
            await body()
        await _goes_on(store, until, 2)
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_body_that_is_cancelled_does_not_wait_for_a_silent_server(
    store: PostgresStore, until: _Until
) -> None:
    asking = asyncio.Event()

    async def body(pid: int) -> None:
        async with store.transaction() as tx:
            os.kill(pid, signal.SIGSTOP)
            asking.set()
            await tx.one(int, "select 1")

    pid = await store.one(int, PID)
    task = asyncio.create_task(body(pid))
    await asking.wait()
    task.cancel()
    try:
        with pytest.raises(asyncio.CancelledError):
            await task
        await _goes_on(store, until, 1)
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_statement_that_the_server_would_not_end_is_stopped_and_its_connection_kept(
    store: PostgresStore, until: _Until
) -> None:
    endless = Migration(
        "0002_endless.sql",
        "create function without_end() returns text language sql as "
        "$$ select set_config('statement_timeout', '0', true) $$",
    )
    await store.migrate("service", [SCHEMA, endless])

    async def body() -> None:
        async with store.transaction() as tx:
            await tx.one(str, "select without_end()")
            asyncio.get_running_loop().call_later(0.1, until.stand_after)
            await tx.execute("select pg_sleep(600)")

    pid = await store.one(int, PID)
    until.stand_before(BEGUN_S)
    with pytest.raises(DeadlineExceeded):
        await body()
    until.deadline = None
    assert await store.one(int, PID) == pid
    await _goes_on(store, until, 1)


# --- the lookout, without a server ------------------------------------------------------------------


class _Asked:
    """A connection that is asked something, and says when it is stopped."""

    def __init__(self) -> None:
        self.due = NEVER
        self.stopped = asyncio.Event()

    def stop(self, now: float) -> None:
        self.due = NEVER
        self.stopped.set()


async def test_what_is_due_first_is_stopped_first_and_what_was_answered_is_left_alone() -> None:
    now = SystemClock().monotonic()
    lookout = Lookout(SystemClock())
    late, early, answered = _Asked(), _Asked(), _Asked()
    for connection, due in ((late, now + 0.05), (early, now + 0.01), (answered, now + 0.02)):
        lookout.add(connection)
        lookout.expect(connection, due)
    answered.due = NEVER
    await early.stopped.wait()
    await late.stopped.wait()
    assert not answered.stopped.is_set()
    assert lookout.looks_at == NEVER


async def test_a_lookout_over_nothing_has_no_timer() -> None:
    lookout = Lookout(SystemClock())
    connection = _Asked()
    lookout.add(connection)
    lookout.expect(connection, SystemClock().monotonic() + 60)
    lookout.forget(connection)
    assert lookout.looks_at == NEVER
