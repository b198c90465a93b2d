"""An answer that nobody could read again is not stored under its key: a later repeat runs."""

from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from borough.contracts.marks import Reply
from borough.errors import ServiceFailure
from borough.ports import StoreTransaction
from borough.testing.clock import ManualClock
from tests.runtime.stage import staged
from tests.runtime.test_answers import CardDeclined, Dated, Till


async def test_a_problem_that_nobody_could_read_again_is_not_stored(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def decline(tx: StoreTransaction) -> Any:
            return await tx.answer(CardDeclined(reason=cast("Any", 7)))

        with pytest.raises(ServiceFailure, match="out of contract: Expected `str`, got `int`"):
            await till.run(decline)
        assert (await till.rows("borough_marks"), await till.rows("borough_answers")) == (0, 0)


async def test_a_reply_that_nobody_could_read_again_is_not_stored(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def give(tx: StoreTransaction) -> Any:
            return await tx.answer(Reply(value=Dated(at=datetime(2026, 1, 1))))

        with pytest.raises(ServiceFailure, match="out of contract: a datetime without a time zone"):
            await till.run(give, 100, operation="date", key="k", user="ann")
        assert (await till.rows("borough_marks"), await till.rows("borough_answers")) == (0, 0)
