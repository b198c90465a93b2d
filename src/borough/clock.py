"""The only place that reads time, randomness and ids. A `Clock` is always handed in.

`SystemClock` is the real one. A test hands in `borough.testing.ManualClock` and owns time.
"""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol
from uuid import UUID

__all__ = ["Clock", "SystemClock", "thread_cpu_s", "uuid7"]


class Clock(Protocol):
    """Time, randomness and ids for everything that decides or acts."""

    @property
    def random(self) -> random.Random:
        """The source of every random decision (jitter, sampling)."""
        ...

    def now(self) -> datetime:
        """Wall-clock time, aware, in UTC."""
        ...

    def epoch_s(self) -> float:
        """Wall-clock time in seconds since 1970; for leases and retention across processes."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; for deadlines and durations within a process."""
        ...

    def new_id(self) -> UUID:
        """A fresh UUID version 7 (RFC 9562)."""
        ...

    def token(self, length: int) -> bytes:
        """`length` unpredictable bytes, for trace ids and secrets."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on this clock."""
        ...


def uuid7(epoch_ms: int, entropy: bytes) -> UUID:
    """Build a UUID version 7 (RFC 9562, section 5.7) from a millisecond time and 10 random bytes."""
    bits = int.from_bytes(entropy[:10], "big")
    value = (epoch_ms & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | bits & 0x3FFFFFFFFFFFFFFF
    return UUID(int=value)


thread_cpu_s = time.thread_time
"""CPU seconds of the thread that asks: what work took, however long it waited for the machine."""

_POOL = 4096
_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class SystemClock:
    """The machine's clocks and the operating system's randomness.

    Randomness is read in advance: each read gives the interpreter lock away, in the midst of work.
    """

    __slots__ = ("_at", "_forks", "_pool", "random")

    def __init__(self) -> None:
        self.random: random.Random = random.Random(os.urandom(16))
        self._pool = b""
        self._at = 0
        self._forks = 0

    # The function itself, not a method around it: it is read for every call.
    monotonic = staticmethod(time.monotonic)

    now = staticmethod(partial(datetime.now, UTC))

    def epoch_s(self) -> float:
        return time.time()

    def new_id(self) -> UUID:
        return uuid7(time.time_ns() // 1_000_000, self.token(10))

    def token(self, length: int) -> bytes:
        start = self._at
        end = start + length
        if end > len(self._pool) or self._forks != _forks:  # a fork must not repeat its parent
            self._forks = _forks
            self._pool = os.urandom(_POOL + length)
            start, end = 0, length
        self._at = end
        return self._pool[start:end]

    async def sleep(self, seconds: float) -> None:
        import asyncio  # the front door must not pull asyncio in

        await asyncio.sleep(seconds)
