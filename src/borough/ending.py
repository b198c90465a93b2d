"""What must have ended before one goes on, however often one is cancelled meanwhile, or whatever fails.

Cancelling waits for nothing: the second one takes a waiter away from a thread or a task that still works. Where
that works on what others use next (a file, a connection), whoever waits has to stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

__all__ = ["each_ended", "ended", "until_done"]

T = TypeVar("T")


async def until_done(work: asyncio.Future[Any]) -> None:
    """Wait for the end of `work`. Whoever is cancelled, once or again, waits as well, and hears of it then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as request:
            cancelled = request
    if cancelled is not None:
        raise cancelled


async def ended(work: asyncio.Future[T]) -> T:
    """Wait for the end of `work`, as `until_done` does, and give its result or raise what it raised."""
    try:
        await until_done(work)
    except asyncio.CancelledError:
        if not work.cancelled():
            work.exception()  # nobody else will ask for it
        raise
    return work.result()


async def each_ended(steps: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Take these steps one after the other, also where one fails. Raises the first failure, in the end.

    Whoever is cancelled takes no further step.
    """
    first: Exception | None = None
    for step in steps:
        try:
            await step()
        except Exception as error:
            first = first or error
    if first is not None:
        raise first
