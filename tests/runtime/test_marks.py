"""The mark of a run: how long it holds, and what becomes of the run when it is not kept or cannot be given back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
import pytest

from borough.errors import (
    CommitFailed,
    ConstraintViolated,
    DeadlineExceeded,
    KeyInUse,
    StoreError,
    StoreUnavailable,
    TransactionConflict,
)
from borough.ports import StoreTransaction
from borough.reliability.idempotency import LONGEST_MARK_S
from borough.runtime.answers import KeyedCalls, Mark
from borough.stores.sqlite.connection import Connection
from borough.testing.clock import ManualClock
from tests.runtime.stage import SERVER, staged
from tests.runtime.test_answers import CardDeclined, Receipt, Till, answering


class LateStore:
    """A store that is given no more time, once that is said."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.dialect = store.dialect
        self.is_late = False

    def transaction(self, *, serializable: bool = True) -> Any:
        if self.is_late:
            raise DeadlineExceeded("the call's deadline has passed")
        return self._store.transaction(serializable=serializable)


S = TypeVar("S", bound=LateStore)


@asynccontextmanager
async def till_on(folder: Path, kind: Callable[[Any], S]) -> AsyncIterator[tuple[Till, S]]:
    """A till that takes its marks from such a store."""
    async with staged(folder, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        store = kind(till.place.store)
        till.calls = KeyedCalls(cast(Any, store), clock)
        yield till, store


async def test_a_key_that_cannot_be_given_back_in_time_hides_nothing_of_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with till_on(tmp_path, LateStore) as (till, store):

        async def declined(tx: StoreTransaction) -> Any:
            store.is_late = True
            return CardDeclined(reason="stolen")

        with pytest.raises(CardDeclined):
            await till.run(declined)
        assert "keeps its key 'order-1' until its deadline" in caplog.text


class AwayStore(LateStore):
    """A store that gives no connection any more, once that is said."""

    def transaction(self, *, serializable: bool = True) -> Any:
        if self.is_late:
            return self._nothing()
        return super().transaction(serializable=serializable)

    @asynccontextmanager
    async def _nothing(self) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield


async def test_what_a_run_gave_does_not_wait_to_the_deadline_for_its_key_to_be_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with till_on(tmp_path, AwayStore) as (till, store):

        async def unavailable(tx: StoreTransaction) -> Any:
            store.is_late = True
            till.clock.advance(9.9)
            raise StoreUnavailable("away")

        with pytest.raises(StoreUnavailable):
            await till.run(unavailable)
        assert "keeps its key 'order-1' until its deadline" in caplog.text


async def test_a_run_whose_time_is_over_has_no_key_to_give_back_and_says_nothing_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with till_on(tmp_path, LateStore) as (till, _):

        async def late(_tx: StoreTransaction) -> Any:
            till.clock.advance(10)
            raise CardDeclined(reason="stolen")

        with pytest.raises(CardDeclined):
            await till.run(late)
        assert "keeps its key" not in caplog.text
        assert await till.run(answering(1)) == Receipt(number=1)


class ContestedStore(LateStore):
    """A store that loses its next commit to another transaction, once that is said."""

    def transaction(self, *, serializable: bool = True) -> Any:
        return self._lost() if self.is_late else super().transaction(serializable=serializable)

    @asynccontextmanager
    async def _lost(self) -> AsyncIterator[Any]:
        self.is_late = False
        async with self._store.transaction(serializable=False) as tx:
            yield tx
            raise TransactionConflict("another transaction of the same commit was ended")


async def test_a_key_is_given_back_once_more_where_another_transaction_was_in_the_way(
    tmp_path: Path,
) -> None:
    async with till_on(tmp_path, ContestedStore) as (till, store):

        async def declined(_tx: StoreTransaction) -> Any:
            store.is_late = True
            raise CardDeclined(reason="stolen")

        with pytest.raises(CardDeclined):
            await till.run(declined)
        assert not store.is_late
        assert await till.run(answering(1)) == Receipt(number=1)


async def test_a_stored_answer_is_looked_for_once_more_where_another_transaction_was_in_the_way(
    tmp_path: Path,
) -> None:
    async with till_on(tmp_path, ContestedStore) as (till, store):
        await till.run(answering(1))
        store.is_late = True
        assert await till.run(answering(2)) == Receipt(number=1)
        assert not store.is_late


class ForgetfulStore(LateStore):
    """A store that does not keep the first mark, and says so when it is told to."""

    asynchronous = 0
    """How many were not waited for."""
    lose: Callable[[StoreError], None]

    def transaction(self, *, serializable: bool = True) -> Any:
        return _Forgetful(self, self._store.transaction(serializable=serializable))


class _Forgetful:
    def __init__(self, store: ForgetfulStore, transaction: Any) -> None:
        self._store = store
        self._transaction = transaction
        self._is_lost = False

    async def __aenter__(self) -> Any:
        self._inner = await self._transaction.__aenter__()
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit_asynchronously(self, lose: Callable[[StoreError], None]) -> None:
        self._store.asynchronous += 1
        if self._store.asynchronous > 1:
            self._inner.commit_asynchronously(lose)
            return
        self._is_lost = True
        self._store.lose = lose

    async def __aexit__(self, *raised: Any) -> None:
        if self._is_lost:
            raised = (StoreError, StoreError("it is not kept"), None)
        await self._transaction.__aexit__(*raised)


class Stuck:
    """What a run does before its transaction: the first for ever, the others only when they may."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Event] = [asyncio.Event() for _ in range(3)]
        self.at_once = self.most = 0
        self.others_may = asyncio.Event()
        self._runs = 0

    async def __call__(self) -> None:
        run, self._runs = self._runs, self._runs + 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.begun[run].set()
        try:
            await (self.others_may.wait() if run else asyncio.Event().wait())
        finally:
            self.at_once -= 1


async def test_a_run_whose_mark_fell_to_a_conflict_runs_again_under_another_and_alone(
    tmp_path: Path,
) -> None:
    async with till_on(tmp_path, ForgetfulStore) as (till, store):
        stuck = Stuck()
        run = asyncio.create_task(till.run(answering(1), before=stuck))
        await stuck.begun[0].wait()
        store.lose(TransactionConflict("another was ended"))
        await stuck.begun[1].wait()
        with pytest.raises(KeyInUse):
            await till.run(answering(2), before=stuck)
        stuck.others_may.set()
        assert await run == Receipt(number=1)
        assert await till.run(answering(3)) == Receipt(number=1)
        assert (stuck.most, till.runs, await till.rows("placed")) == (1, 2, 1)


async def test_a_run_whose_mark_fell_to_a_conflict_is_over_where_another_has_the_key(
    tmp_path: Path,
) -> None:
    async with till_on(tmp_path, ForgetfulStore) as (till, store):
        stuck = Stuck()
        run = asyncio.create_task(till.run(answering(1), before=stuck))
        await stuck.begun[0].wait()
        other = asyncio.create_task(till.run(answering(2), before=stuck))
        await stuck.begun[1].wait()
        store.lose(TransactionConflict("another was ended"))
        with pytest.raises(KeyInUse):
            await run
        stuck.others_may.set()
        assert await other == Receipt(number=2)
        assert await till.place.store.all(int, "select number from placed") == [2]


async def test_a_run_that_answers_when_its_mark_is_gone_keeps_nothing(tmp_path: Path) -> None:
    async with till_on(tmp_path, ForgetfulStore) as (till, _):
        with pytest.raises(KeyInUse):
            await till.run(answering(1))
        assert await till.rows("placed") == 0


async def test_a_run_whose_mark_could_not_be_written_is_ended_and_the_next_one_waits_for_its(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with till_on(tmp_path, ForgetfulStore) as (till, store):
        stuck = Stuck()
        run = asyncio.create_task(till.run(answering(1), before=stuck))
        await stuck.begun[0].wait()
        store.lose(CommitFailed("the disk is full"))
        with pytest.raises(CommitFailed, match="the disk is full"):
            await run
        assert "its mark was not kept" in caplog.text
        assert stuck.at_once == 0
        for number in (2, 3):
            assert store.asynchronous == 1
            assert await till.run(answering(number), key=f"{number}") == Receipt(number=number)
        assert store.asynchronous == 2  # the third, after one was kept
        assert (till.runs, await till.rows("placed")) == (3, 2)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_run_that_goes_on_although_it_is_interrupted_has_no_outcome(
    tmp_path: Path, answers: bool
) -> None:
    begun = asyncio.Event()

    async def deaf() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def silent(_tx: StoreTransaction) -> Any:
        return Receipt(number=1)

    async with till_on(tmp_path, ForgetfulStore) as (till, store):
        body = answering(1) if answers else silent
        run = asyncio.create_task(till.run(body, before=deaf))
        await begun.wait()
        store.lose(CommitFailed("the disk is full"))
        with pytest.raises(CommitFailed, match="the disk is full"):
            await run
        assert await till.rows("borough_answers") == 0


def strict(database: Path) -> None:
    """A number below 0 ends the group, which no statement of a service's may do."""
    beside = sqlite3.connect(database)
    beside.execute(
        "create trigger strict before insert on placed when new.number < 0 "
        "begin select raise(rollback, 'no such number'); end"
    )
    beside.close()


@pytest.mark.skipif(SERVER is not None, reason="a transaction is alone there")
async def test_a_run_whose_own_failure_takes_its_mark_along_fails_with_it_and_does_not_run_again(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        strict(tmp_path / "orders.db")
        with pytest.raises(ConstraintViolated, match="no such number"):
            await till.run(answering(-1))
        assert till.runs == 1
        assert await till.run(answering(1)) == Receipt(number=1)


@pytest.mark.skipif(SERVER is not None, reason="a transaction is alone there")
async def test_a_run_that_hides_what_has_taken_its_mark_along_runs_again_under_another(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        strict(tmp_path / "orders.db")

        async def before() -> None:
            if till.runs == 1:
                with suppress(ConstraintViolated):
                    async with till.place.db.transaction() as tx:
                        await tx.execute("insert into placed values (-1, 'ann')")

        assert await till.run(answering(1), before=before) == Receipt(number=1)
        assert till.runs == 2


@pytest.mark.skipif(SERVER is not None, reason="COMMIT is awaited there")
async def test_a_failed_commit_of_the_mark_alone_ends_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Connection.control
    is_full = True

    def full(self: Connection, text: str) -> Any:
        if is_full and text == "commit":
            raise apsw.FullError("database or disk is full")
        return control(self, text)

    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        monkeypatch.setattr(Connection, "control", full)
        stuck = Stuck()
        with pytest.raises(CommitFailed):
            await till.run(answering(1), before=stuck)
        with pytest.raises(
            CommitFailed
        ):  # before it runs: nothing is tried while marks are not kept
            await till.run(answering(1), before=stuck)
        assert till.runs == 1
        is_full = False
        assert await till.run(answering(1)) == Receipt(number=1)


async def test_a_mark_of_the_longest_time_holds_its_key_also_for_who_has_an_earlier_time(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        store = (await stage.place("orders")).store
        behind = ManualClock(clock.now() - timedelta(seconds=1))
        deadline = 2 * LONGEST_MARK_S
        mark = await KeyedCalls(store, clock).begin("x", "", "k", b"f", deadline, lambda v: v)
        assert isinstance(mark, Mark)
        for each in (behind, clock):
            with pytest.raises(KeyInUse):
                await KeyedCalls(store, each).begin("x", "", "k", b"f", deadline, lambda v: v)
            clock.advance(LONGEST_MARK_S - 61)  # until then


async def test_a_mark_from_before_the_clock_was_set_back_holds_nobody_up(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        async with till.place.store.transaction() as tx:
            await tx.execute(
                "insert into borough_marks values ('orders.Charges.charge', '', 'order-1', 'dead', $1)",
                clock.epoch_s() + 7200.0,
            )
        assert await till.run(answering(1)) == Receipt(number=1)
