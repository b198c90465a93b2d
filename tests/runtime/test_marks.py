"""The mark of a run: what is answered when its commit fails behind the run, and when it cannot be given back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from borough.errors import DeadlineExceeded, KeyInUse, StoreUnavailable
from borough.ports import StoreTransaction
from borough.runtime.answers import KeyedCalls
from borough.testing.clock import ManualClock
from tests.runtime.stage import staged
from tests.runtime.test_answers import CardDeclined, Receipt, Till, answering


class LateStore:
    """A store that is given no more time, once that is said."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.is_late = False

    def transaction(self, *, serializable: bool = True) -> Any:
        if self.is_late:
            raise DeadlineExceeded("the call's deadline has passed")
        return self._store.transaction(serializable=serializable)


async def test_a_key_that_cannot_be_given_back_in_time_hides_nothing_of_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        store: Any = LateStore(till.place.store)
        till.calls = KeyedCalls(store, clock)

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
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        store: Any = AwayStore(till.place.store)
        till.calls = KeyedCalls(store, clock)

        async def unavailable(tx: StoreTransaction) -> Any:
            store.is_late = True
            clock.advance(9.9)
            raise StoreUnavailable("away")

        with pytest.raises(StoreUnavailable):
            await till.run(unavailable)
        assert "keeps its key 'order-1' until its deadline" in caplog.text


class ForgetfulStore(LateStore):
    """A store that loses the mark of the next run: its COMMIT fails, behind the run's back."""

    def transaction(self, *, serializable: bool = True) -> Any:
        if self.is_late:
            return self._store.transaction(serializable=serializable)
        self.is_late = True
        return _Lost(self._store.transaction(serializable=serializable))


class _Lost:
    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self.is_lost = True

    async def __aenter__(self) -> Any:
        self._inner = await self._transaction.__aenter__()
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __aexit__(self, *_raised: object) -> None:
        error = RuntimeError("the disk is full")
        await self._transaction.__aexit__(RuntimeError, error, None)


async def test_a_run_whose_mark_was_lost_answers_where_nobody_has_taken_the_key_since(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        store: Any = ForgetfulStore(till.place.store)
        till.calls = KeyedCalls(store, clock)
        assert await till.run(answering(1)) == Receipt(number=1)
        assert await till.run(answering(2)) == Receipt(number=1)
        assert (till.runs, await till.rows("placed")) == (1, 1)


@pytest.mark.parametrize("has_answered", [True, False])
async def test_a_run_whose_mark_was_lost_commits_nothing_where_another_has_taken_the_key(
    tmp_path: Path, has_answered: bool
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        store: Any = ForgetfulStore(till.place.store)
        till.calls = KeyedCalls(store, clock)
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            begun.set()
            await may_end.wait()

        async def overtaken() -> None:
            other = asyncio.create_task(till.run(answering(2), before=hold))
            others.append(other)
            await begun.wait()
            if has_answered:
                may_end.set()
                await other

        others: list[asyncio.Task[Any]] = []
        with pytest.raises(KeyInUse):
            await till.run(answering(1), before=overtaken)
        may_end.set()
        assert await others[0] == Receipt(number=2)
        assert await till.place.store.all(int, "select number from placed") == [2]
        assert await till.run(answering(3)) == Receipt(number=2)
