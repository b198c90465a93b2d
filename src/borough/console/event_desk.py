"""Topics and dead letters of a running system: what the console shows of them, and does to them.

In one process they are read in the databases that its services hold open. A fleet's door holds none of
them; there `borough events` looks, and the console says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from borough.errors import NotFound, Unavailable
from borough.ports import Store
from borough.runtime.dead_letters import DeadEvent, DeadGroup, DeadLetters, Selection
from borough.runtime.host import Host
from borough.runtime.topics import Topics, TopicState

__all__ = ["EventDesk", "NobodysEvents", "OwnEvents"]


class EventDesk(Protocol):
    """Raises `Unavailable` where topics cannot be looked at, `NotFound` for a service that is not there."""

    async def topics(self) -> Sequence[TopicState]:
        """Every topic as it is, by name."""
        ...

    async def groups(self) -> Sequence[DeadGroup]:
        """Dead letters that failed alike, the latest first."""
        ...

    async def letters(self, chosen: Selection, limit: int) -> Sequence[DeadEvent]:
        """Those of one handler, the oldest first. `chosen` names the handler."""
        ...

    async def replay(self, chosen: Selection) -> Sequence[DeadEvent]:
        """Have them handled again; returns them. None of a handler that the code does not have any more."""
        ...

    async def drop(self, chosen: Selection) -> Sequence[DeadEvent]:
        """Give them up for good; returns them."""
        ...


class OwnEvents:
    """See `EventDesk`: those of the services of one process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: Topics | None = None

    @property
    def _topics(self) -> Topics:
        if self._known is None:
            self._known = Topics(self._host.system)
        return self._known

    async def topics(self) -> Sequence[TopicState]:
        """See `EventDesk`."""
        running = self._host.services
        stores = {
            name: running[name].store if name in running else None for name in self._topics.services
        }
        return await self._topics.states(
            stores, None if self._topics.keeps_own else self._host.broker
        )

    async def groups(self) -> Sequence[DeadGroup]:
        """See `EventDesk`."""
        found: list[DeadGroup] = []
        for service in self._host.services.values():
            if service.store is not None:
                found += await self._dead(service.store).groups(Selection())
        return sorted(found, key=lambda group: group.last_at, reverse=True)

    async def letters(self, chosen: Selection, limit: int) -> Sequence[DeadEvent]:
        """See `EventDesk`."""
        return await self._of(chosen).events(chosen, limit)

    async def replay(self, chosen: Selection) -> Sequence[DeadEvent]:
        """See `EventDesk`."""
        return await self._of(chosen).replay(chosen, self._topics.known)

    async def drop(self, chosen: Selection) -> Sequence[DeadEvent]:
        """See `EventDesk`."""
        return await self._of(chosen).drop(chosen)

    def _of(self, chosen: Selection) -> DeadLetters:
        name = (chosen.handler or "").partition(".")[0]
        service = self._host.services.get(name)
        if service is None or service.store is None:
            raise NotFound(f"No service named {name} keeps dead letters here")
        return self._dead(service.store)

    def _dead(self, store: Store) -> DeadLetters:
        return DeadLetters(store, self._host.clock)


class NobodysEvents:
    """See `EventDesk`: at the door of a fleet, which holds no database."""

    async def topics(self) -> Sequence[TopicState]:
        """See `EventDesk`."""
        raise _elsewhere()

    async def groups(self) -> Sequence[DeadGroup]:
        """See `EventDesk`."""
        raise _elsewhere()

    async def letters(self, chosen: Selection, limit: int) -> Sequence[DeadEvent]:
        """See `EventDesk`."""
        raise _elsewhere()

    async def replay(self, chosen: Selection) -> Sequence[DeadEvent]:
        """See `EventDesk`."""
        raise _elsewhere()

    async def drop(self, chosen: Selection) -> Sequence[DeadEvent]:
        """See `EventDesk`."""
        raise _elsewhere()


def _elsewhere() -> Unavailable:
    return Unavailable(
        "The door of a fleet holds no database: `borough events topics`, `dead`, `replay` and `drop` do this"
    )
