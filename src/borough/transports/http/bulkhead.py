"""How many calls of one service to another are under way; in a burst others wait until one of them has ended.

A dependency that stands still for a moment is no reason to fail. One that stays slow must not hold up who
calls it: then nobody waits here, and what does not need it goes on. The line of waiting calls tells the two apart.
Where nobody waits the last in line never begins: it is over as well once a quarter of the places is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from borough.reliability.arrival import Arrival
from borough.reliability.waiting_line import LineTerms, WaitingLine
from borough.telemetry.trace import TraceContext
from borough.telemetry.waiting import Waits

__all__ = ["Bulkhead"]


class Bulkhead:
    """`in_flight` of at most `limit`: who makes a call looks at both, and counts itself in, where there is room."""

    __slots__ = ("_eased_at", "_line", "_monotonic", "_waits", "in_flight", "limit")

    def __init__(
        self,
        limit: int,
        burst: int,
        burst_s: float,
        monotonic: Callable[[], float],
        waits: Waits | None = None,
    ) -> None:
        """Up to `burst` calls wait for up to `burst_s` seconds, and never longer than a tenth of their time.

        `waits` sees for how long.
        """
        self.limit = limit
        self._eased_at = limit * 3 // 4
        self.in_flight = 0
        self._line = WaitingLine(LineTerms(burst=burst, burst_s=burst_s, most=0, wait_s=0.0))
        self._monotonic = monotonic
        self._waits = waits

    async def enter(self, deadline: float, trace: TraceContext | None = None) -> bool:
        """Wait for a place, and count the call in that gets one; False where there is none in time.

        `deadline` is on the monotonic clock. The call that waits is seen to do so below `trace`.
        """
        line, now = self._line, self._monotonic()
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        arrival = Arrival(now, deadline - now, start_by=deadline, waiter=place)
        gone: list[Arrival] = []
        line.add(arrival, now, gone)
        _refuse(gone)
        timer = loop.call_later(line.patience_s(arrival), self._give_up, arrival)
        try:
            return await place
        except asyncio.CancelledError:
            if place.cancelled():
                line.remove(arrival)
            elif place.result():
                self.leave()
            raise
        finally:
            timer.cancel()
            if self._waits is not None and trace is not None:
                self._waits.note(trace, now, self._monotonic())

    def leave(self) -> None:
        """A call that was counted in has ended; one that waits takes its place."""
        if self.in_flight >= self.limit:  # else nobody waits
            gone: list[Arrival] = []
            while (following := self._line.take(self._monotonic(), gone)) is not None:
                if not following.waiter.done():
                    following.waiter.set_result(True)
                    break
            _refuse(gone)
            if following is not None:
                return
        self.in_flight -= 1
        if self.in_flight == self._eased_at:
            self._line.ease()

    def _give_up(self, arrival: Arrival) -> None:
        self._line.remove(arrival)
        _refuse((arrival,))


def _refuse(gone: Iterable[Arrival]) -> None:
    for arrival in gone:
        if not arrival.waiter.done():
            arrival.waiter.set_result(False)
