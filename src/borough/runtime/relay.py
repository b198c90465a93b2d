"""The relay: moves events from a service's outbox to the broker, in the order of their commits.

First the broker has them durably, then their rows are deleted (or kept as history, where the broker
keeps none), in a transaction that checks the relay's lease. Killed anywhere between, the next relay
publishes the same ids again, which is harmless: at least once, and without a gap. It reads the view
`borough_settled`: no row below the last one that is seen there can appear later, however the store commits.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from borough.clock import Clock
from borough.errors import BrokerError, StoreError, StoreUnavailable
from borough.ports import Broker, Message, Store
from borough.reliability.index_key import index_key
from borough.reliability.lease import Lease, LeaseLost
from borough.reliability.outbox import RelayPace, RelayTerms
from borough.runtime.history import KEEP_HISTORY
from borough.runtime.leases import Leases, hold_lease, until_set
from borough.runtime.pulse import Pulse
from borough.runtime.relay_sight import RelaySight
from borough.runtime.scheduled import IS_DUE, ScheduledEvents
from borough.telemetry.recorder import Recorder

__all__ = ["Relay"]

_SETTLE_S = 0.005  # a transaction that was begun before may still run

_log = logging.getLogger("borough.events")

# Their sizes are in the rows' heads: to sum them up costs little, to find the last one is rarely needed.
_READ = """
select sequence, id, topic, type, key, body from borough_settled
where sequence <= case
    when (select coalesce(sum(length(body)), 0) from (
        select body from borough_settled order by sequence limit $1
    ) as first) <= $2 then 9223372036854775807
    else (select max(sequence) from (
        select sequence, sum(size) over (order by sequence) - size as before from (
            select sequence, length(body) as size from borough_settled order by sequence limit $1
        ) as sizes
    ) as sums where before < $2)
end
order by sequence limit $1
"""
# A promoted standby gives the numbers once more of events that it never had. Where it has the last one that was read,
# it can give higher ones only.
_DELETE = """
delete from borough_outbox where sequence <= $1
 and exists (select 1 from borough_outbox where sequence = $1 and id = $2)
"""
_LAST = """
insert into borough_topics (topic, sequence) values ($1, $2)
on conflict (topic) do update set sequence = excluded.sequence
"""
_ALL_LAST = "select topic, sequence from borough_topics"
_UNSETTLED = "select 1 from borough_outbox limit 1"
_LEFT = f"""
select 1 where exists (select 1 from borough_outbox) or exists ({IS_DUE})
"""


class _OutboxRow(msgspec.Struct, frozen=True):
    sequence: int
    id: str
    topic: str
    type: str
    key: str | None
    body: bytes

    def __str__(self) -> str:
        return f"event {self.id} ({self.type}, {len(self.body)} bytes)"


class Relay:
    """The relay of one service.

    `published` and `failed` count events moved, by topic too, and looks that failed. `trouble` says why nothing can
    be sent, after some failures one after another.
    """

    def __init__(
        self,
        service: str,
        store: Store,
        broker: Broker,
        leases: Leases,
        clock: Clock,
        hint: Pulse,
        activity: Pulse,
        terms: RelayTerms | None = None,
        scheduled: Pulse | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Each parameter is one thing of the process that it shares or a test replaces."""
        self._service = service
        self._store = store
        self._broker = broker
        self._leases = leases
        self._clock = clock
        self._hint = hint
        self._activity = activity
        self._terms = terms or RelayTerms()
        self._later = ScheduledEvents(store, clock, scheduled or Pulse(), hint)
        self.sight = None if recorder is None else RelaySight(service, recorder)
        self._stopping = asyncio.Event()
        self._last: dict[str, int] | None = None
        self._first: _OutboxRow | None = None
        """Of those that were looked at last."""
        self.published = 0
        self.published_by_topic: dict[str, int] = {}
        self.failed = 0
        self.trouble: str | None = None

    async def run(self) -> None:
        """Move events while this process is the service's relay, until `stop`."""
        await self._leases.hold("relay", self._relay, self._stopping)

    def stop(self) -> None:
        """Move what is in the outbox now, then let `run` return."""
        self._stopping.set()
        self._hint.beat()

    async def quiet(self) -> bool:
        """Whether the outbox is empty and nothing that waits for its time is due."""
        return await self._store.maybe(int, _LEFT, self._clock.epoch_s()) is None

    async def _relay(self, lease: Lease) -> None:
        self._last = None
        try:
            await self._relay_until_stopped(lease)
        finally:
            self.trouble = None
            self._later.close()

    async def _relay_until_stopped(self, lease: Lease) -> None:
        pace = RelayPace(self._terms)
        while True:
            stopping = self._stopping.is_set()
            seen = self._hint.count
            try:
                await self._later.move(lease)
                moved = await self._move(lease, pace.batch)
            except (BrokerError, StoreError) as error:
                self.failed += 1
                if pace.batch == 1 and isinstance(error, BrokerError):
                    self.trouble = f"{self._first}: {error}"
                wait_s = pace.failed(self._clock.random.random())
                _log.warning(
                    "%s: events wait in the outbox, again in %.1f s: %s",
                    self._service,
                    wait_s,
                    self.trouble or error,
                )
                if stopping or await until_set(self._stopping, wait_s):
                    return
                continue
            self.trouble = None
            wait_s = pace.moved(moved)
            if wait_s and await self._store.maybe(int, _UNSETTLED) is not None:
                await self._hint.wait(seen, _SETTLE_S)
            elif wait_s:
                if stopping:
                    return
                await self._hint.wait(seen, wait_s)

    async def _move(self, lease: Lease, batch: int) -> int:
        began = self._clock.monotonic()
        rows = await self._store.all(_OutboxRow, _READ, batch, self._terms.batch_bytes)
        if not rows:
            return 0
        self._first = rows[0]
        known, self._last = self._last, None  # what is not known to have committed is read again
        if known is None:
            found = await self._store.all(tuple[str, int], _ALL_LAST)
            known = dict(found)
        last = dict(known)
        messages: list[Message] = []
        for row in rows:
            before = last.get(row.topic, 0)
            key = row.key if row.key is None else index_key(row.key)  # earlier versions took any
            messages.append(
                Message(row.id, row.topic, row.type, key, row.sequence, row.body, before)
            )
            last[row.topic] = row.sequence
        if not lease.believed(self._clock.monotonic()):
            raise LeaseLost(f"the relay of {self._service} was too late to renew its lease")
        await self._broker.publish(messages)
        if self.sight is not None:
            self.sight.sent(messages, began)
        moved = [topic for topic, sequence in last.items() if known.get(topic) != sequence]
        async with self._store.transaction(serializable=False) as tx:
            await hold_lease(tx, lease)
            if not self._broker.keeps_history:
                await tx.execute(KEEP_HISTORY, rows[-1].sequence, self._clock.epoch_s())
            if not await tx.execute(_DELETE, rows[-1].sequence, rows[-1].id):
                raise StoreUnavailable("its outbox is another's than the one that was read")
            for topic in moved:
                await tx.execute(_LAST, topic, last[topic])
        self._last = last
        self.published += len(rows)
        for topic in moved:  # most services have one
            of = len(rows) if len(moved) == 1 else sum(row.topic == topic for row in rows)
            self.published_by_topic[topic] = self.published_by_topic.get(topic, 0) + of
        self._activity.beat()
        return len(rows)
