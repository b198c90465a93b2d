"""Watches the body that holds the writer: how long it does, and whose time that was.

A body that waits for other things is its author's fault. What the store itself took of its time (the
way to the worker thread and back, the loop's other work meanwhile), and what the process stood still
(the timer here was late then, too), is not: the body has that much longer, up to a hard end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from borough.clock import Clock, thread_cpu_s
from borough.stores.sqlite.line import Body

__all__ = ["Hop", "Watch"]

T = TypeVar("T")
_LOOKS = 8
_HARD_END = 3  # times `body_s`, whosever time it was
_NEARLY = 0.75  # of `body_s`: a statement of its own that was interrupted began before that
_EARLY_S = 0.005  # what a timer may be early


class Watch:
    """Looks at the body at hand some times a second, and calls `expire` for one that is over."""

    __slots__ = (
        "_body",
        "_body_s",
        "_due",
        "_expire",
        "_loop",
        "_timer",
        "clock",
        "late_s",
        "looks",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        body_s: float,
        body: Callable[[], Body | None],
        expire: Callable[[Body], None],
    ) -> None:
        self.clock = clock
        self.late_s = 0.0
        """How late all looks were together."""
        self.looks = False
        """Whether it has begun, and will look again."""
        self._loop = loop
        self._body_s = body_s
        self._body = body
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def begin(self) -> None:
        """There is a body."""
        self._look_in(self._body_s / _LOOKS)

    def _look_in(self, seconds: float) -> None:
        self.looks = True
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self.looks = False
        self.late_s += max(0.0, self._loop.time() - self._due)
        body = self._body()
        if body is None:
            return
        left = self.until(body) - self.clock.monotonic()
        if left <= 0 and not body.busy:  # a running statement has its own limit
            self._expire(body)
        else:
            self._look_in(min(max(left, 0.01), self._body_s / _LOOKS))

    def late_by_now(self) -> float:
        """How late all looks were, with the one that is due."""
        return self.late_s + (max(0.0, self._loop.time() - self._due) if self.looks else 0.0)

    def _excused_s(self, body: Body) -> float:
        return body.hops_s + self.late_by_now() - body.late_before_s

    def until(self, body: Body) -> float:
        """When the body is over, as things stand."""
        body_s = self._body_s
        return body.begun + min(body_s + self._excused_s(body), _HARD_END * body_s)

    def is_excused(self, body: Body) -> bool:
        """Whether a body that is over was long, but did not have its time for itself."""
        body_s = self._body_s
        taken_s = self.clock.monotonic() - body.begun
        own_s = taken_s - self._excused_s(body)
        least_s = body_s if taken_s >= _HARD_END * body_s else _NEARLY * body_s
        return taken_s >= body_s - _EARLY_S and own_s < least_s

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


class Hop:
    """A body's way out of its task and back, until `end`: the store's time, but for what it computes."""

    __slots__ = ("_begun", "_body", "_late_s", "_own_s", "_watch")

    def __init__(self, watch: Watch, body: Body) -> None:
        self._watch = watch
        self._body = body
        self._begun = watch.clock.monotonic()
        self._late_s = watch.late_by_now()
        self._own_s = 0.0

    def compute(self, work: Callable[[], T]) -> T:
        """Do the body's own work, in the thread: its CPU time is the body's."""
        before = thread_cpu_s()
        try:
            return work()
        finally:
            self._own_s += thread_cpu_s() - before

    def end(self) -> None:
        """Back in the task."""
        watch, body = self._watch, self._body
        body.hops_s += max(0.0, watch.clock.monotonic() - self._begun - self._own_s)
        body.late_before_s += watch.late_by_now() - self._late_s  # not counted twice
