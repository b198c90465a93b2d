"""Topics and dead letters of a running system: what the console shows of them, and does to them.

In one process they are read in the databases that its services hold open. A fleet's door asks a replica
of the service (`fleet_events.py`). What a dead letter holds is masked, as log lines are, where it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from borough.contracts.unreadable import UNREADABLE
from borough.errors import NotFound
from borough.ports import Store
from borough.runtime.dead_letters import DeadEvent, DeadGroup, DeadLetters, Selection
from borough.runtime.host import Host
from borough.runtime.topics import Topics, TopicState
from borough.telemetry.masking import masked
from borough.telemetry.trace import read_traceparent

__all__ = ["Done", "EventDesk", "EventsView", "Letters", "OwnEvents"]

_MOST = 100
_PATIENCE_S = 0.5  # the door of a fleet waits for a second


class EventsView(msgspec.Struct, frozen=True, kw_only=True):
    """Every topic as it is, by name, and dead letters that failed alike, the latest first."""

    topics: Sequence[TopicState]
    dead: Sequence[DeadGroup]


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead event to be looked at. `body` is its document, masked; times are seconds since 1970."""

    handler: str
    event_id: str
    type: str
    key: str | None
    attempts: int
    died_at: float
    error: str
    cause: str
    frame: str
    fingerprint: str
    holds: bool
    trace_id: str | None
    body: str


class _Traced(msgspec.Struct):
    traceparent: str | None = None


class Letters(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest that are meant, and whether there are more."""

    letters: Sequence[Letter]
    more: bool


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How many were replayed or dropped; `out_of_order`: of these, how many may come after later ones."""

    events: int
    out_of_order: int = 0


class EventDesk(Protocol):
    """Each raises `Unavailable` where nobody answers, `NotFound` for a service that is not there."""

    async def survey(self) -> EventsView:
        """All there is."""
        ...

    async def look(self, chosen: Selection) -> Letters:
        """Dead letters of one handler, which `chosen` names."""
        ...

    async def replay(self, chosen: Selection) -> Done:
        """Have them handled again: none of a handler that the code does not have any more."""
        ...

    async def drop(self, chosen: Selection) -> Done:
        """Give them up for good."""
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

    async def survey(self) -> EventsView:
        """See `EventDesk`."""
        running = self._host.services
        stores = {
            name: running[name].store if name in running else None for name in self._topics.services
        }
        broker = None if self._topics.keeps_own else self._host.broker
        topics = await self._topics.states(stores, broker, _PATIENCE_S)
        dead: list[DeadGroup] = []
        for service in running.values():
            if service.store is not None:
                dead += await self._dead(service.store).groups(Selection())
        dead = [msgspec.structs.replace(group, cause=masked(group.cause)) for group in dead]
        return EventsView(topics=topics, dead=sorted(dead, key=lambda group: -group.last_at))

    async def look(self, chosen: Selection) -> Letters:
        """See `EventDesk`."""
        found = await self._of(chosen).events(chosen, _MOST + 1)
        return Letters(letters=[_letter(event) for event in found[:_MOST]], more=len(found) > _MOST)

    async def replay(self, chosen: Selection) -> Done:
        """See `EventDesk`."""
        done = await self._of(chosen).replay(chosen, self._topics.known)
        late = sum(event.key is not None and not event.holds for event in done)
        return Done(events=len(done), out_of_order=late)

    async def drop(self, chosen: Selection) -> Done:
        """See `EventDesk`."""
        return Done(events=len(await self._of(chosen).drop(chosen)))

    def _of(self, chosen: Selection) -> DeadLetters:
        name = (chosen.handler or "").partition(".")[0]
        service = self._host.services.get(name)
        if service is None or service.store is None:
            raise NotFound(f"No service named {name} keeps dead letters here")
        return self._dead(service.store)

    def _dead(self, store: Store) -> DeadLetters:
        return DeadLetters(store, self._host.clock)


def _letter(event: DeadEvent) -> Letter:
    return Letter(
        handler=event.handler,
        event_id=event.event_id,
        type=event.type,
        key=None if event.key is None else masked(event.key),
        attempts=event.attempts,
        died_at=event.died_at,
        error=event.error,
        cause=masked(event.cause),
        frame=event.frame,
        fingerprint=event.fingerprint,
        holds=event.holds,
        trace_id=_trace_of(event.body),
        body=masked(_pretty(event.body)),
    )


def _pretty(body: bytes) -> str:
    try:
        return msgspec.json.format(body, indent=2).decode()
    except UNREADABLE:
        return body.decode(errors="replace")


def _trace_of(body: bytes) -> str | None:
    try:
        given = msgspec.json.decode(body, type=_Traced).traceparent
    except UNREADABLE:
        return None
    context = None if given is None else read_traceparent(given)
    return None if context is None else context.trace_id
