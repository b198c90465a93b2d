"""Looks at the running system: each quarter of a minute, and each second while somebody follows.

The looks of the last 15 minutes are kept, so that rates, quantiles and plots are there at once. All
topics that are drawn from the counts are drawn from the same look.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from borough.alerting.bounds import Bounds
from borough.alerting.facts import ReplicaFacts
from borough.console.counts import EdgeCounts, EdgeKind, ServiceCounts, SystemCounts
from borough.console.facts import SystemView
from borough.console.faring import Faring, faring
from borough.console.memory import Memory, Pair
from borough.console.seen import Seen
from borough.console.windows import Changes, Lately, Sample, Told, Total, Windows, lately
from borough.errors import BoroughError

__all__ = ["Watch"]

_IDLE_S = 15.0
_FRESH_S = 0.8


class EdgeNow(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between two services. `operations` are those that were seen, also before a process ended.
    `elsewhere`: it leads to a service of which no process is here."""

    kind: EdgeKind
    caller: str
    callee: str
    elsewhere: bool
    declared: bool
    observed: bool
    count: int
    faults: int
    operations: tuple[str, ...]
    lately: Lately
    faring: Faring


class ServiceNow(ServiceCounts, kw_only=True):
    """A service's counts, what its calls (`lately`) and its handlers (`events`) do lately, and how its replicas are.

    While no process tells of it, `down_since` says since when, in seconds since 1970; null where none ever has.
    One that tells again `was_down` for two minutes. `full` are kinds of its rooms of which more is taken than may be.
    """

    lately: Lately
    events: Lately
    faring: Faring
    replicas: tuple[ReplicaFacts, ...] = ()
    down_since: float | None = None
    was_down: bool = False
    full: tuple[str, ...] = ()


class ProcessNow(msgspec.Struct, frozen=True, kw_only=True):
    """What a process uses: a share of a core, and bytes of memory."""

    cpu: float | None
    memory_bytes: int
    services: tuple[str, ...]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What a service did, and what its processes used, in the time before `at` (seconds since 1970)."""

    at: float
    calls: Lately
    events: Lately
    cpu: float | None
    memory_bytes: int | None


class Moment:
    """The system at one look: facts, counts, and what has happened lately."""

    def __init__(
        self,
        facts: SystemView,
        counts: SystemCounts,
        changes: Changes,
        memory: Memory,
        bounds: Bounds,
    ) -> None:
        self.facts = facts
        self._bounds = bounds
        self.counts = counts
        self._changes = changes
        self._memory = memory

    def services(self) -> dict[str, ServiceNow]:
        """Each service's counts; zeros of one that should run here and does not."""
        keys: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        for edge in self.counts.edges:
            keys.setdefault((edge.kind, edge.callee), []).append(edge.key)
        own = [each.name for each in self.facts.services if each.runs == "here"]
        found = dict.fromkeys(own, ServiceCounts()) | self.counts.services
        return {
            name: self._service(
                name,
                counts,
                self._changes.of(keys.get(("call", name), ())),
                self._changes.of(keys.get(("event", name), ())),
            )
            for name, counts in found.items()
        }

    def _service(
        self, name: str, counts: ServiceCounts, calls: Lately, events: Lately
    ) -> ServiceNow:
        replicas = tuple(each for each in self.counts.replicas if name in each.services)
        return ServiceNow(
            **msgspec.structs.asdict(counts),
            lately=calls,
            events=events,
            faring=faring((calls, self._bounds.calls(name)), (events, self._bounds.events(name))),
            replicas=replicas,
            down_since=self._memory.down_since(name),
            was_down=self._memory.was_down(name),
            full=tuple(
                room.kind
                for room in counts.rooms
                if room.busy + room.waiting > self._bounds.rooms(name) * room.limit
            ),
        )

    def edges(self) -> dict[str, EdgeNow]:
        """Declared and observed edges, by `KIND CALLER CALLEE`."""
        declared: set[Pair] = {("call", each.caller, each.provider) for each in self.facts.calls}
        declared |= {("event", each.publisher, each.subscriber) for each in self.facts.hearings}
        seen: dict[Pair, list[EdgeCounts]] = {}
        names = {each.name for each in self.facts.services}
        elsewhere = {each.name for each in self.facts.services if each.runs == "elsewhere"}
        # A library may have asked a service by its name.
        before = {
            each for each in self._memory.pairs if each[0] != "outside" or each[2] not in names
        }
        for edge in self.counts.edges:
            pair = edge.kind, edge.caller, edge.callee
            if edge.count and pair in before:
                seen.setdefault(pair, []).append(edge)
        return {
            " ".join(pair): self._edge(
                pair, pair in declared, seen.get(pair, ()), is_elsewhere=pair[2] in elsewhere
            )
            for pair in sorted({*declared, *seen, *before})
        }

    def _edge(
        self, pair: Pair, is_declared: bool, seen: Iterable[EdgeCounts], *, is_elsewhere: bool
    ) -> EdgeNow:
        found = tuple(seen)
        kind, caller, callee = pair
        before = self._memory.operations(pair)
        lately = self._changes.of(each.key for each in found)
        bound = self._bounds.events(callee) if kind == "event" else self._bounds.calls(callee)
        return EdgeNow(
            kind=kind,
            caller=caller,
            callee=callee,
            elsewhere=is_elsewhere,
            declared=is_declared,
            observed=bool(found) or bool(before),
            count=sum(each.count for each in found),
            faults=sum(each.faults for each in found),
            operations=tuple(sorted({*before, *(each.operation for each in found)})),
            lately=lately,
            faring=faring((lately, bound)),
        )

    def operations(self) -> dict[str, dict[str, Any]]:
        """Each operation's counts."""
        keys: dict[str, list[tuple[str, ...]]] = {}
        services: dict[str, str] = {}
        for edge in self.counts.edges:
            if edge.kind == "call":
                keys.setdefault(edge.operation, []).append(edge.key)
                services[edge.operation] = edge.callee
        found: dict[str, dict[str, Any]] = {}
        for name, counts in self.counts.operations.items():
            lately = self._changes.of(keys.get(name, ()))
            bound = self._bounds.calls(services.get(name, ""))
            now = {"lately": lately, "faring": faring((lately, bound))}
            found[name] = {**msgspec.structs.asdict(counts), **now}
        return found

    def processes(self) -> dict[str, ProcessNow]:
        """What each process uses."""
        return {
            name: ProcessNow(
                cpu=self._changes.cpu(name),
                memory_bytes=use.memory_bytes,
                services=use.services,
            )
            for name, use in self.counts.processes.items()
        }

    def topics(self) -> Mapping[str, Mapping[str, Any]]:
        """All of it that is live."""
        state = {"state": self.counts.state, "started_at": self.counts.started_at}
        return {
            "state": state,
            "services": self.services(),
            "operations": self.operations(),
            "edges": self.edges(),
            "processes": self.processes(),
        }


