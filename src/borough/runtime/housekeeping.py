"""Housekeeping: deletes what a service's database and topics need not keep any more.

It is a leased role, and works in batches: each a transaction of a few hundredths of a second that
checks the lease, followed by a rest as long, so that others hardly notice. Nothing that may still
be needed goes: the inbox of a handler is aged by when all that it had done was at or before its position, so
that after an outage, however long, what is delivered again is still known. Leases are never deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import msgspec

from borough.clock import Clock
from borough.contracts.retention import Retention
from borough.errors import BrokerError, ConfigurationError, StoreError
from borough.ports import Broker, Store
from borough.reliability.idempotency import LONGEST_MARK_S
from borough.reliability.lease import Lease, LeaseLost
from borough.runtime.history import trim_statement
from borough.runtime.leases import Leases, hold_lease
from borough.runtime.options import Options
from borough.runtime.pulse import set_within
from borough.runtime.wiring import Plan

__all__ = [
    "Housekeeping",
    "HousekeepingCounts",
    "HousekeepingTerms",
    "housekeeping_terms",
    "refuse_short_inbox",
]

_log = logging.getLogger("borough.housekeeping")

_FIRST_BATCH = 250
_LEAST_BATCH = 25
_MOST_BATCH = 2000
_SHORT_S = 0.01
_LONG_S = 0.04

_NOTED = "select handler, noted_at from borough_positions"
_INBOX = """
delete from borough_inbox where (handler, generation, event_id) in (
    select handler, generation, event_id from borough_inbox
    where handler = $1 and done_at < $2 order by done_at limit $3)
"""
_PAST_INBOX = """
delete from borough_inbox where (handler, generation, event_id) in (
    select i.handler, i.generation, i.event_id from borough_generations g
    cross join borough_inbox i  -- in this order: few handlers have generations
    where i.handler = g.handler and i.generation < g.generation limit $1)
"""
_PAST_ATTEMPTS = """
delete from borough_attempts where (handler, generation, event_id) in (
    select a.handler, a.generation, a.event_id from borough_generations g
    cross join borough_attempts a  -- in this order: few handlers have generations
    where a.handler = g.handler and a.generation < g.generation limit $1)
"""
# Attempts and marks are renewed in place. A row that was renewed after it was chosen is looked at once
# more, where others commit meanwhile, and by what stands outside of the choice alone.
_ATTEMPTS = """
delete from borough_attempts where begun_at < $1 and (handler, generation, event_id) in (
    select handler, generation, event_id from borough_attempts where begun_at < $1
    order by begun_at limit $2)
"""
_DEAD = """
delete from borough_dead where number in (
    select number from borough_dead d where died_at < $1
    and not exists (select 1 from borough_parked p where p.number = d.number)
    order by died_at limit $2)
"""
_BEFORE_BOROUGH_S = 1_735_689_600.0
"""The beginning of 2025. What is stamped with an earlier time was written while the clock was wrong."""
_WRONGLY_STAMPED = """
select 1 where exists (select 1 from borough_dead where died_at < $1)
or exists (select 1 from borough_answers where created_at < $1)
"""
_STAMP_DEAD = """
update borough_dead set died_at = $1 where number in (
    select number from borough_dead where died_at < $2 limit $3)
"""
_STAMP_ANSWERS = """
update borough_answers set created_at = $1 where (operation, scope, key) in (
    select operation, scope, key from borough_answers where created_at < $2 limit $3)
"""
_ANSWERS = """
delete from borough_answers where (operation, scope, key) in (
    select operation, scope, key from borough_answers where created_at < $1
    order by created_at limit $2)
"""
_MARKS = """
delete from borough_marks where until < $1 and (operation, scope, key) in (
    select operation, scope, key from borough_marks where until < $1 order by until limit $2)
