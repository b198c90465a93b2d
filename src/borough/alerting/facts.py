"""What a process tells of itself so that rules can be judged: counters since its start, and what is so now.

Databases are asked with little patience, and each question has a bound.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Literal

import msgspec

from borough.contracts.catalog import first_sentence, own_doc
from borough.contracts.objective import Objective, objectives_of
from borough.errors import BrokerError, StoreError
from borough.gateway.process import Process
from borough.observing.gathering import outbox_waiting
from borough.observing.rooms import rooms_of
from borough.ports import Store
from borough.runtime.consumer import Consumer
from borough.runtime.running import RunningService
from borough.runtime.topics import HEARD, KEYS
from borough.telemetry.durations import RecentDurations
from borough.telemetry.masking import masked
from borough.telemetry.measures import Measured
from borough.telemetry.plain import plain, shortened

__all__ = [
    "CallFacts",
    "FailureFacts",
    "HandlerFacts",
    "OwnFacts",
    "PoolFacts",
    "ProcessFacts",
    "ReplicaFacts",
    "SystemFacts",
]

_PATIENCE_S = 0.5
_MOST_WAITING = 10_000
_LONGEST_CAUSE = 160
_PARKED = """
select count(*) from (select 1 from borough_parked where handler = $1 and topic = $2
and (due is not null) = $3 limit 1000) as parked
"""
_FAILING = """
select attempts, cause from borough_parked where handler = $1 and topic = $2 and due is not null
order by attempts desc limit 1
"""
_DEAD = """
select count(*) from (select 1 from borough_dead where handler = $1 and topic = $2 limit 1000) as dead
"""
_LATEST_DEAD = """
select attempts, error || ': ' || cause as cause from borough_dead where handler = $1 and topic = $2
order by died_at desc limit 1
"""


class CallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one operation by one caller, counted at one end. `kinds` are failures by `error.type`.

    `slow` are those that took as long as the bound of their objective, or longer.
    """

    side: Literal["server", "client"]
    caller: str
    service: str
    operation: str
    count: int
    faults: int
    slow: int = 0
    kinds: dict[str, int] = {}
    buckets: dict[int, int] = {}


class FailureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A declared problem: its HTTP status, and what it means."""

    status: int
    doc: str


class HandlerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A handler of the events of one topic. `place` and `end` are positions there.

    Where any of them fail or are dead, `keys` counts keys whose events wait, among 10,000 of these, and `heard` events
    that it has taken of all its topics in the inbox's time.
    """

    name: str
    service: str
    topic: str
    place: int
    end: int
    failing: int
    behind_failing: int
    attempts: int
    cause: str
    dead: int
    dead_cause: str
    handled: int
    failed: int = 0
    """Attempts, since the start."""
    keys: int = 0
    heard: int = 0


class PoolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a service that has room for so many. `refused` counts since the start."""

    service: str
    kind: Literal["calls", "threads"]
    busy: int
    limit: int
    waiting: int
    refused: int


class ProcessFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All of one process. `id` is another one after a restart; `streams` are operations of no usual length."""

    id: str
    services: tuple[str, ...]
    state: str
    age_s: float | None = None
    """For how long it has been counting."""
    calls: tuple[CallFacts, ...] = ()
    handlers: tuple[HandlerFacts, ...] = ()
    pools: tuple[PoolFacts, ...] = ()
    outboxes: dict[str, int] = {}
    published: dict[str, int] = {}
    """Events that the broker has taken, by topic."""
    unsent: dict[str, str] = {}
    """By service, why the broker takes nothing of its outbox, where that is so again and again."""
    unknown: tuple[str, ...] = ()
    """Of what nothing can be said now: handlers with their topic, and services whose outbox does not say."""
    problems: dict[str, FailureFacts] = {}
    streams: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ()
    """What the contracts of its services aim at."""


class ReplicaFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A replica's place in a fleet. `restarts` counts how often it has ended by itself; `trouble` says why.

    `lately` is how many of these ends are not longer ago than 5 minutes, where that is known. Of the latest end `why`
    is a sentence, `ended_at` seconds since 1970, and `last_words` are what the process printed last. One that
    `is_command` tells nothing of itself.
    """

    name: str
    services: tuple[str, ...]
    state: str
    restarts: int
    trouble: str | None
    lately: int | None = None
    why: str | None = None
    ended_at: float | None = None
    last_words: tuple[str, ...] = ()
    pid: int | None = None
    version: str = ""
    is_command: bool = False


class SystemFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A whole system at one look. `answered` has every service with whether anybody answers for it."""

    processes: tuple[ProcessFacts, ...]
    answered: dict[str, bool]
    replicas: tuple[ReplicaFacts, ...] = ()


class _Failed(msgspec.Struct):
    attempts: int
    cause: str


