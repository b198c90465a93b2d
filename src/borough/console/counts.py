"""What a running system has done since its start, in numbers; read each second that somebody looks.

In a fleet each replica counts for itself, and the edge adds up what they say. Everything but the
outbox is a plain counter. The outbox is counted up to a limit, so that looking at a system in
trouble does not add to it. The JSON is documented in docs/reference/console.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from borough.alerting.facts import ReplicaFacts
from borough.observing.gathering import outbox_waiting, process_use
from borough.observing.rooms import Room, rooms_of
from borough.runtime.host import Host
from borough.runtime.push_plan import receiver_of
from borough.telemetry.measures import Measured
from borough.telemetry.recorder import Recorder
from borough.transports.http.entrance import Entrances

__all__ = [
    "MOST_COUNTED",
    "Counts",
    "EdgeCounts",
    "EdgeKind",
    "OperationCounts",
    "ProcessCounts",
    "ProcessUse",
    "ServiceCounts",
    "SystemCounts",
    "merged_counts",
    "system_counts",
]

EdgeKind = Literal["call", "event", "outside"]
MOST_COUNTED = 1000
"""An outbox with more rows is said to have one more than this."""


class ProcessCounts(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A process that runs a service, and the service's version there."""

    pid: int
    version: str


class ServiceCounts(msgspec.Struct, kw_only=True):
    """One service's counts; null where nothing is known, as of a mock's calls in flight."""

    processes: tuple[ProcessCounts, ...] = ()

    calls: int = 0
    failures: int = 0
    in_flight: int | None = None
    published: int = 0
    handled: int = 0
    retries: int = 0
    duplicates: int = 0
    waiting: int | None = None
    rooms: tuple[Room, ...] = ()


class OperationCounts(msgspec.Struct, frozen=True, kw_only=True):
    """One operation's counts."""

    calls: int
    failures: int


class EdgeCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of an operation by one caller, or attempts of a handler at one publisher's events.

    `caller` is empty for the public. Calls are counted by who answers them, and where that is a service elsewhere,
    which tells nothing here, by who makes them. `outside` are requests to a host that is no service, all
    as one operation. `buckets` counts durations by the exponent of their upper bound,
    2^N seconds.
    """

    kind: EdgeKind
    caller: str
    callee: str
    operation: str
    count: int
    failures: int
    """Also declared problems, and what the caller did wrong."""
    faults: int
    """Those failures that are the fault of who answers."""
    buckets: dict[int, int]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is counted under."""
        return self.kind, self.caller, self.callee, self.operation


class ProcessUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a process uses: seconds of CPU since its start, bytes of memory now, and for which services."""

    cpu_s: float
    memory_bytes: int
    services: tuple[str, ...]


class SystemCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the process and every count in it, services and operations by wire name.

    `replicas` are the places of a fleet, as its supervisor knows them.
    """

    state: str
    started_at: datetime
    at: datetime
    services: dict[str, ServiceCounts]
    operations: dict[str, OperationCounts]
    edges: tuple[EdgeCounts, ...] = ()
    processes: dict[str, ProcessUse] = {}
    replicas: tuple[ReplicaFacts, ...] = ()


class Counts(NamedTuple):
    """What all processes have counted together, and what each of those that tell has counted."""

    together: SystemCounts
    apart: Sequence[SystemCounts]


async def system_counts(
    host: Host, started_at: datetime, entrances: Entrances | None = None
) -> SystemCounts:
    """The counts of this moment; calls from outside pass `entrances`."""
    waiting = await asyncio.gather(
        *[outbox_waiting(service, MOST_COUNTED + 1) for service in host.services.values()]
    )
    services = {
        service.name: ServiceCounts(
            processes=(
                ProcessCounts(pid=os.getpid(), version=host.system.version_of(service.name)),
            ),
            in_flight=service.gate.in_flight,
            waiting=rows,
            rooms=tuple(
                rooms_of(service, None if entrances is None else entrances.of(service.name))
            ),
        )
        for service, rows in zip(host.services.values(), waiting, strict=True)
    }
    edges: tuple[EdgeCounts, ...] = ()
    if host.recorder is not None:
        edges = tuple(_edges(host.recorder, host.called_elsewhere))
    measured = _by_operation(edges)
    operations: dict[str, OperationCounts] = {}
    for name, callee in sorted(host.callees.items()):
        own = OperationCounts(calls=callee.count, failures=callee.failures)  # all of a mock
        counted = operations[name] = measured.get(name, own)
        of_service = services.setdefault(callee.operation.contract.service, ServiceCounts())
        of_service.calls += counted.calls
        of_service.failures += counted.failures
    for name, events in (host.carriage.counts if host.carriage is not None else {}).items():
        services[name].published = events.published
        services[name].handled = events.handled
        services[name].retries = events.failed
        services[name].duplicates = events.duplicates
    return SystemCounts(
        state=host.state,
        started_at=started_at,
        at=host.clock.now(),
        services=services,
        operations=operations,
        edges=edges,
        processes={str(os.getpid()): _use(host)},
    )


