"""What `borough rollout` asks of a supervisor: find the code, roll it out, remember what runs.

The next start of the fleet runs what was rolled out last, deployable by deployable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from borough.clock import SystemClock
from borough.errors import ConfigurationError
from borough.fleet.commands import Answer, Rollout, Say
from borough.fleet.rollout import Outcome
from borough.fleet.rollout import Rollout as OneRollout
from borough.fleet.supervisor import Supervisor
from borough.runtime.code import (
    Code,
    Kept,
    Wanted,
    code_from,
    content_of,
    forget,
    keep,
    kept,
    left_behind,
)
from borough.runtime.system import System
from borough.runtime.topology import Deployable, Topology

__all__ = ["Rollouts", "rolled_out"]


def rolled_out(data: Path, topology: Topology) -> dict[str, Kept]:
    """What earlier rollouts have left, by deployable. Raises `ConfigurationError`."""
    return kept(data, topology.name, {each.name: each.services for each in topology.deployables})


class Rollouts:
    """The rollouts of a running fleet, one at a time; `left` is what earlier ones have left."""

    def __init__(self, system: System, supervisor: Supervisor, left: Mapping[str, Kept]) -> None:
        self._system = system
        self._supervisor = supervisor
        self._data = system.configuration.data_folder
        self._left = dict(left)
        self._open: list[asyncio.Future[Code]] = []
        """Copies, made or in the making, of rollouts that have not come to their end, or are stuck."""

    async def close(self) -> None:
        """Once no process runs any more: the copies of what was not rolled out to the end go."""
        for copying in self._open:
            with suppress(Exception):  # one that could not be made: nobody waits for its reason
                await asyncio.to_thread(forget, await copying, self._running(), self._data)

    async def handle(self, request: Rollout, say: Say) -> Answer:
        """Answer a request. Raises `ConfigurationError` for what cannot be tried at all."""
        supervisor, options = self._supervisor, self._system.configuration.options
        async with supervisor.rolling(request.service, say) as deployable:
            wanted = self._wanted(request.service, deployable)
            await self._refuse_company(wanted)
            copying = asyncio.ensure_future(
                asyncio.to_thread(code_from, Path(request.source), wanted)
            )
            self._open.append(copying)
            try:
                code = await asyncio.shield(copying)  # a thread goes on, whoever is cancelled
            except Exception:
                self._open.remove(copying)
                raise
            warnings = await asyncio.to_thread(left_behind, Path(request.source), code, wanted)
            for warning in warnings:
                say(f"warning: {warning}")
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
            outcome = msgspec.structs.replace(outcome, warnings=(*warnings, *outcome.warnings))
            over: Code | None = None  # what nothing runs any more
            if outcome.state != "stuck":
                self._open.remove(copying)
            if outcome.state == "done":
                over = self._remember(
                    deployable, code, wanted.now, {request.service: outcome.after}
                )
                supervisor.codes[deployable.name] = code
                try:
                    await asyncio.to_thread(keep, self._data, self._left)
                except ConfigurationError as error:
                    return _not_kept(outcome, error)
            elif outcome.state != "stuck":
                over = code
                outcome = _at_the_source(outcome, code, request.source)
            if over is not None:
                await asyncio.to_thread(forget, over, self._running(), self._data)
        facts: dict[str, Any] = msgspec.to_builtins(outcome)
        return Answer(0 if outcome.state == "done" else 1, outcome.sentence, facts)

    def _wanted(self, service: str, deployable: Deployable) -> Wanted:
        configuration = self._system.configuration
        facts = configuration.options.services.get(service)
        if facts is not None and facts.asgi:
            raise ConfigurationError(
                f"{service} is the ASGI application {facts.asgi}, which a rollout cannot exchange; put its new "
                "code in place of the old one, and start the system anew"
            )
        return Wanted(
            service=service,
            module=self._supervisor.modules[service],
            distribution=facts.distribution if facts is not None else None,
            alone=len(deployable.services) == 1,
            system=configuration.folder,
            data=self._data,
            now=self._supervisor.codes.get(deployable.name, Code()),
        )

    async def _refuse_company(self, wanted: Wanted) -> None:
        """Those who share the process stay as they are: what they run is copied from the system's folder.

        Raises `ConfigurationError` where that is not what they run any more.
        """
        if wanted.alone or wanted.distribution is not None or wanted.now.folder:
            return
        changed = await self._supervisor.own_code.changed_beside(wanted.folder)
        unchecked = await asyncio.to_thread(self._unchecked, changed)
        if unchecked is not None:
            raise ConfigurationError(
                f"{unchecked} was changed since the fleet started, and others that share a process with "
                f"{wanted.service} would come to run that, too; put it back, or start the fleet anew"
            )

    def _unchecked(self, changed: Sequence[Path]) -> Path | None:
        """The first of these that is not as a rollout has checked it, which it has in its service's own folder."""
        checked: list[tuple[Path, Path]] = []
        for deployable in self._supervisor.topology.deployables:
            copy = self._supervisor.codes.get(deployable.name, Code()).folder
            for service in deployable.services if copy else ():
                with suppress(
                    ConfigurationError
                ):  # an application, or one that is not of the system's folder
                    checked.append((self._wanted(service, deployable).folder, Path(copy)))
        system = self._system.configuration.folder
        return next((path for path in changed if not _is_checked(path, checked, system)), None)

    def _running(self) -> list[Code]:
        """What processes run, also where they could not be rolled back, and what others will be begun with."""
        supervisor = self._supervisor
        members = supervisor.members.values()
        return [*supervisor.codes.values(), *(each.assignment.version for each in members)]

    def _remember(
        self, deployable: Deployable, code: Code, before: Code, versions: dict[str, str]
    ) -> Code:
        """Note what runs now, and what did before; returns what did before that."""
        over, known = Code(), self._left.get(deployable.name)
        if known is not None:
            over, versions = known.before, {**known.versions, **versions}
            if before == code:  # once more the same: the way back is where it was
                over, before = Code(), over
        supervisor = self._supervisor
        self._left[deployable.name] = Kept(
            services=deployable.services,
            code=code,
            versions=versions,
            topology=supervisor.topology.name,
            before=before,
            declared={name: tuple(sorted(supervisor.declared_by(name))) for name in versions},
        )
        return over


def _not_kept(outcome: Outcome, error: ConfigurationError) -> Answer:
    """What is to be done where a version runs, and the next start would not know of it."""
    outcome = msgspec.structs.replace(outcome, warnings=(*outcome.warnings, str(error)))
    sentence = (
        f"{outcome.sentence}, and the next start of the fleet will not: {error}; "
        "mend that, and roll it out once more"
    )
    facts: dict[str, Any] = msgspec.to_builtins(outcome)
    return Answer(1, sentence, facts)


def _at_the_source(outcome: Outcome, code: Code, source: str) -> Outcome:
    """An outcome whose reasons name the files that can be mended, and not their copies."""
    reasons = list(outcome.reasons)
    for copy in code.folders:
        reasons = [reason.replace(copy, source) for reason in reasons]
    return msgspec.structs.replace(outcome, reasons=tuple(reasons), code=source)


def _is_checked(path: Path, checked: Sequence[tuple[Path, Path]], system: Path) -> bool:
    copies = [copy for folder, copy in checked if folder in path.parents]
    return any(content_of(path) == content_of(copy / path.relative_to(system)) for copy in copies)
