"""Small bodies and questions that many tests share."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from borough.stores.sqlite import SqliteStore

T = TypeVar("T")

ADD = "insert into item (name, stock) values ($1, $2)"
SLOW = (
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) "
    "select count(*) from n"
)
"""A read whose time grows with `$1`: about 50 ns for each."""


async def add(store: SqliteStore, name: str, stock: int = 1) -> None:
    """One body with one row."""
    async with store.transaction() as tx:
        await tx.execute(ADD, name, stock)


async def names(store: SqliteStore) -> list[str]:
    """What is there, as another connection sees it."""
    return await store.all(str, "select name from item order by name")


class Stepped:
    """Awaits a coroutine and acts on its task at its `at`-th suspension.

    `early` cancels before the loop has turned; otherwise one turn later, when what is awaited may
    already be there.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], at: int, *, early: bool) -> None:
        self.coroutine = coroutine
        self.at = at
        self.early = early
        self.reached = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.coroutine.__await__()
        task = asyncio.current_task()
        assert task is not None
        try:
            awaited = next(steps)
            while True:
                self.reached += 1
                if self.reached == self.at:
                    if self.early:
                        task.cancel()
                    else:
                        asyncio.get_running_loop().call_soon(task.cancel)
                try:
                    value = yield awaited
                except BaseException as error:
                    awaited = steps.throw(error)
                else:
                    awaited = steps.send(value)
        except StopIteration as end:
            return end.value


async def outcome(awaitable: Any) -> Any:
    """What it returns or raises, as a value."""
    try:
        return await awaitable
    except BaseException as error:
        return error