"""


class HousekeepingTerms(msgspec.Struct, frozen=True):
    """How often, and how long what is kept."""

    every_s: float = 60.0
    inbox_for_s: float = 7 * 86_400.0
    dead_for_s: float = 14 * 86_400.0
    answers_for_s: float = 15 * 86_400.0


def housekeeping_terms(options: Options) -> HousekeepingTerms:
    """What the configuration says."""
    events = options.events
    inbox_for_s, dead_for_s = events.inbox_for.seconds, events.dead_for.seconds
    # An event that comes again, or is replayed, calls others under the key that it had at first.
    answers_for_s = max(options.limits.answers_for.seconds, inbox_for_s, dead_for_s)
    return HousekeepingTerms(events.housekeeping_every_s, inbox_for_s, dead_for_s, answers_for_s)


class HousekeepingCounts(msgspec.Struct):
    """What has been deleted since the start, and how often a sweep failed."""

    sweeps: int = 0
    failed: int = 0
    inbox: int = 0
    attempts: int = 0
    dead: int = 0
    answers: int = 0
    marks: int = 0
    trimmed_events: int = 0
    trimmed_bytes: int = 0


class _Noted(msgspec.Struct, frozen=True):
    handler: str
    noted_at: float


def refuse_short_inbox(plan: Plan, options: Options) -> None:
    """Raise `ConfigurationError` where an event may come again after its handler has forgotten it."""
    inbox_for = options.events.inbox_for
    for service in plan.services.values():
        for handler in service.handlers:
            for topic in {event.topic for event in handler.events}:
                retention = plan.contracts[topic].retention
                if retention.kind == "age" and retention.seconds > inbox_for.seconds:
                    raise ConfigurationError(
                        f"events.inbox_for is {inbox_for}, and {handler.name} hears {topic}, which "
                        f"retains {retention.words}: an event that is delivered again after "
                        f"{inbox_for} would be handled twice; set events.inbox_for to "
                        f"{retention.words} or more"
                    )


class Housekeeping:
    """The housekeeping of one service: its handlers are named, its own topics retain what they say."""

    def __init__(
        self,
        service: str,
        store: Store,
        leases: Leases,
        clock: Clock,
        broker: Broker,
        handlers: Sequence[str],
        topics: Mapping[str, Retention],
        terms: HousekeepingTerms | None = None,
    ) -> None:
        self.counts = HousekeepingCounts()
        self._service = service
        self._store = store
        self._leases = leases
        self._clock = clock
        self._broker = broker
        self._handlers = handlers
        self._topics = topics
        self._terms = terms or HousekeepingTerms()
        self._stopping = asyncio.Event()
        self._batch = _FIRST_BATCH

    async def run(self) -> None:
        """Sweep each interval while this process has the role, until `stop`."""
        await self._leases.hold("housekeeping", self._keep, self._stopping)

    def stop(self) -> None:
        """End after the batch at hand."""
        self._stopping.set()

    async def _keep(self, lease: Lease) -> None:
        # The first within an interval, at random: services that start together sweep apart.
        wait_s = self._terms.every_s * self._clock.random.random()
        while not await set_within(self._stopping, self._clock, wait_s):
            try:
                await self.sweep(lease)
                self.counts.sweeps += 1
            except LeaseLost:
                raise
            except (StoreError, BrokerError) as error:
                self.counts.failed += 1
                _log.warning("%s: housekeeping goes on later: %s", self._service, error)
            wait_s = self._terms.every_s

    async def sweep(self, lease: Lease) -> None:
        """Delete all that is old now. Raises `LeaseLost`, `StoreError`, `BrokerError`."""
        counts, terms = self.counts, self._terms
        now = self._clock.epoch_s()
        await self._stamp_anew(lease, now)
        for handler, last in (await self._noted(now)).items():
            counts.inbox += await self._clear(lease, _INBOX, handler, last - terms.inbox_for_s)
        counts.inbox += await self._clear(lease, _PAST_INBOX)
        counts.attempts += await self._clear(lease, _PAST_ATTEMPTS)
        counts.attempts += await self._clear(lease, _ATTEMPTS, now - terms.inbox_for_s)
        dead = await self._clear(lease, _DEAD, now - terms.dead_for_s)
        if dead:
            counts.dead += dead
            _log.warning(
                "%s: %d dead events were kept for %.0f h and nobody replayed them; they are deleted",
                self._service,
                dead,
                terms.dead_for_s / 3600,
            )
        counts.answers += await self._clear(lease, _ANSWERS, now - terms.answers_for_s)
        # A run that is late may still store its answer under a mark that nobody took over.
        counts.marks += await self._clear(lease, _MARKS, now - LONGEST_MARK_S)
        for topic, retention in self._topics.items():
            if self._broker.keeps_history:
                await self._trim(topic, retention, now)
            elif (trim := trim_statement(retention, now)) is not None:
                statement, bound = trim
                counts.trimmed_events += await self._clear(lease, statement, topic, bound)

    async def _stamp_anew(self, lease: Lease, now: float) -> None:
        """Let what nobody else has a copy of not go because a machine began in 1970: it is as old as now."""
        store = self._store
        if now < _BEFORE_BOROUGH_S or not await store.maybe(
            int, _WRONGLY_STAMPED, _BEFORE_BOROUGH_S
        ):
            return
        for statement in (_STAMP_DEAD, _STAMP_ANSWERS):
            await self._clear(lease, statement, now, _BEFORE_BOROUGH_S)

    async def _trim(self, topic: str, retention: Retention, now: float) -> None:
        counts = self.counts
        try:
            trimmed = await self._broker.trim(topic, retention, now)
        except BrokerError as error:  # the other topics are none the worse for it
            counts.failed += 1
            _log.warning("%s: %s is not trimmed: %s", self._service, topic, error)
            return
        counts.trimmed_events += trimmed.records
        counts.trimmed_bytes += trimmed.bytes

    async def _noted(self, now: float) -> dict[str, float]:
        """By handler, until when what it had done is sure to come to it no more.

        A broker that keeps positions keeps back what a handler has missed, too.
        """
        found = dict.fromkeys(self._handlers, now)
        for row in await self._store.all(_Noted, _NOTED):
            found[row.handler] = min(found.get(row.handler, now), row.noted_at)
        return found

    async def _clear(self, lease: Lease, statement: str, *values: object) -> int:
        """Run a statement, whose last parameter is a limit, until it finds no more."""
        clock = self._clock
        cleared = 0
        while not self._stopping.is_set():
            limit = self._batch
            try:
                async with self._store.transaction(serializable=False) as tx:
                    await hold_lease(tx, lease)
                    began = clock.monotonic()
                    count = await tx.execute(statement, *values, limit)
                    took_s = clock.monotonic() - began
            except StoreError:
                self._batch = max(limit // 4, _LEAST_BATCH)
                raise
            cleared += count
            if count < limit:
                break
            if took_s > _LONG_S:
                self._batch = max(limit // 2, _LEAST_BATCH)
            elif took_s < _SHORT_S:
                self._batch = min(limit * 2, _MOST_BATCH)
            await clock.sleep(took_s)
        return cleared