class Watch:
    """The looks at one system. `start` and `close` belong to a running loop."""

    def __init__(self, seen: Seen, bounds: Callable[[], Bounds]) -> None:
        self._seen = seen
        self._bounds = bounds
        self._windows = Windows()
        self._memory = Memory(seen.configuration.options.console.hosts_outside)
        self._latest: Moment | None = None
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self._idle: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on, though nobody follows."""
        self._idle = asyncio.create_task(self._look_idly(), name="console looks")

    async def _look_idly(self) -> None:
        while True:
            await self._seen.clock.sleep(_IDLE_S)
            with suppress(BoroughError):  # a system in trouble; who asks for it is told
                await self.look()

    async def look(self) -> Moment:
        """The system now, or a moment ago. Raises `Unavailable`."""
        async with self._looking:
            now = self._seen.clock.monotonic()
            if self._latest is None or now - self._looked_at >= _FRESH_S:
                counts, apart = await self._seen.counts()
                facts = await self._seen.facts()
                self._looked_at = self._seen.clock.monotonic()
                uses = {pid: (use.cpu_s, use.memory_bytes) for pid, use in counts.processes.items()}
                self._windows.add(self._looked_at, _told(apart, self._looked_at), uses)
                self._memory.take(counts, self._seen.clock.epoch_s())
                self._windows.forget((*pair, pair[2]) for pair in self._memory.forgotten)
                self._latest = Moment(
                    facts, counts, self._windows.changes(), self._memory, self._bounds()
                )
            return self._latest

    async def history(self, service: str) -> list[Point]:
        """The last 15 minutes of a service, the oldest first. Raises `Unavailable`."""
        moment = await self.look()
        clock = self._seen.clock
        offset_s = clock.epoch_s() - clock.monotonic()
        uses = moment.counts.processes
        pids = [pid for pid, use in uses.items() if service in use.services]
        samples = self._windows.history()
        pairs = itertools.pairwise(samples)
        return [
            _point(service, before, after, pids, offset_s)
            for before, after in pairs
            if after.at > before.at  # two looks may fall into one tick of the clock
        ]

    async def close(self) -> None:
        """Look no more. Idempotent."""
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.cancel()
            await asyncio.wait([idle])


def _told(apart: Iterable[SystemCounts], now: float) -> dict[str, Told]:
    """What each process has counted; a number that the next one has as well is not the same process."""
    return {
        f"{' '.join(counts.processes)} since {counts.started_at}": Told(
            now - (counts.at - counts.started_at).total_seconds(),
            {edge.key: Total(edge.count, edge.faults, edge.buckets) for edge in counts.edges},
        )
        for counts in apart
    }


def _point(
    service: str, before: Sample, after: Sample, pids: Iterable[str], offset_s: float
) -> Point:
    seconds = after.at - before.at
    calls = [key for key in after.totals if key[0] == "call" and key[2] == service]
    events = [key for key in after.totals if key[0] == "event" and key[2] == service]
    cpu: float | None = None
    memory: int | None = None
    for pid in pids:
        if pid in after.processes and pid in before.processes:
            used_s, memory_bytes = after.processes[pid]
            cpu = (cpu or 0.0) + (used_s - before.processes[pid][0]) / seconds
            memory = (memory or 0) + memory_bytes
    return Point(
        at=round(after.at + offset_s, 1),
        calls=lately(after.total(calls), before.total(calls), seconds),
        events=lately(after.total(events), before.total(events), seconds),
        cpu=None if cpu is None else round(cpu, 3),
        memory_bytes=memory,
    )
