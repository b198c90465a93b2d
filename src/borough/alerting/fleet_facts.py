"""What the door of a fleet sees of it: what each replica tells, and what the supervisor knows of its processes."""

from __future__ import annotations

import asyncio

import msgspec

from borough.alerting.facts import ProcessFacts, SystemFacts
from borough.alerting.supervised import Supervised
from borough.alerting.told import ALERTS
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError
from borough.gateway.edge_process import EdgeProcess
from borough.ports import Replica

__all__ = ["FleetFacts"]


class FleetFacts:
    """Those of the fleet behind one door. Where there is no supervisor, nothing is known of restarts."""

    def __init__(self, edge: EdgeProcess, supervised: Supervised) -> None:
        self._edge = edge
        self._supervised = supervised

    async def look(self) -> SystemFacts:
        """This moment. A replica that does not tell is left out."""
        replicas: dict[Replica, str] = {}
        for service in self._edge.services:
            for replica in self._edge.discovery.replicas(service):
                replicas.setdefault(replica, service)
        asked = [self._ask(service, replica) for replica, service in replicas.items()]
        known, told = await asyncio.gather(self._supervised.replicas(), asyncio.gather(*asked))
        processes = tuple(facts for facts in told if facts is not None)
        states = self._edge.states()
        return SystemFacts(
            processes=processes,
            answered={name: state == "ready" for name, state in states.items()},
            replicas=known,
        )

    async def _ask(self, service: str, replica: Replica) -> ProcessFacts | None:
        try:
            answer = await self._edge.ask(service, replica, ALERTS)
            return msgspec.json.decode(answer.body, type=ProcessFacts)
        except (CallError, *UNREADABLE):  # what it tells may be anything
            return None
