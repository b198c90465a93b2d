"""How far a handler has got in a topic."""

from __future__ import annotations

import msgspec

from borough.ports import Broker
from borough.reliability.lease import Lease
from borough.runtime.database import ServiceDatabase
from borough.runtime.leases import check_lease

__all__ = ["Noted", "Positions"]

_READ = """
select position, sequence, noted_at, target from borough_positions
where handler = $1 and topic = $2
"""
_BEGIN = """
insert into borough_positions (handler, topic, position, noted_at, target)
values ($1, $2, $3, $4, $5) on conflict (handler, topic) do nothing
"""
_WRITE = """
update borough_positions set position = $3, sequence = max(sequence, $4), noted_at = $5
where handler = $1 and topic = $2
"""


class Noted(msgspec.Struct, frozen=True):
    """How far a handler is: `position` is the broker's, `sequence` that of the last event done.

    `target` is the position where the topic ended when a projection began.
    """

    position: int
    sequence: int
    noted_at: float
    target: int


class Positions:
    """The position of one handler in one topic, kept in the handler's own database."""

    def __init__(
        self,
        handler: str,
        topic: str,
        database: ServiceDatabase,
        broker: Broker,
        *,
        is_projection: bool = False,
    ) -> None:
        self._handler = handler
        self._topic = topic
        self._database = database
        self._broker = broker
        self._is_projection = is_projection

    async def look(self) -> Noted | None:
        """What was noted last, None before the beginning."""
        found: Noted | None = await self._database.maybe(Noted, _READ, self._handler, self._topic)
        return found

    async def read(self) -> Noted:
        """What was noted last.

        A new handler begins at the end of the topic, from this moment on, a projection with the
        earliest event that is retained.
        """
        found = await self.look()
        if found is not None:
            return found
        first = end = await self._broker.end(self._topic)
        if self._is_projection:
            first = await self._broker.earliest(self._topic)
        async with self._database.transaction() as tx:
            now = self._database.clock.epoch_s()
            await tx.execute(_BEGIN, self._handler, self._topic, first, now, end)
            noted = await tx.one(Noted, _READ, self._handler, self._topic)
        return noted

    async def write(self, lease: Lease, position: int, sequence: int) -> None:
        """Note that all up to `position` and `sequence` is done. Raises `LeaseLost`."""
        async with self._database.transaction() as tx:
            await check_lease(tx, lease)
            now = self._database.clock.epoch_s()
            await tx.execute(_WRITE, self._handler, self._topic, position, sequence, now)
