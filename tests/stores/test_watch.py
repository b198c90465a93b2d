"""A body that holds the writer for too long is undone, and told whose fault it was."""

import asyncio
import time

import pytest

from borough.errors import StoreUnavailable, TransactionMisuse
from tests.stores.bodies import ADD, add, names
from tests.stores.conftest import Opener


def stand_still(seconds: float) -> None:
    """What too little CPU, or a pause, does to the whole process."""
    time.sleep(seconds)


async def test_a_body_that_waits_for_other_things_is_its_authors_fault(opened: Opener) -> None:
    store = await opened(body_s=0.2)

    async def body() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "late", 1)
            await asyncio.sleep(0.6)

    with pytest.raises(TransactionMisuse, match=r"held the writer for more than 0\.2 s"):
        await body()
    assert await names(store) == []


@pytest.mark.parametrize("then", ["a statement", "the end"])
async def test_a_process_that_stood_still_is_not(opened: Opener, then: str) -> None:
    store = await opened(body_s=0.2)

    async def body() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "late", 1)
            stand_still(0.4)
            await asyncio.sleep(0)
            if then == "a statement":
                await tx.execute(ADD, "later", 1)
            else:
                await asyncio.sleep(0.1)

    with pytest.raises(StoreUnavailable, match="the process stood still"):
        await body()
    assert await names(store) == []
    await add(store, "next")
    assert await names(store) == ["next"]
