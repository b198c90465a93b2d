"""The console of one process, and what a replica of a fleet tells the door for the console there."""

from __future__ import annotations

import asyncio

import msgspec

from borough.console.console import Console, is_shown
from borough.console.counts import SystemCounts, system_counts
from borough.console.endpoint import LIVE
from borough.console.event_desk import EventDesk, OwnEvents
from borough.console.facts import SystemView, system_view
from borough.console.fleet_events import EVENTS, telling
from borough.console.kept import KeptTelemetry
from borough.gateway.process import Process
from borough.gateway.segments import Handler
from borough.transports.http.message import Request, Response

__all__ = ["FACTS", "STATE", "mounts", "tells"]

FACTS = "/borough/system/facts.json"
STATE = "/borough/system/state.json"


class _Process:
    """See `Seen`."""

    def __init__(self, process: Process) -> None:
        self.clock = process.clock
        self.configuration = process.system.configuration
        telemetry = self.configuration.options.telemetry
        self.kept = KeptTelemetry(process.host.data_folder, telemetry.keep_mib)
        self.events: EventDesk = OwnEvents(process.host)
        self._host = process.host
        self._started_at = process.clock.now()
        self._facts: SystemView | None = None

    async def facts(self) -> SystemView:
        """See `Seen`. Made once, in a thread: that of a large system takes longer than the loop may wait."""
        if self._facts is None:
            host = self._host
            self._facts = await asyncio.to_thread(
                system_view, host.plan, host.configuration.options, host.callees
            )
        return self._facts

    async def counts(self) -> SystemCounts:
        """See `Seen`."""
        return await system_counts(self._host, self._started_at)


def mounts(process: Process) -> dict[str, Handler]:
    """What the console adds to the edge of a process that has started, or nothing.

    Raises `ConfigurationError` where a service is named `console`, whose paths it would hide.
    """
    if not is_shown(process.system.configuration):
        return {}
    services = {contract.service for contract in process.host.plan.contracts.values()}
    console = Console(_Process(process), services)
    process.closing.append(console.close)
    return console.mounts()


def tells(process: Process) -> dict[str, Handler]:
    """What a replica tells the edge of its fleet, by path: its own facts and its own counts."""
    seen = _Process(process)

    async def facts(_: Request) -> Response:
        return Response(200, LIVE, msgspec.json.encode(await seen.facts()))

    async def state(_: Request) -> Response:
        return Response(200, LIVE, msgspec.json.encode(await seen.counts()))

    return {FACTS: facts, STATE: state, EVENTS: telling(seen.events)}
