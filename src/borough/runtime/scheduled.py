"""Events for later: they wait in a table and take their place in the outbox when they are due.

The relay moves them, under its lease and in one transaction, in the order of their times; there
they get their sequence, as if they had just been published. Wall-clock time alone says what is due, so a
clock that is set back or forth delays or hastens an event, and neither loses nor doubles one. The
alarm only makes it punctual: a look that comes too early finds nothing, and what was scheduled
elsewhere is found by the relay's polling.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta

import msgspec

from borough.clock import Clock
from borough.errors import TransactionMisuse
from borough.ports import Store
from borough.reliability.lease import Lease
from borough.runtime.leases import hold_lease
from borough.runtime.pulse import Pulse
from borough.stores.schema import MOVE_SCHEDULED

__all__ = ["CANCEL_SCHEDULED", "IS_DUE", "ScheduledEvents", "due_time"]

CANCEL_SCHEDULED = "delete from borough_scheduled where id = $1"
IS_DUE = "select 1 from borough_scheduled where due <= $1 limit 1"

_NEXT = "select due from borough_scheduled order by due limit 1"
_DUE = """
select due, number, length(body) as size from borough_scheduled
where due <= $1 order by due, number limit $2
"""

_BATCH = 500
_BATCH_BYTES = 4 * 1024 * 1024
_LOOK_EACH_S = 1.0  # for what another process has scheduled
_LONGEST_ALARM_S = 86_400.0


def _refuse_other(name: str, given: object, kind: type) -> None:
    if given is not None and not isinstance(given, kind):
        raise TransactionMisuse(
            f"{name}={given!r} is no {kind.__name__}; write {name}={kind.__name__}(...)"
        )


def due_time(at: datetime | None, after: timedelta | None, now: datetime) -> datetime | None:
    """When an event is due, None for now. Raises `TransactionMisuse` for what is no time."""
    _refuse_other("at", at, datetime)
    _refuse_other("after", after, timedelta)
    if at is not None and after is not None:
        raise TransactionMisuse("an event is published `at` a time or `after` one, not both")
    if after is not None:
        if after < timedelta(0):
            raise TransactionMisuse(f"an event cannot be published {-after} ago; after >= 0")
        try:
            at = now + after
        except OverflowError:
            raise TransactionMisuse(f"no calendar has a day {after} from now") from None
    if at is None:
        return None
    if at.utcoffset() is None:
        raise TransactionMisuse(f"at={at} has no time zone; write datetime(..., tzinfo=UTC)")
    if at <= now:
        return None
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise TransactionMisuse(f"at={at} is no time in UTC") from None


class _Due(msgspec.Struct, frozen=True):
    due: float
    number: int
    size: int


class ScheduledEvents:
    """What waits in one service's database, as its relay sees it.

    `scheduled` beats when this process has scheduled something; `wake` is beaten when something is
    due.
    """

    def __init__(self, store: Store, clock: Clock, scheduled: Pulse, wake: Pulse) -> None:
        self._store = store
        self._clock = clock
        self._scheduled = scheduled
        self._wake = wake
        self._seen = -1
        self._looked_at = -math.inf
        self._next = math.inf
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_for = math.inf

    async def move(self, lease: Lease) -> int:
        """Move a batch of what is due into the outbox; returns how many. Raises `LeaseLost`."""
        while True:
            await self._look()
            now = self._clock.epoch_s()
            if self._next > now:
                self._set_alarm()
                return 0
            moved = await self._move(now, lease)
            self._looked_at = -math.inf  # there may be more, or another next one
            if moved:
                return moved

    async def _look(self) -> None:
        """See when the next one is due, if that can have changed."""
        monotonic = self._clock.monotonic()
        seen = self._scheduled.count
        if seen == self._seen and monotonic - self._looked_at < _LOOK_EACH_S:
            return
        found = await self._store.maybe(float, _NEXT)
        self._next = math.inf if found is None else found
        self._seen, self._looked_at = seen, monotonic

    async def _move(self, now: float, lease: Lease) -> int:
        found = await self._store.all(_Due, _DUE, now, _BATCH)
        if not found:
            return 0
        last, size = found[0], 0
        for row in found:
            size += row.size
            if size > _BATCH_BYTES:
                break
            last = row
        async with self._store.transaction(serializable=False) as tx:
            await hold_lease(tx, lease)
            moved = 0
            for statement in MOVE_SCHEDULED[self._store.dialect]:
                moved = await tx.execute(statement, last.due, last.number)
        return moved

    def _set_alarm(self) -> None:
        """Wake the relay when the next one is due."""
        if self._next == self._alarm_for:
            return
        self.close()
        if self._next != math.inf:
            self._alarm_for = self._next
            self._alarm = asyncio.create_task(self._ring(self._next), name="borough-scheduled")

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(min(due - self._clock.epoch_s(), _LONGEST_ALARM_S))
        self._alarm, self._alarm_for = None, math.inf
        self._wake.beat()

    def close(self) -> None:
        """Silence the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_for = None, math.inf
