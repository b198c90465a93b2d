"""What the console sees of one process: the host and its services."""

from __future__ import annotations

import asyncio
from datetime import datetime

from borough.console.counts import Counts, system_counts
from borough.console.event_desk import EventDesk, OwnEvents
from borough.console.facts import SystemView, system_view
from borough.console.kept import KeptTelemetry
from borough.gateway.process import Process

__all__ = ["ProcessSeen"]


class ProcessSeen:
    """See `Seen`. Counts are those since `started_at`."""

    def __init__(self, process: Process, started_at: datetime) -> None:
        self.clock = process.clock
        self.configuration = process.system.configuration
        telemetry = self.configuration.options.telemetry
        self.kept = KeptTelemetry(process.host.data_folder, telemetry.keep_mib)
        self.events: EventDesk = OwnEvents(process.host)
        self._host = process.host
        self._entrances = process.entrances
        self._started_at = started_at
        self._facts: SystemView | None = None

    async def facts(self) -> SystemView:
        """See `Seen`. Made once, in a thread: that of a large system takes longer than the loop may wait."""
        if self._facts is None:
            host = self._host
            self._facts = await asyncio.to_thread(
                system_view, host.plan, host.configuration.options, host.callees
            )
        return self._facts

    async def counts(self) -> Counts:
        """See `Seen`."""
        found = await system_counts(self._host, self._started_at, self._entrances)
        return Counts(found, (found,))
