"""What the processes of a fleet are started with, and what begins one.

A deployable runs what its modules tell; in the supervisor no service's code is ever run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from borough.clock import Clock
from borough.fleet.control import Assignment
from borough.fleet.data_folder import DataFolder
from borough.fleet.member import Begin, Occupant
from borough.fleet.own_code import OwnCode
from borough.fleet.surroundings import Surroundings
from borough.runtime.code import Code
from borough.runtime.foreign import ForeignService
from borough.runtime.system import System, service_name
from borough.runtime.topology import Deployable
from borough.runtime.wiring import Plan
from borough.transports.http.wire import EDGE

__all__ = ["Launch", "Launcher"]


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What every process of a fleet is started with."""

    path: str
    """The system's folder."""
    flags: dict[str, Any]
    """Options by path."""
    code: tuple[str, ...] = ()
    """Folders in which modules are looked for, before those that Python has anyway."""
    mounts: str | None = None
    """What else the public door serves: `module:function`."""
    tells: str | None = None
    """What every other process tells the door about itself, likewise."""
    has_door: bool = True
    """Whether there is a public door."""
    environment: dict[str, str] = msgspec.field(default_factory=lambda: dict(os.environ))
    log_level: int = 20


class Launcher:
    """Says what a replica is to run, and begins its process."""

    def __init__(
        self,
        launch: Launch,
        system: System,
        plan: Plan,
        foreign: Mapping[str, ForeignService],
        surroundings: Surroundings,
        clock: Clock,
        *,
        stood_in: tuple[str, ...],
    ) -> None:
        """`foreign` has the services that are commands, `stood_in` those elsewhere for whom somebody answers here."""
        self.modules = {service_name(cls): cls.__module__ for cls in system.services}
        """The module of each service that is not mocked."""
        self._launch = launch
        self._plan = plan
        self._foreign = foreign
        self._surroundings = surroundings
        self._clock = clock
        self._stood_in = stood_in
        configuration = system.configuration
        self.own_code = OwnCode(configuration.folder, configuration.data_folder)
        """What runs where nothing was rolled out."""
        self._data_folder = DataFolder(configuration.data_folder)

    async def look(self) -> None:
        """Take code and data as they lie there now for those with which the fleet starts."""
        await self.own_code.look()
        self._data_folder.look()

    def assignment(self, deployable: Deployable, number: int, version: Code) -> Assignment:
        """What the replica of that number is to run."""
        launch, services = self._launch, deployable.services
        is_door = deployable.name == EDGE
        modules = {name: self.modules[name] for name in services if name in self.modules}
        mocks = tuple(name for name in services if name not in self.modules)
        return Assignment(
            path=launch.path,
            flags=launch.flags,
            deployable=deployable.name,
            number=number,
            services=services,
            modules={} if is_door else modules,
            mocks=() if is_door else mocks,
            mocked=() if is_door else self._places_of(mocks),
            stood_in=self._stood_in,
            code=launch.code,
            version=version,
            mounts=launch.mounts if is_door else launch.tells,
            log_level=launch.log_level,
        )

    def _places_of(self, services: Collection[str]) -> tuple[str, ...]:
        """Where the contracts of these services are."""
        found = [each.cls for each in self._plan.contracts.values() if each.service in services]
        return tuple(f"{cls.__module__}:{cls.__qualname__}" for cls in found)

    def beginning(self, assignment: Assignment) -> Begin:
        """What begins a process for it: a replica in Python, or a command."""
        is_door = assignment.deployable == EDGE
        service = None if is_door else self._foreign.get(assignment.services[0])

        async def begin(say: Callable[[str], None], *, is_aside: bool) -> Occupant:
            self._data_folder.refuse_another()
            if service is None:
                environment = self._launch.environment
                return await self.own_code.begin(assignment, environment, say, is_aside=is_aside)
            from borough.fleet.foreign import ForeignChild  # few fleets have one

            return ForeignChild(service, assignment, self._surroundings, self._clock, say)

        return begin
