"""Watches the body that holds the writer: how long it does, and whether the process itself stood still.

A body that waits for other things is its author's fault. One that was held up because the process had no CPU,
or was paused, is not: the timer here was late then, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from borough.clock import Clock
from borough.stores.sqlite.line import Body

__all__ = ["Watch"]

_LOOKS = 8
_LATE = 4
_LEAST_LATE_S = 0.2  # what a busy machine does to any timer


class Watch:
    """Looks at the body at hand some times a second, and calls `expire` for one that is over."""

    __slots__ = (
        "_body",
        "_body_s",
        "_clock",
        "_due",
        "_expire",
        "_loop",
        "_timer",
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
        self.late_s = 0.0
        """How late all looks were together."""
        self.looks = False
        """Whether it has begun, and will look again."""
        self._loop = loop
        self._clock = clock
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
        left = body.begun + self._body_s - self._clock.monotonic()
        if left <= 0 and not body.busy:  # a running statement has its own limit
            self._expire(body)
        else:
            self._look_in(min(max(left, 0.01), self._body_s / _LOOKS))

    def was_late(self, body: Body) -> bool:
        """Whether the process did not run for a good part of the body's time."""
        late_s = self.late_s - body.late_before_s
        if self.looks:
            late_s += max(0.0, self._loop.time() - self._due)
        return late_s > max(self._body_s / _LATE, _LEAST_LATE_S)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