class OwnFacts:
    """Those of one process, which has been counting since `began_at` on its monotonic clock."""

    def __init__(self, process: Process, began_at: float) -> None:
        self._process = process
        self._began_at = began_at
        self._host = process.host
        self._id = f"{os.getpid()}-{process.clock.token(6).hex()}"
        self._problems: dict[str, FailureFacts] | None = None
        self._streams: tuple[str, ...] = ()
        self._objectives: tuple[Objective, ...] = ()

    async def look(self) -> SystemFacts:
        """This moment, as that of a whole system."""
        facts = await self.tell()
        is_ready = self._host.state == "ready"
        return SystemFacts(processes=(facts,), answered=dict.fromkeys(facts.services, is_ready))

    async def tell(self) -> ProcessFacts:
        """This moment."""
        host = self._host
        if self._problems is None:
            self._read_contracts()
        consumers = host.carriage.consumers if host.carriage is not None else ()
        unknown: list[str] = []
        handlers: list[HandlerFacts] = []
        for consumer in consumers:
            handler = await _handler(consumer)
            if handler is None:
                unknown.append(f"{consumer.handler.name} {consumer.topic}")
            else:
                handlers.append(handler)
        outboxes: dict[str, int] = {}
        for service in host.services.values():
            waiting = await outbox_waiting(service, _MOST_WAITING)
            if waiting is not None:
                outboxes[service.name] = waiting
            elif service.database is not None:
                unknown.append(service.name)
        measured = host.recorder.measures.series() if host.recorder is not None else ()
        return ProcessFacts(
            id=self._id,
            services=tuple(host.services),
            state=host.state,
            age_s=self._process.clock.monotonic() - self._began_at,
            calls=tuple(call for each in measured if (call := _call(each)) is not None),
            handlers=tuple(handlers),
            pools=tuple(pool for each in host.services.values() for pool in self._pools(each)),
            outboxes=outboxes,
            published=host.carriage.published if host.carriage is not None else {},
            unsent={
                name: _short(why)
                for name, why in (host.carriage.troubles if host.carriage else {}).items()
            },
            unknown=tuple(unknown),
            problems=self._problems or {},
            streams=self._streams,
            objectives=self._objectives,
        )

    def _read_contracts(self) -> None:
        plan = self._host.plan
        contracts = [*plan.contracts.values(), *plan.absent.values()]
        operations = [each for contract in contracts for each in contract.operations.values()]
        self._streams = tuple({each.wire_name for each in operations if each.stream})
        marks = [
            contract.mark for service in plan.services.values() for contract, _ in service.provides
        ]
        self._objectives = tuple(
            objective
            for mark in marks
            for objective in objectives_of(mark.service, mark.availability, mark.latency)
        )
        self._problems = {
            kind.__name__: FailureFacts(
                status=kind.status, doc=plain(first_sentence(own_doc(kind)))
            )
            for operation in operations
            for kind in operation.mark.raises
        }

    def _pools(self, service: RunningService) -> Iterator[PoolFacts]:
        for room in rooms_of(service, self._process.entrances.of(service.name)):
            yield PoolFacts(
                service=service.name,
                kind=room.kind,
                busy=room.busy,
                limit=room.limit,
                waiting=room.waiting,
                refused=room.refused,
            )


def _call(measured: Measured) -> CallFacts | None:
    facts = measured.attributes
    side: Literal["server", "client"]
    if measured.name == "rpc.server.call.duration":
        side, caller, service = "server", str(facts.get("borough.caller", "")), measured.service
    elif measured.name == "rpc.client.call.duration":
        side, caller, service = "client", measured.service, str(facts.get("peer.service", ""))
    else:
        return None
    durations = measured.durations
    buckets = durations.by_exponent()
    return CallFacts(
        side=side,
        caller=caller,
        service=service,
        operation=f"{facts.get('rpc.service')}.{facts.get('rpc.method')}",
        count=sum(buckets.values()),
        faults=measured.faults,
        slow=durations.slow if isinstance(durations, RecentDurations) else 0,
        kinds=dict(measured.failures),
        buckets=buckets,
    )


async def _handler(consumer: Consumer) -> HandlerFacts | None:
    """None where its database or broker does not say now."""
    name, topic, store = consumer.handler.name, consumer.topic, consumer.store
    try:
        async with asyncio.timeout(_PATIENCE_S):
            place, end = await consumer.progress()
            failing = await store.one(int, _PARKED, name, topic, True)
            behind = await store.one(int, _PARKED, name, topic, False)
            dead = await store.one(int, _DEAD, name, topic)
            keys = await store.one(int, KEYS, name, topic) if failing or behind else 0
            heard = await store.one(int, HEARD, name) if failing or dead else 0
            worst = await _one(store, _FAILING, name, topic) if failing else None
            latest = await _one(store, _LATEST_DEAD, name, topic) if dead else None
    except (StoreError, BrokerError, TimeoutError):
        return None
    return HandlerFacts(
        name=name,
        service=consumer.handler.service,
        topic=topic,
        place=place,
        end=end,
        failing=failing,
        behind_failing=behind,
        attempts=worst.attempts if worst is not None else 0,
        cause=_short(worst.cause) if worst is not None else "",
        dead=dead,
        dead_cause=_short(latest.cause) if latest is not None else "",
        handled=consumer.handled,
        failed=consumer.failed,
        keys=keys,
        heard=heard,
    )


async def _one(store: Store, sql: str, name: str, topic: str) -> _Failed | None:
    return await store.maybe(_Failed, sql, name, topic)


def _short(cause: str) -> str:
    """One line of it, without what is secret or writes to a terminal."""
    return shortened(plain(masked(cause)), _LONGEST_CAUSE)
