"""The console of a fleet, at its door. Nothing of it is read before somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borough.alerting.alerting import Alerting
from borough.alerting.declared import declared_in
from borough.console.mounting import Mounting, is_shown
from borough.gateway.edge_process import EdgeProcess
from borough.gateway.segments import Handler

if TYPE_CHECKING:
    from borough.console.console import Console

__all__ = ["fleet_mounts"]


def fleet_mounts(edge: EdgeProcess) -> dict[str, Handler]:
    """What the console adds to the edge of a fleet, or nothing.

    Raises `ConfigurationError` where a service is named `console`, whose paths it would hide.
    """
    alerting = Alerting(declared_in(edge.configuration, edge.services))
    if not is_shown(edge.configuration):
        return {}

    def make() -> Console:
        from borough.console.console import Console
        from borough.console.fleet_seen import FleetSeen

        return Console(FleetSeen(edge), alerting)

    mounting = Mounting(edge.configuration, edge.services, edge.clock, make)
    edge.closing.append(mounting.close)
    return mounting.mounts()
