"""A statement that is awaited to its end, whatever cancels the task meanwhile, without a task of its own.

Cancelling a task cancels the future that it waits for, and the driver then cancels the statement on the server.
So the statement is stepped here, and its task waits beside that future. A COMMIT is too short for a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

__all__ = ["Uncut"]


class Uncut:
    """Awaits `statement`, which waits for futures alone: a timeout inside of it would not be heard.

    `cancelled` is the last request to cancel that came meanwhile, for whoever awaits it to go on with.
    """

    __slots__ = ("_statement", "cancelled")

    def __init__(self, statement: Coroutine[Any, Any, None]) -> None:
        self._statement = statement
        self.cancelled: asyncio.CancelledError | None = None

    def __await__(self) -> Generator[Any, None, None]:
        step = self._statement.send
        while True:
            try:
                waited: asyncio.Future[Any] = step(None)
            except StopIteration:
                return
            waited._asyncio_future_blocking = False  # what a task says when it waits for one
            while not waited.done():
                beside = waited.get_loop().create_future()
                told = partial(_tell, beside)
                waited.add_done_callback(told)
                try:
                    yield from beside
                except asyncio.CancelledError as request:
                    self.cancelled = request
                    waited.remove_done_callback(told)


def _tell(beside: asyncio.Future[None], _waited: asyncio.Future[Any]) -> None:
    if not beside.done():
        beside.set_result(None)
