"""A thread that does one thing after another for the event loop. No pool, no future in the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Worker"]

T = TypeVar("T")
Done = Callable[[Any, BaseException | None], None]
Job = tuple[Callable[[], Any], Done]


class Worker:
    """One thread, started by its first job."""

    __slots__ = ("_jobs", "_loop", "_name", "_thread")

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, function: Callable[[], Any], done: Done) -> None:
        """Run `function()` in the thread, then `done(result, error)` on the loop."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put((function, done))

    async def run(
        self, function: Callable[[], T], interrupt: Callable[[], None] | None = None
    ) -> T:
        """Run `function()` in the thread. A cancellation interrupts it, awaits its end, goes on.

        So whatever the function works on is free again when this returns or raises.
        """
        ended: list[tuple[Any, BaseException | None]] = []
        waiting: asyncio.Future[None] | None = None

        def done(result: Any, error: BaseException | None) -> None:
            ended.append((result, error))
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

        self.submit(function, done)
        cancelled: asyncio.CancelledError | None = None
        while not ended:
            waiting = self._loop.create_future()
            try:
                await waiting
            except asyncio.CancelledError as request:
                cancelled = request
                if interrupt is not None:
                    interrupt()
        if cancelled is not None:
            raise cancelled
        result, error = ended[0]
        if error is not None:
            raise error
        value: T = result
        return value

    def stop(self) -> None:
        """End the thread after its last job."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, done = job
            result: Any = None
            failure: BaseException | None = None
            try:
                result = function()
            except BaseException as error:  # it is the loop's to judge
                failure = error
            try:
                self._loop.call_soon_threadsafe(done, result, failure)
            except RuntimeError:  # the loop was closed before its store
                return
            del job, function, done, result, failure
