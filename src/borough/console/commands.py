"""What the supervisor and the kernel know of services that are commands: these tell the door nothing of the kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from borough.alerting.facts import ReplicaFacts
from borough.console.counts import ProcessCounts, ProcessUse, ServiceCounts, SystemCounts
from borough.fleet.usage import cpu_seconds, memory_mib

__all__ = ["count_commands_in"]

_MIB = 1024 * 1024


async def count_commands_in(counts: SystemCounts, replicas: Iterable[ReplicaFacts]) -> None:
    """Add which processes run them, and what these use."""
    for replica in replicas:
        if not replica.is_command:
            continue
        (name,) = replica.services
        of_service = counts.services.setdefault(name, ServiceCounts())
        if replica.state != "ready" or replica.pid is None:
            continue
        pid, memory = replica.pid, await asyncio.to_thread(memory_mib, replica.pid)
        of_service.processes += (ProcessCounts(pid=pid, version=replica.version),)
        if memory is not None:
            counts.processes[str(pid)] = ProcessUse(
                cpu_s=cpu_seconds(pid) or 0.0,
                memory_bytes=int(memory * _MIB),
                services=replica.services,
            )
