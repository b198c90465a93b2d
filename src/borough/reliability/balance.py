"""Which of several replicas gets the next call: the less busy of two drawn by lot.

One that cannot be reached, or fails time and again, is left out for a growing time; then one call tries it
before it counts again. At most half are left out for failing, so that the rest is not overrun; of those
that nobody listens at, all may be. Where none is left all are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import exp
from typing import Generic, TypeVar

import msgspec

from borough.reliability.backoff import Backoff

__all__ = ["Balance", "BalanceTerms", "Candidate", "Failure"]

T = TypeVar("T")
_FADING_S = 5.0  # what was measured once counts for little after that time
_NEW_WEIGHT = 0.3
_MUCH_SLOWER = 2.0
_WITHIN_NOISE_S = 0.005


class Failure(Enum):
    """How a replica has failed."""

    UNREACHABLE = "unreachable"
    """Nobody took the connection."""
    BROKEN = "broken"
    """It took the call, and no answer came."""
    REFUSED = "refused"
    """It said that it cannot take the call now."""


class BalanceTerms(msgspec.Struct, frozen=True):
    """After `failures` in a row a replica is left out; one that refuses is passed over for `refused_s`."""

    failures: int = 5
    out: Backoff = Backoff(1.0, 30.0)
    trial_s: float = 1.0
    refused_s: float = 0.1


class Candidate(Generic[T]):
    """A replica as its caller has come to know it. `in_flight` is the caller's to count."""

    __slots__ = (
        "busy_until", "failures", "in_flight", "is_out", "latency_s", "measured_at", "out_until",
        "peer", "times_out",
    )  # fmt: skip

    def __init__(self, peer: T) -> None:
        self.peer = peer
        self.in_flight = 0
        self.latency_s = 0.0
        self.measured_at = 0.0
        self.failures = 0
        self.is_out = False
        self.out_until = 0.0
        self.times_out = 0
        self.busy_until = 0.0


class Balance(Generic[T]):
    """The replicas of one service, for one caller."""

    __slots__ = ("_out", "candidates", "terms")

    def __init__(self, terms: BalanceTerms) -> None:
        self.terms = terms
        self.candidates: list[Candidate[T]] = []
        self._out = 0

    def replace(self, peers: Sequence[T]) -> None:
        """These are all now. What is known of those that stay is kept."""
        known = {candidate.peer: candidate for candidate in self.candidates}
        self.candidates = [known.get(peer) or Candidate(peer) for peer in dict.fromkeys(peers)]
        self._out = sum(candidate.is_out for candidate in self.candidates)

    def choose(
        self, now: float, draw: Callable[[], float], avoid: Candidate[T] | None = None
    ) -> Candidate[T] | None:
        """The one to call; None where none is known. `draw` gives random numbers in [0, 1).

        `avoid` has just failed: it is chosen only where there is no other.
        """
        able = self.candidates
        if self._out:
            due = [each for each in able if each.is_out and each.out_until <= now]
            if due and due[0] is not avoid:
                # It has this one call to prove itself; until that has ended no other.
                due[0].out_until = now + self.terms.trial_s
                return due[0]
            able = [each for each in able if not each.is_out] or able
        if avoid is not None and len(able) > 1:
            able = [each for each in able if each is not avoid]
        count = len(able)
        if count < 2:
            return able[0] if count else None
        first = int(draw() * count)
        second = int(draw() * (count - 1))
        return _better(able[first], able[second if second < first else second + 1], now)

    def succeeded(self, candidate: Candidate[T], now: float, took_s: float) -> None:
        """It has answered, after `took_s`. The first time counts for nothing: a connection was opened."""
        if candidate.measured_at:
            old = (1 - _NEW_WEIGHT) * exp((candidate.measured_at - now) / _FADING_S)
            known_s = candidate.latency_s
            candidate.latency_s = took_s + old * (known_s - took_s) if known_s else took_s
        candidate.measured_at = now
        if candidate.failures or candidate.times_out:
            candidate.failures = candidate.times_out = 0
            candidate.busy_until = 0.0
            self._set_out(candidate, is_out=False)

    def failed(self, candidate: Candidate[T], failure: Failure, now: float, chance: float) -> None:
        """It has not answered; `chance` is a random number in [0, 1)."""
        terms = self.terms
        if failure is Failure.REFUSED:
            # Many refuse when there is too much to do; whoever is left out makes it more for others.
            candidate.busy_until = now + terms.refused_s
            return
        candidate.failures += 1
        if failure is Failure.BROKEN:
            others = self._out - candidate.is_out
            if candidate.failures < terms.failures or 2 * (others + 1) > len(self.candidates):
                return
        candidate.times_out += 1
        longest_s = terms.out.ceiling_s(candidate.times_out)
        candidate.out_until = now + longest_s * (1 + chance) / 2
        self._set_out(candidate, is_out=True)

    def _set_out(self, candidate: Candidate[T], *, is_out: bool) -> None:
        if candidate.is_out != is_out:
            candidate.is_out = is_out
            self._out = sum(each.is_out for each in self.candidates)


def _better(one: Candidate[T], other: Candidate[T], now: float) -> Candidate[T]:
    """The one that refuses less, then has less in flight, then is not much slower."""
    if (one.busy_until > now) != (other.busy_until > now):
        return other if one.busy_until > now else one
    if one.in_flight != other.in_flight:
        return one if one.in_flight < other.in_flight else other
    known_s = _faded(other, now)
    is_slow = known_s and _faded(one, now) > _MUCH_SLOWER * known_s + _WITHIN_NOISE_S
    return other if is_slow else one


def _faded(candidate: Candidate[T], now: float) -> float:
    """What it took lately, in seconds; less, the longer ago, so that a slow one is tried again."""
    latency_s = candidate.latency_s
    return latency_s * exp((candidate.measured_at - now) / _FADING_S) if latency_s else 0.0