def _by_operation(edges: Iterable[EdgeCounts]) -> dict[str, OperationCounts]:
    """The same calls and faults as those that rates and shares are made of, lest a page contradicts itself."""
    found: dict[str, OperationCounts] = {}
    nothing = OperationCounts(calls=0, failures=0)
    for edge in edges:
        if edge.kind == "call":
            before = found.get(edge.operation, nothing)
            found[edge.operation] = OperationCounts(
                calls=before.calls + edge.count, failures=before.failures + edge.faults
            )
    return found


def merged_counts(found: Sequence[SystemCounts], state: str, at: datetime) -> SystemCounts:
    """What several processes count together, at least one. It began with the youngest of them."""
    services: dict[str, ServiceCounts] = {}
    operations: dict[str, OperationCounts] = {}
    edges: dict[tuple[str, str, str, str], EdgeCounts] = {}
    processes: dict[str, ProcessUse] = {}
    for counts in found:
        processes.update(counts.processes)
        for edge in counts.edges:
            seen = edges.get(edge.key)
            edges[edge.key] = edge if seen is None else _joined(seen, edge)
        for name, more in counts.services.items():
            known = services.get(name)
            services[name] = more if known is None else _sum(known, more)
        for name, one in counts.operations.items():
            other = operations.get(name, OperationCounts(calls=0, failures=0))
            operations[name] = OperationCounts(
                calls=one.calls + other.calls, failures=one.failures + other.failures
            )
    return SystemCounts(
        state=state,
        started_at=max(counts.started_at for counts in found),
        at=at,
        services=dict(sorted(services.items())),
        operations=dict(sorted(operations.items())),
        edges=tuple(edges.values()),
        processes=processes,
    )


def _joined(one: EdgeCounts, other: EdgeCounts) -> EdgeCounts:
    buckets = dict(one.buckets)
    for exponent, count in other.buckets.items():
        buckets[exponent] = buckets.get(exponent, 0) + count
    return msgspec.structs.replace(
        one,
        count=one.count + other.count,
        failures=one.failures + other.failures,
        faults=one.faults + other.faults,
        buckets=buckets,
    )


def _edges(recorder: Recorder, elsewhere: Collection[str]) -> Iterator[EdgeCounts]:
    """What is measured of calls and of handling, by who has to do with whom."""
    for measured in recorder.measures.series():
        names = _ends(measured, elsewhere)
        if names is None:
            continue
        kind, caller, callee, operation = names
        buckets = measured.durations.by_exponent()
        yield EdgeCounts(
            kind=kind,
            caller=caller,
            callee=callee,
            operation=operation,
            count=sum(buckets.values()),
            failures=sum(measured.failures.values()),
            faults=measured.faults,
            buckets=buckets,
        )


def _ends(measured: Measured, elsewhere: Collection[str]) -> tuple[EdgeKind, str, str, str] | None:
    facts = measured.attributes
    if measured.name in ("rpc.server.call.duration", "rpc.client.call.duration"):
        operation = f"{facts.get('rpc.service')}.{facts.get('rpc.method')}"
        if measured.name == "rpc.server.call.duration":
            return "call", str(facts.get("borough.caller", "")), measured.service, operation
        callee = str(facts.get("peer.service", ""))
        return ("call", measured.service, callee, operation) if callee in elsewhere else None
    if measured.name == "http.client.request.duration":
        address = str(facts.get("server.address", ""))
        return "outside", measured.service, address, address
    if measured.name == "messaging.process.duration":
        publisher = str(facts.get("messaging.destination.name", "")).partition(".")[0]
        handler = str(facts.get("messaging.consumer.group.name", ""))
        return "event", publisher, receiver_of(handler) or measured.service, handler
    return None


def _use(host: Host) -> ProcessUse:
    cpu_s, memory_bytes = process_use()
    return ProcessUse(cpu_s=cpu_s, memory_bytes=memory_bytes, services=tuple(host.services))


def _sum(one: ServiceCounts, other: ServiceCounts) -> ServiceCounts:
    """Replicas of a service share its database, and so what waits there."""
    in_flight = [each.in_flight for each in (one, other) if each.in_flight is not None]
    waiting = [each.waiting for each in (one, other) if each.waiting is not None]
    return ServiceCounts(
        processes=tuple(sorted((*one.processes, *other.processes))),
        calls=one.calls + other.calls,
        failures=one.failures + other.failures,
        in_flight=sum(in_flight) if in_flight else None,
        published=one.published + other.published,
        handled=one.handled + other.handled,
        retries=one.retries + other.retries,
        duplicates=one.duplicates + other.duplicates,
        waiting=max(waiting, default=None),
        rooms=tuple(_rooms((*one.rooms, *other.rooms))),
    )


def _rooms(rooms: Iterable[Room]) -> Iterator[Room]:
    """Those of replicas, of each kind together."""
    found: dict[str, list[Room]] = {}
    for room in rooms:
        found.setdefault(room.kind, []).append(room)
    for same in found.values():
        yield Room(
            same[0].kind,
            busy=sum(each.busy for each in same),
            limit=sum(each.limit for each in same),
            waiting=sum(each.waiting for each in same),
            refused=sum(each.refused for each in same),
        )
