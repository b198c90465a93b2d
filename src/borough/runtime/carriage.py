"""All that moves events and runs by time in a process: relays, consumers, schedules, housekeeping.

Each is a task of its own, supervised: one that ends by an error of its own is logged and begun anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from borough.clock import Clock
from borough.contracts.operation import Contract
from borough.contracts.retention import FOREVER, Retention
from borough.errors import ConfigurationError
from borough.ports import Broker
from borough.reliability.backoff import Backoff
from borough.reliability.inbox import InboxTerms
from borough.reliability.lease import lease_terms
from borough.reliability.retries import Retries
from borough.runtime.consumer import Consumer
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import source_name
from borough.runtime.event_handler import EventHandler
from borough.runtime.generations import start_generation
from borough.runtime.history import Past
from borough.runtime.housekeeping import Housekeeping, HousekeepingCounts, housekeeping_terms
from borough.runtime.leases import Leases
from borough.runtime.methods import HandlerPlan
from borough.runtime.options import Options
from borough.runtime.parking import kind_and_words
from borough.runtime.pulse import Pulse, Quietable, until_quiet
from borough.runtime.push import Pushes
from borough.runtime.relay import Relay
from borough.runtime.renamed import renamed
from borough.runtime.running import RunningService
from borough.runtime.schedule import Schedule, ScheduledHandler

__all__ = ["Carriage", "EventCounts"]

_log = logging.getLogger("borough.events")
_AGAIN_S = 1.0
_MENDED_S = 5.0


class EventCounts:
    """What one service has done with events since the start."""

    __slots__ = ("duplicates", "failed", "handled", "published")

    def __init__(self, published: int, handled: int, failed: int, duplicates: int) -> None:
        self.published = published
        self.handled = handled
        self.failed = failed
        self.duplicates = duplicates


class _Worker(Protocol):
    async def run(self) -> None: ...

    def stop(self) -> None: ...


class Carriage:
    """Carries the events of the services of one process."""

    def __init__(
        self,
        services: Mapping[str, RunningService],
        broker: Broker,
        clock: Clock,
        activity: Pulse,
        options: Options,
        pushes: Pushes,
        past: Callable[[RunningService, str], Past] | None = None,
    ) -> None:
        """`past` makes what a service reads the history of a topic with, where the broker keeps none."""
        events = options.events
        self._system = options.system.name
        self._pushes = pushes
        self._past = past
        self._services = services
        self._terms = lease_terms(events.lease_s)
        waits = Backoff(events.retry_first_s, events.retry_last_s)
        self._inbox = InboxTerms(retries=Retries(attempts=events.attempts, parked_waits=waits))
        self._housekeeping_terms = housekeeping_terms(options)
        self._broker = broker
        self._clock = clock
        self._activity = activity
        self._tasks: dict[asyncio.Task[None], _Worker] = {}
        self._relays: dict[str, Relay] = {}
        self._consumers: dict[str, list[Consumer]] = {}
        self._schedules: list[Schedule] = []
        self._housekeeping: dict[str, Housekeeping] = {}
        for service in services.values():
            self._gather(service)

    def _gather(self, service: RunningService) -> None:
        database, store = service.database, service.store
        if database is None or store is None:
            return
        name, plan, clock = service.name, service.plan, self._clock
        leases = Leases(store, clock, str(clock.new_id()), self._terms)
        if database.events:
            self._relays[name] = Relay(
                name,
                store,
                self._broker,
                leases,
                clock,
                service.published,
                self._activity,
                scheduled=database.scheduled,
                recorder=None if database.sight is None else database.sight.recorder,
            )
        pushed = self._pushes.of(name, self._inbox)
        self._housekeeping[name] = Housekeeping(
            name,
            store,
            leases,
            clock,
            self._broker,
            [*(handler.name for handler in plan.handlers), *sorted({h.name for _, h, _ in pushed})],
            {made.wire_name: self._retention(made) for made, _ in plan.provides if made.events},
            self._housekeeping_terms,
        )
        self._consumers[name] = []
        for handler in plan.handlers:
            self._consumers[name] += self._consumers_of(service, database, leases, handler)
        for push, bound, terms in pushed:
            made = self._consumer(service, database, leases, bound, push.topic, terms)
            self._consumers[name].append(made)
        for schedule in plan.schedules:
            run = getattr(service.instance, schedule.method)
            timed = ScheduledHandler(
                schedule.name, name, schedule.interval_s, run, schedule.takes_transaction
            )
            self._schedules.append(Schedule(timed, database, leases, clock, service.pool))

    def _retention(self, contract: Contract) -> Retention:
        """What the broker is to keep: all, where it would take events of one type for those of another."""
        kept = contract.retention
        mixed = len(contract.events) > 1 and not self._broker.tells_types_apart
        return FOREVER if kept.kind == "latest" and mixed else kept

    def _consumers_of(
        self,
        service: RunningService,
        database: ServiceDatabase,
        leases: Leases,
        handler: HandlerPlan,
    ) -> list[Consumer]:
        bound = EventHandler(
            handler.name,
            service.name,
            getattr(service.instance, handler.method),
            handler.takes_transaction,
            handler.events,
            on_dead=handler.on_dead,
            folder=str(service.plan.folder),
            projection=None if handler.projection is None else handler.projection.generation,
            tables=() if handler.projection is None else tuple(handler.projection.tables),
        )
        made = [
            self._consumer(service, database, leases, bound, topic, self._inbox)
            for topic in sorted({event.topic for event in handler.events})
        ]
        if handler.projection is not None:
            service.projections.add(made[0])
        return made

    def _consumer(
        self,
        service: RunningService,
        database: ServiceDatabase,
        leases: Leases,
        handler: EventHandler,
        topic: str,
        terms: InboxTerms,
    ) -> Consumer:
        publisher = source_name(self._system, topic.partition(".")[0])
        return Consumer(
            handler,
            topic,
            database,
            self._broker,
            leases,
            self._clock,
            self._activity,
            service.pool,
            msgspec.structs.replace(terms, source=publisher),
            None if self._past is None else self._past(service, topic),
        )

    async def register(self) -> None:
        """Note where each new handler begins, before anything is published that it must hear.

        Raises `ConfigurationError` where another system has services of these names at the broker.
        """
        consuming = (name for name, consumers in self._consumers.items() if consumers)
        await self._broker.claim({*self._relays, *consuming})
        for name, consumers in self._consumers.items():
            database = self._services[name].database
            heard = [(each.handler.name, each.topic) for each in consumers]
            whole = {each.handler.name for each in consumers if each.handler.projection is not None}
            for sentence in await renamed(database, heard, whole) if database is not None else ():
                _log.warning("%s", sentence)
            for consumer in consumers:
                await consumer.register()

    async def start(self) -> None:
        """Start every worker, projections with the generation that their code names."""
        for service in self._services.values():
            for handler in service.plan.handlers:
                made = handler.projection
                if made is not None and service.store is not None:
                    told = await start_generation(
                        service.store,
                        handler.name,
                        made.tables,
                        [event.wire_name for event in handler.events],
                        made.generation,
                        self._clock.epoch_s(),
                    )
                    if told is not None:
                        _log.warning("%s", told)
        workers: list[_Worker] = [*self._relays.values(), *self.consumers, *self._schedules]
        workers += self._housekeeping.values()
        for worker in workers:
            self._tasks[asyncio.create_task(self._kept(worker))] = worker

    async def _kept(self, worker: _Worker) -> None:
        while True:
            try:
                await worker.run()
                return
            except ConfigurationError as error:
                _log.error("%s waits until this is mended: %s", type(worker).__name__, error)
                await self._clock.sleep(_MENDED_S)
            except Exception:
                _log.exception("%s stopped by an error and is begun anew", type(worker).__name__)
                await self._clock.sleep(_AGAIN_S)

    async def stop(self, grace_s: float) -> None:
        """Stop consumers and schedules, then the relays, each within its grace; cancel what is left."""
        last = [task for task, worker in self._tasks.items() if isinstance(worker, Relay)]
        first = [task for task in self._tasks if task not in last]
        for tasks in (first, last):
            for task in tasks:
                self._tasks[task].stop()
            await _ended(tasks, grace_s)
        self._tasks.clear()

    async def quiet(self) -> None:
        """Wait until schedules that are due have run, every outbox is empty and every event has been handled."""
        for schedule in self._schedules:
            await schedule.caught_up()
        await until_quiet(self._quietable, self._activity)

    async def is_quiet(self) -> bool:
        """Whether every outbox is empty, and every event has been handled, as it looks now."""
        return all([await part.quiet() for part in self._quietable])

    @property
    def _quietable(self) -> list[Quietable]:
        return [*self._relays.values(), *self.consumers]

    @property
    def at_work(self) -> list[str]:
        """The schedules that are due or run now."""
        now = self._clock.epoch_s()
        return [schedule.name for schedule in self._schedules if schedule.is_behind(now)]

    def told_failures(self) -> list[str]:
        """A sentence for each event that waits to be tried again, and for each schedule at work."""
        return [
            f"{handler} has failed on event {event_id} (attempt {attempts}): {kind_and_words(error)}"
            for handler, event_id, attempts, error in self.failures
        ] + [f"{name} is still at work" for name in self.at_work]

    def take_given_up(self) -> list[str]:
        """A sentence for each of the last dead letters, once."""
        told = [sentence for consumer in self.consumers for sentence in consumer.given_up]
        for consumer in self.consumers:
            consumer.given_up.clear()
        return told

    @property
    def failures(self) -> list[tuple[str, str, int, BaseException]]:
        """Events that wait to be tried again: handler, event id, attempts so far, the last error."""
        return [
            (consumer.handler.name, event_id, attempts, error)
            for consumers in self._consumers.values()
            for consumer in consumers
            for event_id, (attempts, error) in consumer.failures.items()
        ]

    @property
    def consumers(self) -> list[Consumer]:
        """Every consumer of the process."""
        return [consumer for found in self._consumers.values() for consumer in found]

    @property
    def troubles(self) -> dict[str, str]:
        """By service, why nothing of its outbox can be sent; only those of which that is so."""
        relays = self._relays.items()
        return {name: relay.trouble for name, relay in relays if relay.trouble is not None}

    @property
    def housekeeping(self) -> dict[str, HousekeepingCounts]:
        """What each service's housekeeping has deleted."""
        return {name: keeping.counts for name, keeping in self._housekeeping.items()}

    @property
    def published(self) -> dict[str, int]:
        """How many events the broker has taken, by topic."""
        found: dict[str, int] = {}
        for relay in self._relays.values():
            found.update(relay.published_by_topic)
        return found

    @property
    def counts(self) -> dict[str, EventCounts]:
        """What each service has published and handled."""
        found: dict[str, EventCounts] = {}
        for name in self._services:
            relay, consumers = self._relays.get(name), self._consumers.get(name, [])
            found[name] = EventCounts(
                relay.published if relay is not None else 0,
                sum(consumer.handled for consumer in consumers),
                sum(consumer.failed for consumer in consumers),
                sum(consumer.duplicates for consumer in consumers),
            )
        return found


async def _ended(tasks: list[asyncio.Task[None]], grace_s: float) -> None:
    if not tasks:
        return
    _, left = await asyncio.wait(tasks, timeout=grace_s)
    for task in left:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
