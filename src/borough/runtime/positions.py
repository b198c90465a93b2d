"""How far a handler has got in a topic, on the broker that carries its events now.

A position is used in the log that it was made with, and in no other. A handler that comes to another broker, or to a
topic that was made anew, leaves its place behind and begins with the earliest event there, as it is owed all that is
published; what it has done is in the inbox. When it comes back it goes on where it was. The number of the last event
is the publisher's, and holds on every broker.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from borough.errors import BrokerError
from borough.ports import Broker, PlacedBroker
from borough.reliability.lease import Lease
from borough.reliability.origin import ASKED, is_of, kind_of, origin_noted, told_apart
from borough.runtime.database import ServiceDatabase
from borough.runtime.history import AFTER_ALL, Past
from borough.runtime.leases import hold_lease
from borough.services.data import Reader

__all__ = ["Noted", "Positions", "noted_in"]

_READ = """
select position, sequence, noted_at, target, places, origin from borough_positions
where handler = $1 and topic = $2
"""
_BEGIN = """
insert into borough_positions (handler, topic, position, noted_at, target, sequence, places, origin)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (handler, topic) do nothing
"""
_WRITE = """
update borough_positions set position = $3, noted_at = coalesce($5, noted_at), origin = $7,
    places = case when $6 <> '' then $6 else places end,
    sequence = case when sequence < $4 and $4 > 0 then $4 else sequence end
where handler = $1 and topic = $2
"""
_FORMER = """
select position, target, places from borough_former_positions
where handler = $1 and topic = $2 and origin in ($3, $4) order by origin desc limit 1
"""
_LEAVE = """
insert into borough_former_positions (handler, topic, origin, position, target, places)
values ($1, $2, $3, $4, $5, $6) on conflict (handler, topic, origin) do update
set position = excluded.position, target = excluded.target, places = excluded.places
"""
_COME = """
update borough_positions set origin = $3, position = $4, target = $5, places = $6
where handler = $1 and topic = $2
"""
_log = logging.getLogger("borough.events")
_PATIENCE_S = 2.0


class _Place(msgspec.Struct, frozen=True):
    """A position without what the publisher counts."""

    position: int = 0
    target: int = 0
    places: str = ""


class Noted(msgspec.Struct, frozen=True):
    """How far a handler is: `position` is the broker's, `sequence` that of the last event done.

    What was done before `noted_at` is at or before it. `sequence` is 0 where none is done, and `is_known` where a
    new handler's publisher has said where the topic ended. `target` is the position where the topic ended when a
    projection began: that of the broker, or the number of the last event where its publisher keeps the history; 0
    where that was not known. `places` is what the broker wants noted beside a position. All of it but the number
    is of the log `origin`, as it stands in the row; `made_in` says it of rows of earlier versions, too.
    """

    position: int
    sequence: int
    noted_at: float
    target: int
    places: str
    origin: str

    @property
    def made_in(self) -> str:
        """The log that it is of, where anything tells."""
        return origin_noted(self.origin, self.position, self.places)

    @property
    def is_known(self) -> bool:
        """Whether all after `sequence` is owed. Of a 0 only who began with it says so: it was also noted unasked."""
        return self.sequence > 0 or self.places == ASKED


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
        self._origin = ""
        """Of the log that is read."""

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
        """What was noted last, on whatever broker; None before the beginning."""
        found: Noted | None = await self._database.maybe(Noted, _READ, self._handler, self._topic)
        return found

    async def read(self) -> Noted:
        """What was noted last, as it is on this broker.

        A new handler begins at the end of the topic, from this moment on, a projection with the
        earliest event that is retained.
        """
        found = await self.look()
        if found is None:
            return await self._begun()
        origin = await self._broker.origin(self._topic)
        if is_of(found.made_in, origin):
            return found
        place = await self._place_in(origin) or _Place()
        return msgspec.structs.replace(found, **msgspec.structs.asdict(place), origin=origin)

    async def take(self, lease: Lease) -> Noted:
        """`read`, and go on from there: what is of another log is left behind. Raises `LeaseLost`."""
        found = await self.look()
        if found is None:
            found = await self._begun()
        origin = await self._broker.origin(self._topic)
        self._origin = told_apart(found.made_in, origin)
        return found if is_of(found.made_in, origin) else await self._come_over(found, lease)

    async def _place_in(self, origin: str) -> _Place | None:
        """Where it was when it left this log; None where it has not been."""
        kinds = origin, kind_of(origin)
        place: _Place | None = await self._database.maybe(
            _Place, _FORMER, self._handler, self._topic, *kinds
        )
        return place

    async def _come_over(self, found: Noted, lease: Lease) -> Noted:
        origin, is_about = self._origin, (self._handler, self._topic)
        place = await self._place_in(origin)
        told = "where it left it" if place else "the earliest event there"
        if place is None:
            place = _Place(await self._broker.earliest(self._topic))
        # All behind the number of the last event is owed, also what no queue has been given.
        places = place.places if self._past is None else ASKED
        async with self._database.store.transaction(serializable=False) as tx:
            await hold_lease(tx, lease)
            left = found.position, found.target, found.places
            await tx.execute(_LEAVE, *is_about, found.made_in, *left)
            await tx.execute(_COME, *is_about, origin, place.position, place.target, places)
            noted = await tx.one(Noted, _READ, *is_about)
        _log.warning(
            "%s: its position in %s is of another log (%s, now %s) and means nothing in this one; it goes on with %s",
            self._handler,
            self._topic,
            found.made_in,
            origin,
            told,
        )
        return noted

    async def _begun(self) -> Noted:
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
            places = ASKED if said >= 0 else ""
        if self._is_projection:
            first, sequence = await self._broker.earliest(self._topic), 0
            places = "" if self._past is None else ASKED
        origin = await self._broker.origin(self._topic)
        async with self._database.store.transaction(serializable=False) as tx:
            now = self._database.clock.epoch_s()
            is_about = self._handler, self._topic
            await tx.execute(_BEGIN, *is_about, first, now, end, sequence, places, origin)
            noted = await tx.one(Noted, _READ, *is_about)
        return noted

    async def write(
        self,
        lease: Lease,
        position: int,
        sequence: int,
        places: str = "",
        settled_at: float | None = None,
    ) -> None:
        """Note that all up to `position`, `sequence` and `places` is done. Raises `LeaseLost`.

        What was done before `settled_at` lies at or before the position; None where that is no later than it was.
        """
        async with self._database.store.transaction(serializable=False) as tx:
            await hold_lease(tx, lease)
            is_about = self._handler, self._topic
            noted = position, sequence, settled_at, places, self._origin
            await tx.execute(_WRITE, *is_about, *noted)

    async def ending(self) -> int:
        """The number of the last event of the topic, below 0 where its publisher does not say so in time."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return -1 if self._past is None else (await self._past.read(AFTER_ALL))[1]
        except (TimeoutError, BrokerError) as error:
            _log.debug("where %s ends is not known to %s: %s", self._topic, self._handler, error)
            return -1


async def noted_in(reader: Reader, handler: str, topic: str, origin: str) -> int | None:
    """A handler's position in a log, 0 where it has not been there; None before its first start."""
    found = await reader.maybe(Noted, _READ, handler, topic)
    if found is None or is_of(found.made_in, origin):
        return None if found is None else found.position
    place = await reader.maybe(_Place, _FORMER, handler, topic, origin, kind_of(origin))
    return 0 if place is None else place.position
