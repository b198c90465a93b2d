"""Which services run together in one process, and in how many: configuration, never code.

`one` (all in one process) and `fleet` (a process per service) are built in; others are tables of
borough.toml. Each service of the system is in exactly one deployable, and all faults are told together.
A service that is a command is a process of its own in each of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from borough.contracts.reading import contract_mark
from borough.errors import ConfigurationError, DeclarationFaults, Fault
from borough.runtime.foreign import foreign_names
from borough.runtime.options import DeployableFacts
from borough.runtime.system import System, service_name
from borough.transports.http.wire import EDGE

__all__ = [
    "FLEET",
    "ONE",
    "Deployable",
    "Topology",
    "all_services",
    "answered_services",
    "faults_of_others",
    "make_topology",
    "start_waves",
]

ONE = "one"
FLEET = "fleet"
MOCK = "mock"
"""The process that answers for mocked services."""
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Deployable(msgspec.Struct, frozen=True):
    """Services that ship and run together; `replicas` is how many processes it has at first."""

    name: str
    services: tuple[str, ...]
    replicas: int = 1


class Topology(msgspec.Struct, frozen=True):
    """A name and its deployables, in the order in which they are written."""

    name: str
    deployables: tuple[Deployable, ...]

    def mocking(self, services: Collection[str]) -> Topology:
        """The same with these services in a process of their own, which answers from examples."""
        left = [
            Deployable(each.name, kept, each.replicas)
            for each in self.deployables
            if (kept := tuple(name for name in each.services if name not in services))
        ]
        mocks = [Deployable(MOCK, tuple(services))] if services else []
        return Topology(self.name, (*mocks, *left))


def make_topology(
    name: str,
    written: Mapping[str, Mapping[str, DeployableFacts]],
    services: Collection[str],
    foreign: Collection[str] = (),
) -> Topology:
    """The topology of that name for a system of these services, of which some are commands: `foreign`.

    `written` is `[topologies]` of borough.toml. Raises `ConfigurationError` for a name that there is
    not, `DeclarationFaults` with everything that is wrong about one that there is.
    """
    for built_in in (ONE, FLEET):
        if built_in in written:
            raise ConfigurationError(
                f"topologies.{built_in} is built in and cannot be written; give yours another name"
            )
    if name == ONE:
        ours = tuple(sorted(set(services).difference(foreign)))
        apart = [Deployable(each, (each,)) for each in sorted(foreign)]
        return Topology(ONE, (*([Deployable(ONE, ours)] if ours else []), *apart))
    if name == FLEET:
        found = Topology(FLEET, tuple(Deployable(each, (each,)) for each in sorted(services)))
    elif name in written:
        table = written[name]
        made = [Deployable(key, facts.services, facts.replicas) for key, facts in table.items()]
        found = Topology(name, tuple(made))
    else:
        raise ConfigurationError(_unknown(name, sorted({ONE, FLEET, *written})))
    faults = [
        Fault(message, remedy) for message, remedy in _judge(found, sorted(services), foreign)
    ]
    if faults:
        raise DeclarationFaults(faults)
    return found


def all_services(system: System) -> set[str]:
    """The services of a system, whether or not their code is here."""
    options = system.configuration.options
    here = {service_name(cls) for cls in system.services}
    elsewhere = answered_services(system) | set(options.services) | set(options.discovery.static)
    return here | (elsewhere - set(options.external))


def answered_services(system: System) -> set[str]:
    """The services of the contracts that no class here provides."""
    return {mark.service for cls in system.contracts if (mark := contract_mark(cls)) is not None}


def faults_of_others(system: System, running: str) -> Iterator[str]:
    """What is wrong with the topologies that are written beside the one that runs, a sentence each."""
    options = system.configuration.options
    services, commands = sorted(all_services(system)), foreign_names(options.services)
    for name in options.topologies:
        if name != running:
            try:
                make_topology(name, options.topologies, services, commands)
            except DeclarationFaults as error:
                yield from map(str, error.faults)
            except ConfigurationError as error:
                yield str(error)


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
    return f"there is no topology {name!r}; {meant} Others are tables [topologies.NAME] of borough.toml"


def _judge(
    topology: Topology, services: Sequence[str], foreign: Collection[str]
) -> list[tuple[str, str]]:
    """Everything wrong with a topology, as (message, remedy)."""
    where = f"topologies.{topology.name}"
    found: list[tuple[str, str]] = []
    places: dict[str, list[str]] = {}
    for deployable in topology.deployables:
        path = f"{where}.{deployable.name}"
        if deployable.name in (EDGE, MOCK):
            found.append((f"{path} has the name of a process that is always there", "Rename it"))
        if not _NAME.fullmatch(deployable.name):
            found.append((f"{path} is no name", "Use lower-case letters, digits, - and _"))
        if not deployable.services:
            found.append((f"{path} has no services", 'Write services = ["NAME"], or remove it'))
        alone = [each for each in deployable.services if each in foreign]
        if alone and len(deployable.services) > 1:
            found.append(
                (
                    f"{path} runs {', '.join(alone)} together with others, and a command is a process of its own",
                    f'Write {alone[0]} = {{ services = ["{alone[0]}"] }} beside it',
                )
            )
        for service in deployable.services:
            places.setdefault(service, []).append(deployable.name)
    for service, holders in places.items():
        if service not in services:
            close = difflib.get_close_matches(service, services, 1)
            remedy = f"Did you mean {close[0]}?" if close else f"There are {', '.join(services)}"
            found.append((f"{where}.{holders[0]} names {service!r}, which is no service", remedy))
        elif len(holders) > 1:
            found.append(
                (
                    f"{where} has the service {service} in {' and in '.join(holders)}",
                    "Keep it in one deployable; `replicas` says how many processes that has",
                )
            )
    left = [service for service in services if service not in places]
    if left:
        found.append(
            (
                f"{where} leaves out {', '.join(left)}",
                "Put each service into a deployable",
            )
        )
    return found


def start_waves(topology: Topology, needs: Mapping[str, Collection[str]]) -> list[tuple[str, ...]]:
    """Deployables in the order in which they start: those of one wave side by side.

    `needs` says which services each service calls. Who is called starts before who calls; those
    that call each other in a circle start together.
    """
    home = {service: each.name for each in topology.deployables for service in each.services}
    calls: dict[str, set[str]] = {each.name: set() for each in topology.deployables}
    for service, called in needs.items():
        if service in home:
            calls[home[service]].update(home[other] for other in called if other in home)
    reached = {name: _reachable(name, calls) for name in calls}
    waves: list[tuple[str, ...]] = []
    started: set[str] = set()
    while len(started) < len(calls):
        # Whom it reaches and who does not reach it back must have started.
        wave = tuple(
            name
            for name in calls
            if name not in started
            and all(other in started or name in reached[other] for other in reached[name])
        )
        waves.append(wave)
        started.update(wave)
    return waves


def _reachable(name: str, calls: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in calls[waiting.pop()]:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
