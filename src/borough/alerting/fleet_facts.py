"""What the door of a fleet sees of it: what each replica tells, and what the supervisor knows of its processes."""

from __future__ import annotations

import asyncio

import msgspec

from borough.alerting.facts import ProcessFacts, ReplicaFacts, SystemFacts
from borough.alerting.plain import plain
from borough.alerting.told import ALERTS
from borough.errors import CallError, ConfigurationError
from borough.fleet.commands import Members, ask_fleet
from borough.gateway.edge_process import EdgeProcess
from borough.ports import Replica
from borough.telemetry.masking import masked

__all__ = ["FleetFacts"]

_PATIENCE_S = 1.0


class FleetFacts:
    """Those of the fleet behind one door. Where there is no supervisor, nothing is known of restarts."""

    def __init__(self, edge: EdgeProcess) -> None:
        self._edge = edge
        self._asking: asyncio.Future[tuple[ReplicaFacts, ...]] | None = None
        self._members: tuple[ReplicaFacts, ...] = ()

    async def look(self) -> SystemFacts:
        """This moment. A replica that does not tell is left out."""
        replicas: dict[Replica, str] = {}
        for service in self._edge.services:
            for replica in self._edge.discovery.replicas(service):
                replicas.setdefault(replica, service)
        asked = [self._ask(service, replica) for replica, service in replicas.items()]
        known, told = await asyncio.gather(self._known_members(), asyncio.gather(*asked))
        processes = tuple(facts for facts in told if facts is not None)
        states = self._edge.states()
        return SystemFacts(
            processes=processes,
            answered={name: state == "ready" for name, state in states.items()},
            replicas=known,
        )

    async def _known_members(self) -> tuple[ReplicaFacts, ...]:
        """What the supervisor says; while it does not answer, what it has said."""
        asking = self._asking or asyncio.ensure_future(asyncio.to_thread(_members, self._edge))
        await asyncio.wait([asking], timeout=_PATIENCE_S)
        self._asking = None if asking.done() else asking
        if asking.done():
            self._members = asking.result() or self._members
        return self._members

    async def _ask(self, service: str, replica: Replica) -> ProcessFacts | None:
        try:
            answer = await self._edge.ask(service, replica, ALERTS)
            return msgspec.json.decode(answer.body, type=ProcessFacts)
        except (CallError, msgspec.DecodeError):
            return None


def _members(edge: EdgeProcess) -> tuple[ReplicaFacts, ...]:
    try:
        answer = ask_fleet(edge.data_folder, Members())
    except (ConfigurationError, msgspec.DecodeError):
        return ()
    found = msgspec.convert(answer.facts.get("members", ()), tuple[ReplicaFacts, ...])
    return tuple(
        msgspec.structs.replace(
            each,
            trouble=each.trouble and plain(masked(each.trouble)),
            why=each.why and plain(masked(each.why)),
            last_words=tuple(plain(masked(line)) for line in each.last_words),
        )
        for each in found
    )
