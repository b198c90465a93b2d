"""A service's bounded threads, for blocking work that must not stand on the loop.

How long work waits for a thread is seen where its call is sampled, also of work that nobody waits for any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from borough.errors import Unavailable
from borough.runtime.footing import give_large_blocks_back
from borough.services.context import CURRENT
from borough.telemetry.recorder import Recorder
from borough.telemetry.waiting import Waits

__all__ = ["ThreadPool"]

T = TypeVar("T")


class ThreadPool:
    """`threads` at work and at most `queue` waiting; one more is refused. Threads start when first needed.

    `busy` counts both, of at most `limit`; `refused` what found no room.
    """

    def __init__(
        self, service: str, threads: int, queue: int, recorder: Recorder | None = None
    ) -> None:
        self._service = service
        self._waits = None if recorder is None else Waits(recorder, service, "a thread")
        self.threads = threads
        self.limit = threads + queue
        self.busy = 0
        self.refused = 0
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(*args)` in a thread with a copy of the caller's context. Raises `Unavailable` when full."""
        if self.busy >= self.limit:
            self.refused += 1
            raise Unavailable(f"The threads of {self._service} are all taken", retry_after_s=1)
        if self._executor is None:
            give_large_blocks_back()
            self._executor = ThreadPoolExecutor(
                self.threads, thread_name_prefix=f"borough-{self._service}"
            )
        self.busy += 1
        context = copy_context()
        waits, call = self._waits, CURRENT.get()
        if waits is None or call is None or call.trace is None or self.busy <= self.threads:
            waits = None  # nobody sees it, or there is a thread
        asked = began = 0.0 if waits is None else waits.recorder.monotonic()

        def run() -> T:
            nonlocal began
            if waits is not None:
                began = waits.recorder.monotonic()
            return context.run(function, *args)

        work = self._executor.submit(run)
        ending = asyncio.wrap_future(work)
        # A thread cannot be stopped: its place is free when it ends, not when the caller leaves.
        ending.add_done_callback(self._done)
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            work.cancel()  # nothing where it has begun
            raise
        finally:
            if waits is not None and call is not None and call.trace is not None:
                # Who leaves while it waits has waited until now.
                waits.note(
                    call.trace, asked, began if began > asked else waits.recorder.monotonic()
                )

    def _done(self, work: asyncio.Future[Any]) -> None:
        self.busy -= 1
        if not work.cancelled():
            work.exception()

    def close(self) -> None:
        """Take no more work; what runs ends by itself."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
