"""The console of one process, and what a replica of a fleet tells the door for the console there.

Nothing of it is read before somebody asks.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from borough.alerting.begun import Begun
from borough.alerting.told import ALERTS
from borough.console.mounting import Mounting, is_shown
from borough.console.told import EVENTS, FACTS, STATE
from borough.gateway.process import Process
from borough.gateway.segments import Handler
from borough.transports.http.message import Request, Response

if TYPE_CHECKING:
    from borough.alerting.facts import OwnFacts
    from borough.console.console import Console
    from borough.console.process_seen import ProcessSeen

__all__ = ["mounts", "tells"]


def mounts(process: Process) -> dict[str, Handler]:
    """What the console adds to the edge of a process that has started, or nothing.

    Raises `ConfigurationError` where a service is named `console`, whose paths it would hide.
    """
    configuration = process.system.configuration
    services = {contract.service for contract in process.host.plan.contracts.values()}
    began_at = process.clock.monotonic()

    def facts() -> OwnFacts:
        return _facts(process, began_at)

    begun = Begun(configuration, services, facts, process.clock, process.host.data_folder)
    process.closing.append(begun.close)
    if not is_shown(configuration):
        begun.start()
        return {}
    started_at = process.clock.now()

    def make() -> Console:
        from borough.console.console import Console
        from borough.console.process_seen import ProcessSeen

        return Console(ProcessSeen(process, started_at), begun.alerting())

    mounting = Mounting(configuration, services, process.clock, make)
    process.closing.append(mounting.close)
    begun.start()
    return mounting.mounts()


def tells(process: Process) -> dict[str, Handler]:
    """What a replica tells the edge of its fleet, by path: its facts, counts, events, and what alerts are judged by."""
    started_at, began_at = process.clock.now(), process.clock.monotonic()

    @cache
    def seen() -> ProcessSeen:
        from borough.console.process_seen import ProcessSeen

        return ProcessSeen(process, started_at)

    async def facts(_: Request) -> Response:
        return _now(await seen().facts())

    async def state(_: Request) -> Response:
        return _now((await seen().counts()).together)

    async def events(request: Request) -> Response:
        from borough.console.fleet_events import telling

        return await telling(seen().events)(request)

    @cache
    def own() -> OwnFacts:
        return _facts(process, began_at)

    async def alerts(_: Request) -> Response:
        return _now(await own().tell())

    return {FACTS: facts, STATE: state, EVENTS: events, ALERTS: alerts}


def _facts(process: Process, began_at: float) -> OwnFacts:
    from borough.alerting.facts import OwnFacts

    return OwnFacts(process, began_at)


def _now(document: object) -> Response:
    from borough.console.endpoint import json_answer

    return json_answer(document)
