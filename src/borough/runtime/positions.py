"""How far a handler has got in a topic, where the broker does not remember it."""

from __future__ import annotations

import msgspec

from borough.ports import Broker
from borough.reliability.lease import Lease
from borough.runtime.database import ServiceDatabase
from borough.runtime.leases import check_lease

__all__ = ["Noted", "Positions"]

_READ = """
select position, sequence, noted_at from borough_positions where handler = $1 and topic = $2
"""
_BEGIN = """
insert into borough_positions (handler, topic, position, noted_at) values ($1, $2, $3, $4)
on conflict (handler, topic) do nothing
"""
_WRITE = """
update borough_positions set position = $3, sequence = max(sequence, $4), noted_at = $5
where handler = $1 and topic = $2
"""


class Noted(msgspec.Struct, frozen=True):
    """How far a handler is: `position` is the broker's, `sequence` that of the last event done."""

    position: int
    sequence: int
    noted_at: float


class Positions:
    """The position of one handler in one topic, kept in the handler's own database."""

    def __init__(self, handler: str, topic: str, database: ServiceDatabase, broker: Broker) -> None:
        self._handler = handler
        self._topic = topic
        self._database = database
        self._broker = broker

    async def read(self) -> Noted:
        """What was noted last.

        A new handler begins at the end of the topic, from this moment on.
        """
        found: Noted | None = await self._database.maybe(Noted, _READ, self._handler, self._topic)
        if found is not None:
            return found
        end = await self._broker.end(self._topic)
        async with self._database.transaction() as tx:
            now = self._database.clock.epoch_s()
            await tx.execute(_BEGIN, self._handler, self._topic, end, now)
            noted = await tx.one(Noted, _READ, self._handler, self._topic)
        return noted

    async def write(self, lease: Lease, position: int, sequence: int) -> None:
        """Note that all up to `position` and `sequence` is done. Raises `LeaseLost`."""
        async with self._database.transaction() as tx:
            await check_lease(tx, lease)
            now = self._database.clock.epoch_s()
            await tx.execute(_WRITE, self._handler, self._topic, position, sequence, now)
