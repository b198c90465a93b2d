"""A statement that is awaited to its end, whatever cancels the task meanwhile, without a task of its own.

Cancelling a task cancels the future that it waits for, and the driver then cancels the statement on the server.
So the statement is stepped here, and its task waits for what refuses: it then keeps the request until the future
is done, and makes it here. A COMMIT is too short for a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["Uncut"]


class Uncut:
    """Awaits `statement`, which waits for futures alone: a timeout inside of it would not be heard.

    To its task it is the future that is waited for, but for that it cannot be cancelled. `request` is the last one to
    cancel that came meanwhile, for whoever awaits it to go on with.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_statement",
        "add_done_callback",
        "get_loop",
        "request",
    )

    def __init__(self, statement: Coroutine[Any, Any, None]) -> None:
        self._statement = statement
        self.request: asyncio.CancelledError | None = None

    def __await__(self) -> Generator[Any, None, None]:
        step = self._statement.send
        while True:
            try:
                waited: asyncio.Future[Any] = step(None)
            except StopIteration:
                return
            waited._asyncio_future_blocking = False  # what a task says when it waits for one
            self._asyncio_future_blocking = True
            self.add_done_callback = waited.add_done_callback
            self.get_loop = waited.get_loop
            try:
                yield self
            except asyncio.CancelledError as request:
                if not waited.cancelled():
                    self.request = request
            except Exception:
                pass  # the future's own, which the statement gets from it

    def cancel(self, msg: object = None) -> bool:
        """The task's own request: not now."""
        return False
