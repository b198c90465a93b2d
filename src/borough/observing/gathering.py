"""What is measured of a process when somebody asks: its services, events, threads, and the process itself.

Databases are asked with little patience: looking at a system in trouble must not add to it.
"""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from borough.errors import BrokerError, StoreError
from borough.observing.rooms import rooms_of
from borough.runtime.consumer import Consumer
from borough.runtime.host import Host
from borough.runtime.running import RunningService
from borough.telemetry.durations import Durations
from borough.telemetry.measures import Point
from borough.telemetry.span import Value
from borough.transports.http.entrance import Entrance, Entrances

__all__ = ["PROCESS", "outbox_waiting", "points_of", "process_points", "process_use"]

PROCESS = "borough"
"""The service under whose name a process tells of itself."""
_PATIENCE_S = 0.5
_MOST_COUNTED = 10_000
_WAITING = "select count(*) from (select 1 from borough_outbox limit $1) as waiting"
_DEAD = """
select count(*) from (select 1 from borough_dead where handler = $1 and topic = $2 limit 10000) as dead
"""
_PARKED = """
select count(*) from (select 1 from borough_parked where handler = $1 and topic = $2 limit 10000)
as parked
"""
_BUSY = {"calls": "in_flight", "threads": "busy"}
_STATM = Path("/proc/self/statm")
_PAGE = resource.getpagesize()


async def points_of(host: Host, entrances: Entrances | None = None) -> AsyncIterator[Point]:
    """Everything of the services of a process; calls from outside come in by `entrances`."""
    if host.recorder is not None:
        for point in host.recorder.measures.points():
            yield point
    for service in host.services.values():
        yield _gauge("borough.ready", "1 while it answers calls", service.name, int(host.ready))
        for point in _service(
            service, entrances.of(service.name) if entrances is not None else None
        ):
            yield point
        publishes = service.database is not None and service.database.events
        waiting = await outbox_waiting(service, _MOST_COUNTED) if publishes else None
        if waiting is not None:
            yield _gauge("borough.outbox.waiting", "Events on their way", service.name, waiting)
            stands = host.carriage is not None and service.name in host.carriage.troubles
            doc = "Events that wait while the broker takes none"
            yield _gauge("borough.outbox.unsent", doc, service.name, waiting if stands else 0)
    for consumer in host.carriage.consumers if host.carriage is not None else ():
        for point in await _consumer(consumer):
            yield point


def process_points(loop_delay: Durations, began_s: float) -> Iterator[Point]:
    """The process itself, which began so many seconds after 1970."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    for mode, seconds in (("user", used.ru_utime), ("system", used.ru_stime)):
        yield Point(
            name="process.cpu.time",
            doc="CPU time",
            unit="s",
            kind="sum",
            service=PROCESS,
            attributes={"cpu.mode": mode},
            value=seconds,
        )
    yield _gauge("process.start.time", "When it began, since 1970", PROCESS, began_s, "s")
    yield _gauge("process.memory.usage", "Resident memory", PROCESS, _resident(), "By")
    yield _gauge("process.thread.count", "Threads", PROCESS, threading.active_count())
    yield Point(
        name="borough.loop.delay",
        doc="How much later than asked for the event loop wakes",
        unit="s",
        kind="durations",
        service=PROCESS,
        durations=loop_delay,
    )


def process_use() -> tuple[float, int]:
    """Seconds of CPU that this process has used, and the bytes that it holds in memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, _resident()


def _resident() -> int:
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:  # no Linux: the most that it ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _gauge(
    name: str,
    doc: str,
    service: str,
    value: float,
    unit: str = "1",
    attributes: dict[str, Value] | None = None,
) -> Point:
    return Point(
        name=name,
        doc=doc,
        unit=unit,
        kind="gauge",
        service=service,
        attributes=attributes or {},
        value=value,
    )


def _service(service: RunningService, entrance: Entrance | None) -> Iterator[Point]:
    for room in rooms_of(service, entrance):
        for name, doc, value in (
            (_BUSY[room.kind], "At work now", room.busy),
            ("limit", "May be at work at once", room.limit),
            ("waiting", "Waiting for room", room.waiting),
        ):
            yield _gauge(f"borough.{room.kind}.{name}", doc, service.name, value)
        yield Point(
            name=f"borough.{room.kind}.refused",
            doc="Refused for lack of room",
            unit="1",
            kind="sum",
            service=service.name,
            value=room.refused,
        )


async def outbox_waiting(service: RunningService, most: int) -> int | None:
    """How many committed events the relay has not sent yet, counted up to `most`.

    None where the database does not say, or is none.
    """
    if service.database is None:
        return None
    if not service.database.events:
        return 0
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await service.database.store.one(int, _WAITING, most)
    except (StoreError, TimeoutError):
        return None


async def _consumer(consumer: Consumer) -> list[Point]:
    handler, topic = consumer.handler, consumer.topic
    facts: dict[str, Value] = {
        "messaging.consumer.group.name": handler.name,
        "messaging.destination.name": topic,
    }
    found = [
        Point(
            name=f"borough.events.{name}",
            doc=doc,
            unit="1",
            kind="sum",
            service=handler.service,
            attributes=facts,
            value=count,
        )
        for name, doc, count in (
            ("handled", "Events handled", consumer.handled),
            ("retried", "Attempts after the first", consumer.retries),
            ("duplicate", "Events that had been handled before", consumer.duplicates),
            ("missed", "Events removed before they were handled", consumer.missed),
        )
    ]
    store = consumer.store
    try:
        async with asyncio.timeout(_PATIENCE_S):
            progress = await consumer.progress()
            counts = (
                ("lag", "Events not yet handled", progress.lag),
                (
                    "parked",
                    "Events that are tried again later",
                    await store.one(int, _PARKED, handler.name, topic),
                ),
                ("dead", "Dead letters", await store.one(int, _DEAD, handler.name, topic)),
            )
    except (StoreError, BrokerError, TimeoutError):
        return found
    found += [
        _gauge(f"borough.events.{name}", doc, handler.service, count, attributes=facts)
        for name, doc, count in counts
    ]
    return found
