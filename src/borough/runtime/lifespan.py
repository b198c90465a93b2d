"""The lifespan of an ASGI application: startup and shutdown, in one task of its own.

An application that raises before it has said anything has no lifespan, as the ASGI specification
has it; what it says of a failing startup is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from borough.errors import OpenFailed

__all__ = ["Asgi", "Lifespan", "Message"]

_log = logging.getLogger("borough.host")
Message = MutableMapping[str, Any]
Asgi = Callable[
    [Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class Lifespan:
    """One application's. `state` is what its startup leaves for its requests."""

    def __init__(self, name: str, app: Asgi) -> None:
        self.state: dict[str, Any] = {}
        self._name = name
        self._app = app
        self._asked: asyncio.Queue[Message] = asyncio.Queue(2)
        self._answer: asyncio.Future[Message] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def start(self) -> None:
        """Run the startup. Raises `OpenFailed` with the last line of what the application says."""
        self._task = asyncio.create_task(self._run())
        try:
            said = await self._ask("lifespan.startup")
        except BaseException:
            await self._end()
            raise
        if said.get("type") == "lifespan.startup.failed":
            await self._end()
            lines = str(said.get("message", "")).strip().splitlines() or ["it does not say why"]
            raise OpenFailed(f"{self._name} could not be opened: its startup failed: {lines[-1]}")
        if said:
            self._task.add_done_callback(self._tell)

    async def stop(self) -> None:
        """Run the shutdown, where there was a startup. Raises `OpenFailed` for one that fails."""
        task = self._task
        if task is None or task.done():
            return
        self._is_stopping = True
        try:
            said = await self._ask("lifespan.shutdown")
        finally:
            await self._end()
        if said.get("type") == "lifespan.shutdown.failed":
            raise OpenFailed(f"{self._name} did not shut down: {said.get('message', '')}")

    async def _ask(self, kind: str) -> Message:
        """What it answers; nothing where it ends without an answer."""
        assert self._task is not None
        self._answer = asyncio.get_running_loop().create_future()
        await self._asked.put({"type": kind})
        either: set[asyncio.Future[Any]] = {self._answer, self._task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done() and not self._task.cancelled():
            self._task.exception()  # one that raises knows no lifespan, and is left alone
        return self._answer.result() if self._answer.done() else {}

    def _tell(self, task: asyncio.Task[None]) -> None:
        """Say that it broke off between startup and shutdown: requests are answered all the same."""
        if not self._is_stopping and not task.cancelled() and task.exception() is not None:
            _log.error(
                "the lifespan of %s broke off, and what it ran beside requests has ended",
                self._name,
                exc_info=task.exception(),
            )

    async def _say(self, message: Message) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._asked.get, self._say)

    async def _end(self) -> None:
        """Wait until the task has ended; what it raises beside its answers is not asked for."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
