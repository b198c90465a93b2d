"""What the supervisor and the kernel know of services that are commands: these tell the door nothing of the kind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from borough.console.counts import ProcessCounts, ProcessUse, ServiceCounts, SystemCounts
from borough.errors import ConfigurationError
from borough.fleet.commands import Members, ask_fleet
from borough.fleet.usage import cpu_seconds, memory_mib
from borough.runtime.foreign import foreign_names
from borough.runtime.options import Options

__all__ = ["Commands"]

_MIB = 1024 * 1024


class _Member(msgspec.Struct, frozen=True):
    """One that the supervisor tells of."""

    services: tuple[str, ...]
    state: str
    pid: int | None = None
    version: str = ""
    is_command: bool = False


class Commands:
    """Those of one fleet; none where there is no supervisor."""

    def __init__(self, options: Options, data_folder: Path) -> None:
        self._has_any = bool(foreign_names(options.services))
        self._data_folder = data_folder

    async def names(self) -> set[str]:
        """The services that the supervisor runs as commands."""
        return {name for member in await self._members() for name in member.services}

    async def count_in(self, counts: SystemCounts) -> None:
        """Add which processes run them, and what these use."""
        for member in await self._members():
            (name,) = member.services
            of_service = counts.services.setdefault(name, ServiceCounts())
            if member.state != "ready" or member.pid is None:
                continue
            pid, memory = member.pid, await asyncio.to_thread(memory_mib, member.pid)
            of_service.processes += (ProcessCounts(pid=pid, version=member.version),)
            if memory is not None:
                counts.processes[str(pid)] = ProcessUse(
                    cpu_s=cpu_seconds(pid) or 0.0,
                    memory_bytes=int(memory * _MIB),
                    services=member.services,
                )

    async def _members(self) -> list[_Member]:
        return await asyncio.to_thread(self._ask) if self._has_any else []

    def _ask(self) -> list[_Member]:
        try:
            answer = ask_fleet(self._data_folder, Members())
            found = msgspec.convert(answer.facts.get("members", ()), list[_Member])
        except (ConfigurationError, msgspec.ValidationError, msgspec.DecodeError):
            return []
        return [each for each in found if each.is_command]
