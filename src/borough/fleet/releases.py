"""What `borough rollout` asks of a supervisor: find the code, roll it out, remember what runs.

The next start of the fleet runs what was rolled out last, deployable by deployable.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from borough.clock import SystemClock
from borough.fleet.commands import Answer, Rollout, Say
from borough.fleet.rollout import Rollout as OneRollout
from borough.fleet.supervisor import Supervisor
from borough.runtime.code import Code, Kept, Wanted, code_from, keep, kept
from borough.runtime.system import System
from borough.runtime.topology import Deployable, Topology

__all__ = ["Rollouts", "kept_codes"]


def kept_codes(data: Path, topology: Topology) -> dict[str, Code]:
    """What earlier rollouts have left, by deployable. Raises `ConfigurationError`."""
    found = kept(data, {each.name: each.services for each in topology.deployables})
    return {name: each.code for name, each in found.items()}


class Rollouts:
    """The rollouts of a running fleet, one at a time."""

    def __init__(self, system: System, supervisor: Supervisor) -> None:
        self._system = system
        self._supervisor = supervisor
        self._data = system.configuration.data_folder

    async def handle(self, request: Rollout, say: Say) -> Answer:
        """Answer a request. Raises `ConfigurationError` for what cannot be tried at all."""
        supervisor, options = self._supervisor, self._system.configuration.options
        async with supervisor.rolling(request.service) as deployable:
            wanted = self._wanted(request.service, deployable)
            code = await asyncio.to_thread(code_from, Path(request.source), wanted)
            mocked = [name for each in supervisor.topology.deployables for name in each.services]
            outcome = await OneRollout(
                supervisor,
                deployable,
                request.service,
                code,
                clock=SystemClock(),
                watch_s=options.fleet.watch_s,
                start_within_s=options.fleet.start_within_s,
                say=say,
                elsewhere={*options.external, *mocked} - supervisor.modules.keys(),
            ).run()
            if outcome.state == "done":
                supervisor.codes[deployable.name] = code
                await asyncio.to_thread(keep, self._data, self._current())
        facts: dict[str, Any] = msgspec.to_builtins(outcome)
        return Answer(0 if outcome.state == "done" else 1, outcome.sentence, facts)

    def _wanted(self, service: str, deployable: Deployable) -> Wanted:
        configuration = self._system.configuration
        facts = configuration.options.services.get(service)
        return Wanted(
            service=service,
            module=self._supervisor.modules[service],
            distribution=facts.distribution if facts is not None else None,
            alone=len(deployable.services) == 1,
            system=configuration.folder,
            data=self._data,
            now=self._supervisor.codes.get(deployable.name, Code()),
        )

    def _current(self) -> dict[str, Kept]:
        supervisor = self._supervisor
        return {
            each.name: Kept(each.services, supervisor.codes[each.name])
            for each in supervisor.topology.deployables
            if each.name in supervisor.codes
        }
