"""What has been seen of a system and is not there any more: a service that has died, and who talked to whom.

Counters go with the process that counts. Without this, what has died would look as if it had never been. Services are
few; of hosts outside, whose names may come from anywhere, only so many are remembered. Pure: time is an argument, in
seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set

from borough.console.counts import EdgeKind, SystemCounts

__all__ = ["Memory", "Pair"]

Pair = tuple[EdgeKind, str, str]
"""What kind of edge, from whom, to whom."""


_LATELY_S = 120.0


class Memory:
    """That of one console, since it began. It has `hosts_outside` pairs of who asks and which host at most."""

    def __init__(self, hosts_outside: int) -> None:
        self._hosts_outside = hosts_outside
        self._asked: dict[Pair, None] = {}
        """Hosts outside, those first that were not asked for longest."""
        self._counted: dict[Pair, int] = {}
        """How often each host was asked, as it was told at the latest look."""
        self._told_at: dict[str, float] = {}
        """By service: when a process that runs it told last."""
        self._down_since: dict[str, float] = {}
        self._down_until: dict[str, float] = {}
        self._now = 0.0
        self._pairs: dict[Pair, set[str]] = {}
        self.forgotten: Collection[Pair] = ()
        """Hosts outside that were one too many at the latest look."""

    def take(self, counts: SystemCounts, now: float) -> None:
        """Take what is seen now."""
        self._now = now
        running = {name for name, each in counts.services.items() if each.processes}
        for name in running:
            self._told_at[name] = now
            if self._down_since.pop(name, None) is not None:
                self._down_until[name] = now
        ends: dict[str, float] = {}
        for replica in counts.replicas:
            for name in replica.services:
                if replica.ended_at is not None:
                    ends[name] = max(replica.ended_at, ends.get(name, 0.0))
        for name in {*self._told_at, *ends} - running:
            # It told before it ended; where the latest end is older, it runs and is silent.
            since = max(ends.get(name, 0.0), self._told_at.get(name, 0.0))
            self._down_since.setdefault(name, since)
        asked: dict[Pair, int] = {}
        for edge in counts.edges:
            if edge.caller and edge.count and edge.caller != edge.callee:
                pair = edge.kind, edge.caller, edge.callee
                if edge.kind == "outside":
                    asked[pair] = asked.get(pair, 0) + edge.count
                else:
                    self._pairs.setdefault(pair, set()).add(edge.operation)
        self._take_outside(asked)

    def _take_outside(self, counted: dict[Pair, int]) -> None:
        for pair, count in counted.items():
            if count != self._counted.get(pair):
                self._asked.pop(pair, None)
                self._asked[pair] = None
        self._counted = counted
        self.forgotten = tuple(self._asked)[: max(0, len(self._asked) - self._hosts_outside)]
        for pair in self.forgotten:
            del self._asked[pair]

    def down_since(self, service: str) -> float | None:
        """Since when nobody tells of a service. None: somebody does, or nobody ever has."""
        return self._down_since.get(service)

    def was_down(self, service: str) -> bool:
        """Whether somebody tells of a service again, and two minutes ago nobody did."""
        until = self._down_until.get(service)
        is_down = service in self._down_since
        return until is not None and not is_down and self._now - until < _LATELY_S

    def operations(self, pair: Pair) -> Set[str]:
        """What has been seen between two services; empty where nothing has."""
        if pair in self._asked:
            return frozenset((pair[2],))
        return self._pairs.get(pair, frozenset())

    @property
    def pairs(self) -> Iterable[Pair]:
        """Between whom anything has been seen."""
        return (*self._pairs, *self._asked)
