"""How many calls from outside are at work at once: as many as can be answered in time.

More at once is not faster once a processor or a pool is busy; it only makes all of them wait. So the
limit follows the answers. One is late when it used up more than a third of what it had to spare: the
time left with which it came, less what its operation usually takes. A round is some answers to
calls that began after the last change, so that the limit changes at most once per round trip. A
round with too many late ones lowers the limit in proportion, one in time raises it where calls were
turned away. Only calls that began in a crowd count: a service that has little to do, and is slow, is
not overloaded. And where fewer at once turn out not to be faster, the limit is not the cure: it goes
back to what it was, and is left there for a while.
"""

from __future__ import annotations

from typing import NamedTuple

from borough.reliability.arrival import Arrival
from borough.reliability.enough_time import EARLY_S

__all__ = ["AdaptiveLimit"]

_ROUND = 16
_LONGEST_ROUND_S = 10.0
_CROWD = 16
_QUIET = 2
_SHARE_OF_SPARE = 1 / 3
_LATE_SHARE = 3 / 8
_MOST_CUT, _LEAST_CUT = 0.5, 0.9
_FEWER, _FASTER = 0.75, 0.9
_DOUBT_ROUND_TRIPS = 8


class _Tried(NamedTuple):
    """What was so when the limit began to fall: calls at work, seconds per answer, the limit."""

    crowd: float
    took_s: float
    limit: int


class AdaptiveLimit:
    """The limit of one service, between `least` and `most`. It begins with `most`."""

    __slots__ = (
        "_allowed_s", "_count", "_crowd", "_ends", "_late", "_least", "_most", "_since", "_took_s", "_tried",
        "_trusted_from", "at_work", "limit", "was_full",
    )  # fmt: skip

    def __init__(self, most: int, least: int) -> None:
        self._most = most
        self._least = min(least, most)
        self.limit = most
        self.at_work = 0
        self.was_full = False
        self._since = self._trusted_from = self._ends = float("-inf")
        self._tried: _Tried | None = None
        self._forget()

    @property
    def has_room(self) -> bool:
        """Whether one more call may begin."""
        return self.at_work < self.limit

    def begin(self, arrival: Arrival, now: float) -> None:
        """A call begins."""
        self.at_work = arrival.at_work = self.at_work + 1
        arrival.began_at = now

    def end(self, arrival: Arrival, now: float) -> None:
        """A call was answered."""
        self.at_work -= 1
        usual = arrival.usual
        if usual is None:
            return
        # Who was cut off shows how long it would wait, which anybody may choose, and not what it takes.
        if arrival.at_work <= _QUIET and now - arrival.came_at < arrival.timeout_s - EARLY_S:
            usual.learn(now - arrival.began_at)
        if arrival.at_work >= _CROWD or self._is_evidence(arrival):
            self._count_end(arrival, usual.seconds, now)

    def abandon(self, arrival: Arrival, now: float) -> None:
        """Who called has left before the answer: too late if it was, else for a reason of its own."""
        self.at_work -= 1
        usual_s = 0.0 if arrival.usual is None else arrival.usual.seconds
        is_late = now - arrival.came_at > _allowed_s(arrival, usual_s)
        if is_late and self._is_evidence(arrival):
            self._count_end(arrival, usual_s, now)

    def _is_evidence(self, arrival: Arrival) -> bool:
        """Whether it began in a crowd, or with some others after it had waited: the loop is late."""
        at_work = arrival.at_work
        return (
            at_work >= _CROWD
            or at_work >= self.limit
            or (at_work > _QUIET and arrival.came_at < arrival.began_at)
        )

    def _count_end(self, arrival: Arrival, usual_s: float, now: float) -> None:
        if arrival.began_at < self._since:
            return
        if now > self._ends:
            self._forget()
            self._ends = now + _LONGEST_ROUND_S
        took_s = now - arrival.came_at
        allowed_s = _allowed_s(arrival, usual_s)
        self._count += 1
        self._crowd += arrival.at_work
        self._took_s += took_s
        self._allowed_s += allowed_s
        self._late += took_s > allowed_s
        if self._count < _ROUND:
            return
        if self._late < _LATE_SHARE * self._count:
            self._tried = None
            if self.was_full:
                self.limit = min(self._most, self.limit + max(1, self.limit // 8))
        elif now >= self._trusted_from:
            self._shrink(now)
        self._since = now
        self._ends = now + _LONGEST_ROUND_S
        self.was_full = False
        self._forget()

    def _shrink(self, now: float) -> None:
        crowd, took_s = self._crowd / self._count, self._took_s / self._count
        tried = self._tried
        if tried is None or crowd > tried.crowd:
            self._tried = _Tried(crowd, took_s, self.limit)
        elif crowd < tried.crowd * _FEWER:
            if took_s > tried.took_s * _FASTER:
                self.limit = tried.limit
                self._tried = None
                self._trusted_from = now + took_s * _DOUBT_ROUND_TRIPS
                return
            self._tried = _Tried(crowd, took_s, self.limit)
        cut = min(_LEAST_CUT, max(_MOST_CUT, self._allowed_s / self._took_s))
        self.limit = max(self._least, int(min(self.limit, crowd) * cut))

    def _forget(self) -> None:
        self._count = self._late = 0
        self._crowd = self._took_s = self._allowed_s = 0.0


def _allowed_s(arrival: Arrival, usual_s: float) -> float:
    """How long it may take without being late."""
    return usual_s + max(0.0, arrival.timeout_s - usual_s) * _SHARE_OF_SPARE
