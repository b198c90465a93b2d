"""Running a body again where another transaction was first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from borough.clock import Clock
from borough.errors import TransactionConflict
from borough.reliability.reruns import pause_s

__all__ = ["rerun"]

T = TypeVar("T")


def _never() -> bool:
    return False


async def rerun(
    work: Callable[[], Awaitable[T]],
    clock: Clock | None = None,
    *,
    unless: Callable[[], bool] = _never,
) -> T:
    """Do `work` until nobody is in its way; without a clock it does not pause.

    What it did before its transaction is done again, too. Raises `TransactionConflict` where that takes
    too many runs, or `unless` says that none may follow.
    """
    reruns = 0
    while True:
        try:
            return await work()
        except TransactionConflict:
            wait_s = pause_s(reruns, 0.0 if clock is None else clock.random.random())
            if wait_s is None or unless():
                raise
        reruns += 1
        if wait_s and clock is not None:
            await clock.sleep(wait_s)
