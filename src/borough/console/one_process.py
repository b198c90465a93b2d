"""The system page of one process, and what a replica of a fleet tells the edge for the page there."""

from __future__ import annotations

import msgspec

from borough.console.counts import system_counts
from borough.console.system_page import LIVE, SystemPage, page_mounts
from borough.gateway.documents import described
from borough.gateway.process import Process
from borough.gateway.segments import Handler
from borough.transports.http.message import Request, Response

__all__ = ["FACTS", "STATE", "mounts", "tells"]

FACTS = "/borough/system/facts.json"
STATE = "/borough/system/state.json"


class _Process:
    """Facts and counts of a process, as JSON."""

    def __init__(self, process: Process) -> None:
        self._host = process.host
        self._started_at = process.clock.now()
        self.facts = described(self._describe)

    def _describe(self) -> dict[str, object]:
        # Read when somebody looks, not at every start.
        from borough.console.facts import system_view

        host = self._host
        view = system_view(host.plan, host.configuration.options, host.callees)
        return msgspec.structs.asdict(view)

    async def counts(self) -> bytes:
        return msgspec.json.encode(await system_counts(self._host, self._started_at))


def mounts(process: Process) -> dict[str, Handler]:
    """What the console adds to the edge of a process that has started: `/system`, or nothing.

    Raises `ConfigurationError` where a service is named `system`, whose paths it would hide.
    """
    seen = _Process(process)
    return page_mounts(
        process.system.configuration.options.edge,
        {contract.service for contract in process.host.plan.contracts.values()},
        lambda local_only: SystemPage(
            seen.facts, seen.counts, process.clock, local_only=local_only
        ),
    )


def tells(process: Process) -> dict[str, Handler]:
    """What a replica tells the edge of its fleet, by path: its own facts and its own counts."""
    seen = _Process(process)

    async def facts(_: Request) -> Response:
        return Response(200, LIVE, await seen.facts())

    async def state(_: Request) -> Response:
        return Response(200, LIVE, await seen.counts())

    return {FACTS: facts, STATE: state}
