"""The public door of a fleet: an edge without services of its own, which forwards to all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from borough.clock import Clock
from borough.fleet.ways import dependencies_of
from borough.gateway.edge import Behind
from borough.gateway.forwarding import Forwarding
from borough.gateway.process import Mounts, Process
from borough.gateway.timeouts import Timeouts
from borough.ports import Discovery
from borough.runtime.system import System
from borough.transports.http.wire import EDGE

__all__ = ["Door"]


class Door(Process):
    """The process `edge`. `services` are those that may be reached; who answers, `discovery` knows."""

    def __init__(
        self,
        system: System,
        services: Sequence[str],
        discovery: Discovery,
        *,
        clock: Clock,
        mounts: Mounts | None,
    ) -> None:
        port = system.configuration.options.edge.port
        super().__init__(system, clock=clock, edge_port=port, mounts=mounts)
        self._services = tuple(services)
        self._discovery = discovery
        self.forwarding: Forwarding | None = None

    def behind(self) -> Behind:
        """See `Process`."""
        limits = self.system.configuration.options.limits
        self.forwarding = Forwarding(
            self._services,
            dependencies_of(EDGE, self.tokens, self._discovery, self.clock, limits),
            self.front.identity,
            self.clock,
            Timeouts(limits.default_timeout_s, limits.longest_timeout_s),
        )
        return self.forwarding

    def states(self) -> dict[str, str]:
        """See `Process`. A service is ready while a replica takes calls."""
        return {
            service: "ready" if self._discovery.replicas(service) else "unreachable"
            for service in self._services
        }

    def document(self) -> dict[str, Any]:
        """See `Process`. Of all services whose contracts are known here."""
        return self.described([*self.host.plan.contracts.values()])

    @property
    def in_flight(self) -> int:
        """See `Process`."""
        return self.forwarding.in_flight if self.forwarding is not None else 0
