"""The console of a fleet, at its door. Nothing of it is read before somebody asks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from borough.alerting.begun import Begun
from borough.console.mounting import Mounting, is_shown
from borough.gateway.edge_process import EdgeProcess
from borough.gateway.segments import Handler

if TYPE_CHECKING:
    from borough.alerting.fleet_facts import FleetFacts
    from borough.alerting.supervised import Supervised
    from borough.console.console import Console

__all__ = ["fleet_mounts"]


def fleet_mounts(edge: EdgeProcess) -> dict[str, Handler]:
    """What the console adds to the edge of a fleet, or nothing.

    Raises `ConfigurationError` where a service is named `console`, whose paths it would hide.
    """

    @cache
    def supervised() -> Supervised:
        from borough.alerting.supervised import Supervised

        return Supervised(edge.data_folder, edge.clock)

    def facts() -> FleetFacts:
        from borough.alerting.fleet_facts import FleetFacts

        return FleetFacts(edge, supervised())

    begun = Begun(edge.configuration, edge.services, facts, edge.clock, edge.data_folder)
    edge.closing.append(begun.close)
    if not is_shown(edge.configuration):
        begun.start()
        return {}

    def make() -> Console:
        from borough.console.console import Console
        from borough.console.fleet_seen import FleetSeen

        return Console(FleetSeen(edge, supervised()), begun.alerting())

    mounting = Mounting(edge.configuration, edge.services, edge.clock, make)
    edge.closing.append(mounting.close)
    begun.start()
    return mounting.mounts()
