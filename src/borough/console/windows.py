"""What has happened lately, out of totals that were seen at several moments. Pure: time is an argument.

Rates are those of the last ten seconds, quantiles those of the last minute; where nothing happened in it,
of all that is known. Numbers are rounded to two digits: what nobody can see need not be sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import floor, log10
from typing import NamedTuple

import msgspec

__all__ = ["Changes", "Lately", "Sample", "Total", "Windows", "lately"]

_RATE_S = 10.0
_QUANTILES_S = 60.0
_COARSE_S = 15.0
_KEPT_S = 15 * 60.0


class Total(NamedTuple):
    """Counts since some start; `buckets` by the exponent of the upper bound, 2^N seconds."""

    number: int
    faults: int
    buckets: Mapping[int, int]


_NOTHING = Total(0, 0, {})
Key = tuple[str, ...]
"""What is counted."""


class Lately(msgspec.Struct, frozen=True, kw_only=True):
    """Per second, and milliseconds; None where nothing can be said yet."""

    per_s: float | None
    faults_per_s: float | None
    p50_ms: float | None
    p99_ms: float | None


class Sample(NamedTuple):
    """What was seen at a moment. `processes`: seconds of CPU and bytes of memory, by process."""

    at: float
    totals: Mapping[tuple[str, ...], Total]
    processes: Mapping[str, tuple[float, int]]

    def total(self, keys: Iterable[tuple[str, ...]]) -> Total:
        """Those keys together."""
        count = faults = 0
        buckets: dict[int, int] = {}
        for key in keys:
            total = self.totals.get(key, _NOTHING)
            count += total.number
            faults += total.faults
            for exponent, inside in total.buckets.items():
                buckets[exponent] = buckets.get(exponent, 0) + inside
        return Total(count, faults, buckets)


class Windows:
    """Samples of the last seconds, and one for each quarter of a minute of the last 15 minutes."""

    def __init__(self) -> None:
        self._fine: deque[Sample] = deque()
        self._coarse: deque[Sample] = deque()
        self._told: dict[Key, Total] = {}
        """What was said of each key last, and below what is added to it: counts of processes that have gone."""
        self._gone: dict[Key, Total] = {}
        self._there: frozenset[Key] = frozenset()

    def add(self, sample: Sample) -> None:
        """Take what is seen now. A process that has gone takes nothing away, and nothing from what others do."""
        nothing: Mapping[Key, Total] = {}
        before = self._fine[-1].totals if self._fine else nothing
        is_there = self._there
        self._there = frozenset(sample.totals)
        totals = dict(before)  # of what is not told any more, too
        for key, told in sample.totals.items():
            last = self._told.get(key, _NOTHING)
            self._told[key] = told
            if last[:2] == told[:2]:
                totals.setdefault(key, told)
                continue
            if told.number < last.number:
                # Who was not there has counted all of this since; else somebody of several is not there.
                known = before[key]
                self._gone[key] = _sum(known, told, -1) if key in is_there else known
            gone = self._gone.get(key)
            totals[key] = told if gone is None else _sum(gone, told, 1)
        sample = sample._replace(totals=totals)
        self._fine.append(sample)
        while sample.at - self._fine[0].at > _RATE_S and len(self._fine) > 2:
            self._fine.popleft()
        if not self._coarse or sample.at - self._coarse[-1].at >= _COARSE_S * 0.9:
            self._coarse.append(sample)
            while sample.at - self._coarse[0].at > _KEPT_S:
                self._coarse.popleft()

    def history(self) -> list[Sample]:
        """What was seen of the last 15 minutes, the oldest first, and now."""
        if not self._fine:
            return []
        newest, found = self._fine[-1], list(self._coarse)
        # A second says nothing of a rate: it is told together with what was before it.
        if found[-1] is newest or (len(found) > 1 and newest.at - found[-1].at < _RATE_S):
            found.pop()
        return [*found, newest]

    def changes(self) -> Changes:
        """What has happened until the latest sample, of which there must be one."""
        newest = self._fine[-1]
        before = next(
            (each for each in self._coarse if newest.at - each.at <= _QUANTILES_S), newest
        )
        return Changes(newest, self._fine[0], before)


class Changes:
    """The latest totals against those of a little before."""

    def __init__(self, newest: Sample, recent: Sample, earlier: Sample) -> None:
        self.newest = newest
        self._recent = recent
        self._earlier = earlier

    def of(self, keys: Iterable[tuple[str, ...]]) -> Lately:
        """Those keys together."""
        now = self.newest.total(keys := tuple(keys))
        seconds = self.newest.at - self._recent.at
        found = lately(now, self._recent.total(keys), seconds)
        window = _less(now.buckets, self._earlier.total(keys).buckets) or now.buckets
        return msgspec.structs.replace(
            found, p50_ms=_quantile_ms(window, 0.5), p99_ms=_quantile_ms(window, 0.99)
        )

    def cpu(self, process: str) -> float | None:
        """The share of a core that a process uses."""
        now, before = self.newest.processes.get(process), self._recent.processes.get(process)
        seconds = self.newest.at - self._recent.at
        if now is None or before is None or seconds <= 0:
            return None
        return round((now[0] - before[0]) / seconds, 3)


def _sum(one: Total, other: Total, sign: int) -> Total:
    buckets = dict(one.buckets)
    for exponent, count in other.buckets.items():
        buckets[exponent] = buckets.get(exponent, 0) + sign * count
    return Total(one.number + sign * other.number, one.faults + sign * other.faults, buckets)


def lately(now: Total, before: Total, seconds: float) -> Lately:
    """What has happened between two totals, so many seconds apart."""
    window = _less(now.buckets, before.buckets)
    is_known = seconds > 0
    return Lately(
        per_s=_short((now.number - before.number) / seconds) if is_known else None,
        faults_per_s=_short((now.faults - before.faults) / seconds) if is_known else None,
        p50_ms=_quantile_ms(window, 0.5),
        p99_ms=_quantile_ms(window, 0.99),
    )


def _quantile_ms(buckets: Mapping[int, int], share: float) -> float | None:
    """About how long that share took at most; None for nothing."""
    count, below = sum(buckets.values()), 0
    for exponent in sorted(buckets):
        inside = buckets[exponent]
        if below + inside >= share * count:
            upper = 2.0**exponent
            return _short(upper / 2 * (1 + (share * count - below) / inside) * 1e3)
        below += inside
    return None


def _less(now: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    found = {each: count - before.get(each, 0) for each, count in now.items()}
    return {each: count for each, count in found.items() if count > 0}


def _short(number: float) -> float:
    """Two digits, three above a hundred."""
    if number <= 0:
        return 0.0
    return round(number, (2 if number >= 100 else 1) - floor(log10(number)))
