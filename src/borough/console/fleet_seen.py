"""What the console sees of a fleet: what its replicas tell about themselves, put together at the door.

A replica that does not answer is left out of the counts; what is known of its services stays. A service of which no
replica has told yet is shown by what others and borough.toml say of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from borough.alerting.supervised import Supervised
from borough.console.commands import count_commands_in
from borough.console.counts import Counts, SystemCounts, merged_counts
from borough.console.event_desk import EventDesk, EventsView
from borough.console.facts import SystemView, merged_views, with_own
from borough.console.fleet_events import FleetEvents
from borough.console.kept import KeptTelemetry
from borough.console.told import EVENTS, FACTS, STATE
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, Unavailable
from borough.gateway.edge_process import EdgeProcess
from borough.ports import Replica

__all__ = ["FleetSeen"]

T = TypeVar("T")


class FleetSeen:
    """See `Seen`: facts and counts of all replicas together."""

    def __init__(self, edge: EdgeProcess, supervised: Supervised) -> None:
        self.clock = edge.clock
        self.configuration = edge.configuration
        self.kept = KeptTelemetry(edge.data_folder, edge.configuration.options.telemetry.keep_mib)
        self.events: EventDesk = FleetEvents(edge, self._events)
        self._edge = edge
        self._supervised = supervised
        self._known: dict[str, SystemView] = {}

    async def facts(self) -> SystemView:
        """See `Seen`."""
        for service, view in await self._told(FACTS, SystemView):
            self._known[service] = view
        if not self._known:
            raise Unavailable("No service has told yet what it is", retry_after_s=1)
        # Asked for by service: a view of another replica does not displace a service's own.
        view = merged_views(list(self._known.values()))
        commands = [each for each in await self._supervised.replicas() if each.is_command]
        names = {*self._edge.services, *(name for each in commands for name in each.services)}
        return with_own(view, names, self.configuration.options)

    async def counts(self) -> Counts:
        """See `Seen`."""
        told, replicas = await asyncio.gather(
            self._told(STATE, SystemCounts), self._supervised.replicas()
        )
        apart = [counts for _, counts in told]
        now, states = self._edge.clock.now(), set(self._edge.states().values())
        state = "ready" if states == {"ready"} else "not ready"
        nothing = SystemCounts(state=state, started_at=now, at=now, services={}, operations={})
        counts = merged_counts(apart or [nothing], state, now)
        await count_commands_in(counts, replicas)
        return Counts(msgspec.structs.replace(counts, replicas=replicas), apart)

    async def _events(self) -> Sequence[EventsView]:
        return [view for _, view in await self._told(EVENTS, EventsView)]

    async def _told(self, target: str, kind: type[T]) -> Sequence[tuple[str, T]]:
        """What each replica tells, with a service that it runs: of one process once."""
        replicas: dict[Replica, str] = {}
        for service in self._edge.services:
            for replica in self._edge.discovery.replicas(service):
                replicas.setdefault(replica, service)
        asked = [self._ask(of, replica, target, kind) for replica, of in replicas.items()]
        answers = await asyncio.gather(*asked)
        return [
            (service, answer)
            for service, answer in zip(replicas.values(), answers, strict=True)
            if answer is not None
        ]

    async def _ask(self, service: str, replica: Replica, target: str, kind: type[T]) -> T | None:
        try:
            answer = await self._edge.ask(service, replica, target)
            return msgspec.json.decode(answer.body, type=kind)
        except (CallError, *UNREADABLE):  # what it tells may be anything
            return None
