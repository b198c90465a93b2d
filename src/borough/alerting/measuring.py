"""What has happened lately in a system, out of counters that its processes tell at each look.

A counter belongs to a process: one that has gone takes nothing away. What it has counted is of the last minute only
where it is that young, or has told within that minute; else counting begins there. Of calls the last minute is kept,
by who called what; of topics the ends that were seen, from which follows how long the
oldest event has waited at least. Pure: time is an argument, by a clock that never steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from borough.alerting.facts import (
    CallFacts,
    FailureFacts,
    HandlerFacts,
    PoolFacts,
    ReplicaFacts,
    SystemFacts,
)
from borough.alerting.pace import ENOUGH_S, Headway, Pace
from borough.contracts.objective import Objective
from borough.reliability.objectives import KeptSpent, Spent

__all__ = ["Calls", "Line", "Measuring"]

_WINDOW_S = 60.0
_RECENT_S = 20.0
_RESTARTS_S = 300.0
_ATTEMPTS_S = 300.0
_MOST_ENDS = 120
_MOST_KNOWN = 100_000
Key = tuple[str, str, str, str]


class Line(NamedTuple):
    """Who calls what, counted at which end."""

    side: str
    caller: str
    service: str
    operation: str


class Calls:
    """Calls that have ended within some time."""

    __slots__ = ("buckets", "count", "faults", "kinds", "slow")

    def __init__(self) -> None:
        self.count = 0
        self.faults = 0
        self.slow = 0
        """As long as the bound of their objective, or longer."""
        self.kinds: dict[str, int] = {}
        self.buckets: dict[int, int] = {}

    def add(self, other: Calls) -> None:
        """Count those, too."""
        self.count += other.count
        self.faults += other.faults
        self.slow += other.slow
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        for exponent, count in other.buckets.items():
            self.buckets[exponent] = self.buckets.get(exponent, 0) + count

    def subtract(self, other: Calls) -> None:
        """Take those away, which have been added before."""
        self.count -= other.count
        self.faults -= other.faults
        self.slow -= other.slow
        for kind, count in other.kinds.items():
            left = self.kinds[kind] - count
            if left:
                self.kinds[kind] = left
            else:
                del self.kinds[kind]
        for exponent, count in other.buckets.items():
            left = self.buckets[exponent] - count
            if left:
                self.buckets[exponent] = left
            else:
                del self.buckets[exponent]

    def slower_than(self, bound_s: float) -> float:
        """About how many took longer, as if each bucket were evenly full."""
        found = 0.0
        for exponent, count in self.buckets.items():
            upper = 2.0**exponent
            lower = upper / 2
            found += count * min(1.0, max(0.0, (upper - bound_s) / (upper - lower)))
        return found

    def quantile_s(self, share: float) -> float:
        """About how long that share took at most."""
        below, total = 0, sum(self.buckets.values())
        for exponent in sorted(self.buckets):
            inside = self.buckets[exponent]
            if below + inside >= share * total:
                return 2.0**exponent / 2 * (1 + (share * total - below) / inside)
            below += inside
        return 0.0


class _Window:
    """What one line did lately. The sum is kept: to make it anew of each piece would cost thirty times as much."""

    __slots__ = ("_pieces", "_window_s", "total")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._pieces: deque[tuple[float, Calls]] = deque()
        self.total = Calls()

    def add(self, now: float, calls: Calls) -> None:
        self._pieces.append((now, calls))
        self.total.add(calls)

    def forget(self, now: float) -> None:
        """Take away what is over."""
        while self._pieces and self._pieces[0][0] <= now - self._window_s:
            self.total.subtract(self._pieces.popleft()[1])


class _Ends:
    """How far a topic was, and when that was seen first."""

    __slots__ = ("began_at", "seen")

    def __init__(self) -> None:
        self.seen: deque[tuple[float, int]] = deque()
        self.began_at: float | None = None

    @property
    def is_at_least(self) -> bool:
        """Whether the oldest event that waits did so already when it was first looked at."""
        return bool(self.seen) and self.seen[0][0] == self.began_at

    def age(self, now: float, place: int, end: int) -> float:
        """How long the oldest event behind `place` has waited at least."""
        seen = self.seen
        is_anew = bool(seen) and end < seen[-1][1]
        if is_anew or self.began_at is None:
            self.began_at = now
        if end <= place or is_anew:  # nothing waits; numbers begin anew
            seen.clear()
        if end > place and (not seen or end > seen[-1][1]):
            seen.append((now, end))
        while seen and seen[0][1] <= place:
            seen.popleft()
        if len(seen) > _MOST_ENDS:  # every other one, but never the oldest
            self.seen = deque(each for index, each in enumerate(seen) if not index % 2)
        return now - self.seen[0][0] if self.seen else 0.0


class _Counter:
    """How much a counter that may begin anew has grown within some time."""

    __slots__ = ("grown", "kept_s", "known")

    def __init__(self, kept_s: float = _WINDOW_S) -> None:
        self.kept_s = kept_s
        self.known: dict[str, int] = {}
        self.grown: deque[tuple[float, int]] = deque()

    def take(self, now: float, source: str, value: int, *, is_recent: bool) -> None:
        before = self.known.get(source, 0)
        self.known[source] = value
        if is_recent and value > before:
            self.grown.append((now, value - before))
        self._forget(now)

    def leave(self, sources: Iterable[str]) -> None:
        """Know no more how far these were."""
        for source in sources:
            self.known.pop(source, None)

    def _forget(self, now: float) -> None:
        """Take away what is over, whether or not anybody asks what there was."""
        while self.grown and self.grown[0][0] <= now - self.kept_s:
            self.grown.popleft()

    def within(self, now: float, window_s: float) -> int:
        """At most what is kept."""
        self._forget(now)
        found = 0
        for at, count in reversed(self.grown):
            if at <= now - window_s:
                break
            found += count
        return found


class Measuring:
    """The measurements of one system.

    `objectives` are what borough.toml says; what a contract says of the same is not counted.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._declared = tuple(objectives)
        self.facts = SystemFacts(processes=(), answered={})
        self.calls: dict[Line, Calls] = {}
        """Of the last minute."""
        self.recent: dict[Line, Calls] = {}
        """Of its last third: what was over before is not going on."""
        self.handlers: dict[tuple[str, str], HandlerFacts] = {}
        self.ages: dict[tuple[str, str], float] = {}
        self.handled_per_s: dict[tuple[str, str], float] = {}
        self.pools: dict[tuple[str, str], PoolFacts] = {}
        self.outboxes: dict[str, int] = {}
        self.unsent: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        """By service, in the last minute."""
        self.refused_by: dict[tuple[str, str], int] = {}
        """The same by kind of room, too."""
        self._refused_lately: dict[tuple[str, str], int] = {}
        self.restarts: dict[str, int] = {}
        self.problems: Mapping[str, FailureFacts] = {}
        self.streams: frozenset[str] = frozenset()
        self.spent = {objective: Spent() for objective in objectives}
        self._known: dict[tuple[str, Line], CallFacts] = {}
        self._windows: dict[Line, tuple[_Window, _Window]] = {}
        self._ends: dict[tuple[str, str], _Ends] = {}
        self._headways: dict[tuple[str, str], Headway] = {}
        self._handled: dict[tuple[str, str], _Counter] = {}
        self._failed: dict[tuple[str, str], _Counter] = {}
        self._published: dict[str, _Counter] = {}
        self._refusals: dict[tuple[str, str], _Counter] = {}
        self._restarted: dict[str, _Counter] = {}
        self._told_at: dict[str, float] = {}
        """When each process told last, if that was within the last minute or at the last look."""
        self._began_at: float | None = None
        self.looked_at: float | None = None

    def take(self, facts: SystemFacts, now: float) -> None:
        """Take what was told at a look."""
        began_at = now if self._began_at is None else self._began_at
        self._began_at = began_at
        self.facts = facts
        self.problems = {k: v for each in facts.processes for k, v in each.problems.items()}
        self.streams = frozenset(name for each in facts.processes for name in each.streams)
        self._take_objectives()
        recent = self._recent_processes(now)
        self._take_calls(now, recent)
        self._take_handlers(now, recent, min(_WINDOW_S, max(1.0, now - began_at)))
        self._take_pools(now, recent)
        self._take_restarts(facts.replicas, now)

    def _recent_processes(self, now: float) -> frozenset[str]:
        """Those of which all that they have counted since they told last has happened lately."""
        looked_at, self.looked_at = self.looked_at, now
        oldest = now if looked_at is None else min(looked_at, now - _WINDOW_S)
        recent: set[str] = set()
        for process in self.facts.processes:
            since = self._told_at.get(process.id)
            if since is None and process.age_s is not None:
                since = now - process.age_s
            if looked_at is not None and since is not None and since >= oldest:
                recent.add(process.id)
        before = self._told_at
        self._told_at = {name: at for name, at in before.items() if at >= oldest}
        self._told_at |= dict.fromkeys((each.id for each in self.facts.processes), now)
        self._forget(before.keys() - self._told_at.keys())
        return frozenset(recent)

    def _forget(self, gone: Set[str]) -> None:
        """Processes that have told nothing for so long do not go on where they were, and most have ended."""
        if not gone:
            return
        for counters in (self._handled, self._failed, self._refusals, self._published):
            for counter in counters.values():
                counter.leave(gone)

    def restore(self, spent: Iterable[tuple[Objective, KeptSpent]], by_s: float) -> None:
        """Go on with what was kept by a clock that is so far behind."""
        for objective, kept in spent:
            self.spent[objective] = Spent(Spent(kept).kept(by_s))

    def _take_objectives(self) -> None:
        """Those of borough.toml and of contracts; one that nobody aims at any more is dropped with what was spent."""
        processes = self.facts.processes
        said = {(each.service, each.kind) for each in self._declared}
        aims = [each for process in processes for each in process.objectives]
        aims = [each for each in aims if (each.service, each.kind) not in said]
        for objective in aims:
            self.spent.setdefault(objective, Spent())
        telling = {service for process in processes for service in process.services}
        for objective in {*self.spent} - {*self._declared, *aims}:
            service = objective.service
            is_silent = service in self.facts.answered and service not in telling
            if not is_silent or (service, objective.kind) in said:
                del self.spent[objective]

    def _take_calls(self, now: float, recent: frozenset[str]) -> None:
        known: dict[tuple[str, Line], CallFacts] = {}
        for process in self.facts.processes:
            for facts in process.calls:
                line = Line(facts.side, facts.caller, facts.service, facts.operation)
                grown = _grown(facts, self._known.get((process.id, line)))
                known[process.id, line] = facts
                if grown is not None and process.id in recent:
                    windows = self._windows.get(line)
                    if windows is None:
                        windows = self._windows[line] = _Window(_WINDOW_S), _Window(_RECENT_S)
                    for window in windows:
                        window.add(now, grown)
                    self._spend(line, grown, now)
        for key, facts in self._known.items():  # it may tell again after a look that it missed
            if key[0] in self._told_at and len(known) < _MOST_KNOWN:
                known.setdefault(key, facts)
        self._known = known
        self.calls, self.recent = {}, {}
        for line, (minute, latest) in list(self._windows.items()):
            minute.forget(now)
            latest.forget(now)
            if minute.total.count or minute.total.faults:
                self.calls[line] = minute.total
                self.recent[line] = latest.total
            else:
                del self._windows[line]

    def _spend(self, line: Line, grown: Calls, now: float) -> None:
        for objective, spent in self.spent.items():
            if line.side != "server" or line.service != objective.service:
                continue
            if objective.bound_s is None:
                spent.add(now, grown.count, grown.faults)
            elif line.operation not in self.streams:
                spent.add(now, grown.count, grown.slow)

    def _take_handlers(self, now: float, recent: frozenset[str], window_s: float) -> None:
        self.handlers = {}
        for process in self.facts.processes:
            for facts in process.handlers:
                key = facts.name, facts.topic
                known = self.handlers.get(key)
                self.handlers[key] = facts if known is None else _further(known, facts)
                for counted, number in (
                    (self._handled, facts.handled),
                    (self._failed, facts.failed),
                ):
                    counter = counted.setdefault(key, _Counter(_ATTEMPTS_S))
                    counter.take(now, process.id, number, is_recent=process.id in recent)
            for topic, number in process.published.items():
                counter = self._published.setdefault(topic, _Counter())
                counter.take(now, process.id, number, is_recent=process.id in recent)
        for key, facts in self.handlers.items():
            self._headways.setdefault(key, Headway()).take(now, facts.place, facts.end)
        self.ages = {
            key: self._ends.setdefault(key, _Ends()).age(now, facts.place, facts.end)
            for key, facts in self.handlers.items()
        }
        self.handled_per_s = {
            key: self._handled[key].within(now, _WINDOW_S) / window_s for key in self.handlers
        }

    def pace(self, key: tuple[str, str]) -> Pace:
        """How one of `handlers` gets on."""
        now, facts = self.looked_at or 0.0, self.handlers[key]
        handled = self._handled[key].within(now, _ATTEMPTS_S)
        failed = self._failed[key].within(now, _ATTEMPTS_S)
        waiting = max(0, facts.end - facts.place)
        oldest_s = self.ages[key] if waiting else None
        trend, left_s = self._headways[key].judged(oldest_s)
        return Pace(
            waiting=waiting,
            oldest_s=None if oldest_s is None else round(oldest_s, 1),
            is_at_least=self._ends[key].is_at_least,
            per_s=round(self.handled_per_s[key], 3),
            attempts=handled + failed,
            failures=failed,
            over_s=round(min(_ATTEMPTS_S, now - (self._began_at or 0.0)), 1),
            trend=trend,
            left_s=None if left_s is None else round(left_s, 1),
        )

    def published_per_s(self) -> dict[str, float]:
        """How many events a second each topic was given in the last minute; nothing before enough of it is seen."""
        now = self.looked_at or 0.0
        window_s = min(_WINDOW_S, now - (self._began_at or 0.0))
        if window_s < ENOUGH_S:
            return {}
        return {
            topic: round(counter.within(now, _WINDOW_S) / window_s, 3)
            for topic, counter in self._published.items()
        }

    def _take_pools(self, now: float, recent: frozenset[str]) -> None:
        self.pools, self.outboxes, self.unsent = {}, {}, {}
        for process in self.facts.processes:
            self.unsent |= process.unsent
            for service, waiting in process.outboxes.items():
                self.outboxes[service] = max(waiting, self.outboxes.get(service, 0))
            for pool in process.pools:
                known = self.pools.get((pool.service, pool.kind))
                if known is None or _share(pool) > _share(known):  # the fullest replica counts
                    self.pools[pool.service, pool.kind] = pool
                counter = self._refusals.setdefault((pool.service, pool.kind), _Counter())
                counter.take(now, process.id, pool.refused, is_recent=process.id in recent)
        self.refused_by = {k: each.within(now, _WINDOW_S) for k, each in self._refusals.items()}
        self._refused_lately = {
            k: each.within(now, _RECENT_S) for k, each in self._refusals.items()
        }
        self.refused = {}
        for (service, _), refused in self.refused_by.items():
            self.refused[service] = self.refused.get(service, 0) + refused

    def taken_percent(self, pool: PoolFacts) -> float:
        """How much of some room is taken, what waits included: all of it, too, where it has refused lately.

        A pool that is small is free at some looks, and refuses all the same in between.
        """
        percent = 100.0 * _share(pool)
        is_short = self._refused_lately.get((pool.service, pool.kind), 0) > 0
        return max(percent, 100.0) if is_short else percent

    def refused_lately(self, service: str) -> int:
        """How much a service has refused in the last third of the minute."""
        return sum(count for key, count in self._refused_lately.items() if key[0] == service)

    def _take_restarts(self, replicas: Iterable[ReplicaFacts], now: float) -> None:
        self.restarts = {}
        for replica in replicas:
            is_known = replica.name in self._restarted
            counter = self._restarted.setdefault(replica.name, _Counter(_RESTARTS_S))
            counter.take(now, "", replica.restarts, is_recent=is_known)
            counted = counter.within(now, _RESTARTS_S)
            self.restarts[replica.name] = counted if replica.lately is None else replica.lately


def _grown(now: CallFacts, before: CallFacts | None) -> Calls | None:
    if before is not None and now.count == before.count and now.faults == before.faults:
        return None
    found = Calls()
    kinds = {} if before is None else before.kinds
    buckets = {} if before is None else before.buckets
    found.count = now.count - (0 if before is None else before.count)
    found.faults = now.faults - (0 if before is None else before.faults)
    found.slow = now.slow - (0 if before is None else before.slow)
    found.kinds = {k: n - kinds.get(k, 0) for k, n in now.kinds.items() if n > kinds.get(k, 0)}
    found.buckets = {
        k: n - buckets.get(k, 0) for k, n in now.buckets.items() if n > buckets.get(k, 0)
    }
    return found if found.count or found.faults else None


def _further(one: HandlerFacts, other: HandlerFacts) -> HandlerFacts:
    """What two replicas tell of a handler: whoever works is further, and both read the same database."""
    return one if one.place >= other.place else other


def _share(pool: PoolFacts) -> float:
    return (pool.busy + pool.waiting) / max(1, pool.limit)
