"""The line in front of the writer: who waits for a turn, in the order of coming, and until when."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from borough.clock import Clock
from borough.errors import StoreError, StoreUnavailable
from borough.ports import OutboxRow, ScheduledRow

__all__ = ["Body", "Line", "Turn"]


class Body(Protocol):
    """What the writer knows of a body."""

    begun: float
    busy: bool
    hops_s: float
    late_before_s: float
    outbox: list[OutboxRow]
    scheduled: list[ScheduledRow] | None
    sequence: int

    def settle(self, failure: StoreError | None) -> None:
        """Its group has ended: committed, or failed."""
        ...

    def expire(self) -> None:
        """It has held the writer for too long; its part is already undone."""
        ...


class Turn:
    """A place in the line. `body` is None for work that wants the connection without a group."""

    __slots__ = ("body", "deadline", "failure", "future", "given")

    def __init__(self, body: Body | None, deadline: float, future: asyncio.Future[None]) -> None:
        self.body = body
        self.deadline = deadline
        self.future = future
        self.given = False
        self.failure: StoreError | None = None

    def give(self) -> None:
        """The turn has come."""
        self.given = True
        self._wake()

    def refuse(self, failure: StoreError) -> None:
        """The turn will not come."""
        self.failure = failure
        self._wake()

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Line:
    """Waiting turns. Who is still here at its deadline is refused with `StoreUnavailable`."""

    __slots__ = ("_clock", "_loop", "_path", "_timer", "_timer_at", "turns")

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.turns: deque[Turn] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def join(self, body: Body | None, deadline: float) -> Turn:
        """Stand at the end."""
        turn = Turn(body, deadline, self._loop.create_future())
        self.turns.append(turn)
        self._expect(deadline)
        return turn

    def leave(self, turn: Turn) -> None:
        """Wait no longer."""
        if turn in self.turns:
            self.turns.remove(turn)

    def refuse_all(self, failure: StoreError) -> None:
        """Nobody gets a turn; each raises a failure of its own."""
        turns, self.turns = self.turns, deque()
        for turn in turns:
            turn.refuse(type(failure)(str(failure)))

    def close(self) -> None:
        """Look at no deadline any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _expect(self, deadline: float) -> None:
        """Look at the line when this deadline passes; one timer serves all."""
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        wait = max(deadline - self._clock.monotonic(), 0.001)
        self._timer = self._loop.call_later(wait, self._refuse_late)

    def _refuse_late(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        for turn in [turn for turn in self.turns if turn.deadline <= now]:
            self.turns.remove(turn)
            turn.refuse(
                StoreUnavailable(
                    f"{self._path} could not be had in time; it is busy, or another process holds it"
                )
            )
        if self.turns:
            self._expect(min(turn.deadline for turn in self.turns))
