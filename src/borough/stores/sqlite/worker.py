"""A thread that does one thing after another for the event loop. No pool, no future in the way."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Bound", "Worker"]

T = TypeVar("T")
_AGAIN_S = 0.01
_GIVES_WAY = 5  # of nice(2): a third of a share
Done = Callable[[Any, BaseException | None], None]
Job = tuple[Callable[[], Any], Done]


class Bound:
    """When a job is interrupted: after a time, and, if so wanted, when its waiter is cancelled.

    The interruption is repeated until the job ends, for it is lost between two statements.
    """

    __slots__ = ("_after_s", "_call", "_timer", "on_cancel")

    def __init__(self, call: Callable[[], None], after_s: float, *, on_cancel: bool = True) -> None:
        self._call = call
        self._after_s = after_s
        self._timer: asyncio.TimerHandle | None = None
        self.on_cancel = on_cancel

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """The job has been handed over."""
        self._timer = loop.call_later(max(self._after_s, 0.0), self.interrupt)

    def interrupt(self) -> None:
        """Interrupt now, and again soon."""
        self._call()
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self.interrupt)

    def stop(self) -> None:
        """The job has ended."""
        if self._timer is not None:
            self._timer.cancel()


class Worker:
    """One thread, started by its first job.

    One that `gives_way` has slow work of which nothing else waits: on Linux, where threads have priorities, all
    others of a busy machine go first.
    """

    __slots__ = ("_gives_way", "_jobs", "_loop", "_name", "_thread")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, *, gives_way: bool = False
    ) -> None:
        self._gives_way = gives_way
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

    async def run(self, function: Callable[[], T], bound: Bound | None = None) -> T:
        """Run `function()` in the thread and wait for its end, also when cancelled meanwhile.

        So whatever the function works on is free again when this returns or raises.
        """
        ended: list[tuple[Any, BaseException | None]] = []
        waiting: asyncio.Future[None] | None = None

        def done(result: Any, error: BaseException | None) -> None:
            ended.append((result, error))
            if bound is not None:
                bound.stop()
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

        self.submit(function, done)
        if bound is not None:
            bound.start(self._loop)
        cancelled: asyncio.CancelledError | None = None
        while not ended:
            waiting = self._loop.create_future()
            try:
                await waiting
            except asyncio.CancelledError as request:
                cancelled = request
                if bound is not None and bound.on_cancel and not ended:
                    bound.interrupt()  # of a job that has ended it would never be stopped
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
        if self._gives_way:
            _give_way()
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


def _give_way() -> None:
    """Lower the priority of the calling thread."""
    if sys.platform != "linux":  # elsewhere that would be the whole process's
        return
    thread = threading.get_native_id()
    with suppress(OSError):
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, now + _GIVES_WAY)
