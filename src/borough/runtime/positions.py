"""How far a handler has got in a topic."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from borough.errors import BrokerError
from borough.ports import Broker, PlacedBroker
from borough.reliability.lease import Lease
from borough.runtime.database import ServiceDatabase
from borough.runtime.history import AFTER_ALL, Past
from borough.runtime.leases import hold_lease

__all__ = ["Noted", "Positions"]

_READ = """
select position, sequence, noted_at, target, places from borough_positions
where handler = $1 and topic = $2
"""
_BEGIN = """
insert into borough_positions (handler, topic, position, noted_at, target, sequence, places)
values ($1, $2, $3, $4, $5, $6, $7) on conflict (handler, topic) do nothing
"""
_WRITE = """
update borough_positions set position = $3, noted_at = $5,
    places = case when $6 <> '' then $6 else places end,
    sequence = case when sequence < $4 and $4 > 0 then $4 else sequence end
where handler = $1 and topic = $2
"""
_log = logging.getLogger("borough.events")
_PATIENCE_S = 2.0
_ASKED = "asked"
"""What is noted in place of offsets where the number is the publisher's own word."""


class Noted(msgspec.Struct, frozen=True):
    """How far a handler is: `position` is the broker's, `sequence` that of the last event done.

    `sequence` is 0 where none is done, and `is_known` where a new handler's publisher has said where the topic
    ended. `target` is the position where the topic ended when a projection began: that of the broker, or the
    number of the last event where its publisher keeps the history; 0 where that was not known. `places` is
    what the broker wants noted beside a position.
    """

    position: int
    sequence: int
    noted_at: float
    target: int
    places: str

    @property
    def is_known(self) -> bool:
        """Whether all after `sequence` is owed. Of a 0 only who began with it says so: it was also noted unasked."""
        return self.sequence > 0 or self.places == _ASKED


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
        past: Past | None = None,
    ) -> None:
        self._handler = handler
        self._topic = topic
        self._database = database
        self._broker = broker
        self._is_projection = is_projection
        self._past = past

    async def register(self) -> None:
        """Have the broker keep what is published from now on, and note where a new handler begins.

        Raises `BrokerError` for a new one that the broker does not know yet.
        """
        if await self.look() is None:
            await self.read()
            return
        if isinstance(self._broker, PlacedBroker):
            return  # such a broker keeps all, and what was noted says where to go on; its end would pass over events
        try:
            await self._broker.join(self._handler, self._topic)
        except BrokerError as error:  # it joins when it reads
            _log.warning("%s: %s", self._handler, error)

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
        await self._broker.join(self._handler, self._topic, anew=True)
        places = ""
        if isinstance(self._broker, PlacedBroker):
            first, places = await self._broker.ending(self._topic)
        else:
            first = await self._broker.end(self._topic)
        end = first
        sequence = 0
        if self._past is not None:  # asked after it has joined: nothing falls in between
            said = await self.ending()
            sequence = end = max(0, said)
            places = _ASKED if said >= 0 else ""
        if self._is_projection:
            first, sequence = await self._broker.earliest(self._topic), 0
            places = "" if self._past is None else _ASKED
        async with self._database.store.transaction(serializable=False) as tx:
            now = self._database.clock.epoch_s()
            await tx.execute(_BEGIN, self._handler, self._topic, first, now, end, sequence, places)
            noted = await tx.one(Noted, _READ, self._handler, self._topic)
        return noted

    async def write(self, lease: Lease, position: int, sequence: int, places: str = "") -> None:
        """Note that all up to `position`, `sequence` and `places` is done. Raises `LeaseLost`."""
        async with self._database.store.transaction(serializable=False) as tx:
            await hold_lease(tx, lease)
            now = self._database.clock.epoch_s()
            await tx.execute(_WRITE, self._handler, self._topic, position, sequence, now, places)

    async def ending(self) -> int:
        """The number of the last event of the topic, below 0 where its publisher does not say so in time."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return -1 if self._past is None else (await self._past.read(AFTER_ALL))[1]
        except (TimeoutError, BrokerError) as error:
            _log.debug("where %s ends is not known to %s: %s", self._topic, self._handler, error)
            return -1
