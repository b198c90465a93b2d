"""What has happened lately, out of totals that were seen at several moments. Pure: time is an argument.

Rates are those of the last ten seconds, quantiles those of the last minute; where nothing happened in it,
of all that is known. Numbers are rounded to two digits: what nobody can see need not be sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import floor, log10
from types import MappingProxyType
from typing import NamedTuple

import msgspec

__all__ = ["Changes", "Lately", "Sample", "Told", "Total", "Windows", "lately"]

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
_NONE: Mapping[Key, Total] = {}


class Told(NamedTuple):
    """What a process has counted, and since when: counts belong to the process that counts."""

    since: float
    totals: Mapping[Key, Total]


class Lately(msgspec.Struct, frozen=True, kw_only=True):
    """Per second, and milliseconds; None where nothing can be said yet."""

    per_s: float | None
    faults_per_s: float | None
    p50_ms: float | None
    p99_ms: float | None


class Sample(NamedTuple):
    """What was seen at a moment. `processes`: seconds of CPU and bytes of memory, by process."""

    at: float
    totals: Mapping[Key, Total]
    processes: Mapping[str, tuple[float, int]]

    def total(self, keys: Iterable[tuple[str, ...]]) -> Total:
        """Those keys together."""
        return _together(self.totals.get(key, _NOTHING) for key in keys)


class Windows:
    """Samples of the last seconds, and one for each quarter of a minute of the last 15 minutes."""

    def __init__(self) -> None:
        self._fine: deque[Sample] = deque()
        self._coarse: deque[Sample] = deque()
        self._known: dict[str, tuple[float, Mapping[Key, Total]]] = {}
        """By process: when it told last, and what."""

    def add(
        self,
        at: float,
        told: Mapping[str, Told],
        processes: Mapping[str, tuple[float, int]] = MappingProxyType({}),
    ) -> None:
        """Take what each process tells now. One that is silent or has gone takes nothing away.

        What it has counted is of this moment where it has told within the last minute, or is younger than that.
        """
        before = self._fine[-1] if self._fine else None
        oldest = at - _QUANTILES_S if before is None else min(before.at, at - _QUANTILES_S)
        self._known = {name: each for name, each in self._known.items() if each[0] >= oldest}
        totals = {} if before is None else dict(before.totals)
        for name, (since, counted) in told.items():
            _, known = self._known.get(name, (at, _NONE))
            is_of_now = name in self._known or before is None or since >= oldest
            self._known[name] = at, counted
            if is_of_now:
                _grow(totals, counted, known)
        sample = Sample(at, totals, processes)
        self._fine.append(sample)
        while sample.at - self._fine[0].at > _RATE_S and len(self._fine) > 2:
            self._fine.popleft()
        if not self._coarse or sample.at - self._coarse[-1].at >= _COARSE_S * 0.9:
            self._coarse.append(sample)
            while sample.at - self._coarse[0].at > _KEPT_S:
                self._coarse.popleft()

    def forget(self, keys: Iterable[Key]) -> None:
        """Count these no longer together with what was: nobody asks for them any more."""
        if self._fine:
            totals = dict(self._fine[-1].totals)
            for key in keys:
                totals.pop(key, None)
            self._fine[-1] = self._fine[-1]._replace(totals=totals)

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


def _grow(totals: dict[Key, Total], now: Mapping[Key, Total], before: Mapping[Key, Total]) -> None:
    for key, total in now.items():
        last = before.get(key, _NOTHING)
        if total[:2] != last[:2]:
            number, faults = total.number - last.number, total.faults - last.faults
            grown = Total(number, faults, _less(total.buckets, last.buckets))
            totals[key] = _together((totals.get(key, _NOTHING), grown))


def _together(totals: Iterable[Total]) -> Total:
    number = faults = 0
    buckets: dict[int, int] = {}
    for total in totals:
        number += total.number
        faults += total.faults
        for exponent, count in total.buckets.items():
            buckets[exponent] = buckets.get(exponent, 0) + count
    return Total(number, faults, buckets)


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
