"""What the console's endpoints see of a system, be it one process or a fleet behind its door."""

from __future__ import annotations

from typing import Protocol

from borough.clock import Clock
from borough.console.counts import Counts
from borough.console.event_desk import EventDesk
from borough.console.facts import SystemView
from borough.console.kept import KeptTelemetry
from borough.runtime.configuration import Configuration

__all__ = ["Seen"]


class Seen(Protocol):
    """A running system."""

    clock: Clock
    configuration: Configuration
    kept: KeptTelemetry
    """Traces, logs and metrics."""
    events: EventDesk
    """Topics, and what of events has failed."""

    async def facts(self) -> SystemView:
        """What it is made of. Raises `Unavailable` while nothing has been told."""
        ...

    async def counts(self) -> Counts:
        """What it has done since its start, and which of its processes has done what."""
        ...
