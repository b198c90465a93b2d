"""From a system's classes to a plan: who provides, who depends, who hears. Nothing is started here.

Every fault of every class is collected with file and line and raised together, so that a team mends
them in one go.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import msgspec

from borough.contracts.operation import BoundEvent, Contract
from borough.contracts.reading import contract_mark, read_contract
from borough.contracts.source import FaultList, same_name
from borough.errors import DeclarationFaults, Fault
from borough.runtime.applications import Application
from borough.runtime.methods import HandlerPlan, MethodPlans, MountPlan, SchedulePlan, takes
from borough.runtime.misreadings import (
    meant_in,
    misread,
    misread_needs,
    misread_operation,
    misread_settings,
)
from borough.runtime.system import System, contract_classes, service_name
from borough.services.data import Database
from borough.services.service import Provided, Service
from borough.services.settings import Settings
from borough.transports.http import wire

__all__ = ["Plan", "ServicePlan", "make_plan"]

_TAKEN = {
    wire.EDGE: "which is how the public door of a fleet proves itself to services",
    "borough": "below which Borough answers itself",
}
_SLOT = re.compile(r"\{[a-z_][a-z0-9_]*\}")
_SERVICE = re.compile(r"[a-z][a-z0-9_-]*")


class ServicePlan(msgspec.Struct, frozen=True):
    """What one service provides and needs. The dictionaries are keyed by attribute name."""

    name: str
    cls: type[Service]
    provides: tuple[tuple[Contract, Callable[[Any], Any] | None], ...]
    clients: dict[str, Contract]
    databases: tuple[str, ...]
    settings: dict[str, type[Settings]]
    resources: dict[str, type[Any]]
    handlers: tuple[HandlerPlan, ...]
    schedules: tuple[SchedulePlan, ...]
    mounts: tuple[MountPlan, ...]
    folder: Path

    @property
    def needs_database(self) -> bool:
        """Whether it has a database of its own: asked for, or needed for its inbox, positions or answers."""
        keyed = any(
            operation.keyed
            for contract, _ in self.provides
            for operation in contract.operations.values()
        )
        return bool(self.databases or self.handlers or self.schedules or keyed)


class Plan(msgspec.Struct, frozen=True):
    """A wired system: services by name, contracts by wire name, contracts that nobody here provides."""

    services: dict[str, ServicePlan]
    contracts: dict[str, Contract]
    absent: dict[str, Contract]

    @property
    def absent_services(self) -> set[str]:
        """Services of which only contracts are known here."""
        return {contract.service for contract in self.absent.values()} - self.services.keys()


def make_plan(
    system: System,
    *,
    resources: Iterable[type[Any]] = (),
    stand_ins: Iterable[type[Any]] = (),
    is_whole: bool = False,
) -> Plan:
    """Wire a system. Raises `DeclarationFaults` with every fault of contracts and wiring.

    `resources` are further types that services may ask for; `stand_ins` are contracts answered by
    a fake or a mock. `is_whole` says that nobody runs beside this system: what no service of it
    provides, nor `[external]`, is then a fault of whoever needs it.
    """
    missing = _missing(system) if is_whole else ()
    return _Wiring(system, tuple(resources), tuple(stand_ins), missing).plan()


def _missing(system: System) -> list[type[Any]]:
    """The contracts that nobody answers: no class, no command, no service elsewhere."""
    options = system.configuration.options
    commands = {name for name, facts in options.services.items() if facts.command}
    elsewhere = {*options.external, *commands}
    marks = [(kind, contract_mark(kind)) for kind in system.unanswered]
    return [kind for kind, mark in marks if mark and mark.service not in elsewhere]


def _remedy(kind: type[Any]) -> str:
    mark = contract_mark(kind)
    name = mark.service if mark else "NAME"
    return (
        f"Add the service to the system, or [external.{name}] for one elsewhere, "
        f"or run it with --mock {name} (in a test: `fakes=`)"
    )


def _told_apart(one: type[Any], other: type[Any]) -> tuple[str, str]:
    """The names of two classes; with their modules where a copied file has given both the same."""
    if one.__name__ != other.__name__:
        return one.__name__, other.__name__
    return f"{one.__module__}.{one.__name__}", f"{other.__module__}.{other.__name__}"


class _Wiring:
    def __init__(
        self,
        system: System,
        resources: tuple[type[Any], ...],
        stand_ins: tuple[type[Any], ...],
        missing: Collection[type[Any]],
    ) -> None:
        self.system = system
        self.resources = resources
        self.stand_ins = stand_ins
        self.missing = missing
        self.found = FaultList()
        self.contracts: dict[type[Any], Contract] = {}
        self.events: dict[type[Any], BoundEvent] = {}
        self.unread: set[type[Any]] = set()

    def fault(self, message: str, remedy: str, thing: Any) -> None:
        self.found.add(message, remedy, thing)

    def contract(self, cls: type[Any]) -> Contract | None:
        if cls not in self.contracts:
            try:
                self.contracts[cls] = read_contract(cls)
            except DeclarationFaults as error:
                known = set(map(str, self.found.faults))
                self.found.faults += [each for each in error.faults if str(each) not in known]
                return None
        return self.contracts[cls]

    def plan(self) -> Plan:
        provided: dict[type[Any], type[Service]] = {}
        for cls in self.system.services:
            for found in contract_classes(cls):
                other = provided.setdefault(found, cls)
                if other is not cls:
                    one, two = _told_apart(cls, other)
                    self.fault(
                        f"{one} and {two} both provide {found.__name__}",
                        "Keep one",
                        cls,
                    )
        for found in [*provided, *self.system.contracts, *self.stand_ins]:
            contract = self.contract(found)
            if contract is not None:
                self.events.update({event.kind: event for event in contract.events.values()})
            elif (mark := contract_mark(found)) is not None:
                self.unread.update(mark.publishes)
        services: dict[str, ServicePlan] = {}
        for cls in self.system.services:
            service = self._service(cls, provided)
            if service.name in services:
                where = ", ".join(_told_apart(services[service.name].cls, cls))
                self.fault(f"two services are named {service.name} ({where})", "Rename one", cls)
            services[service.name] = service
        self._commands()
        self._routes()
        self._names()
        if self.found.faults:
            raise DeclarationFaults(self.found.faults)
        by_name = {contract.wire_name: contract for contract in self.contracts.values()}
        here = {
            contract.wire_name for service in services.values() for contract, _ in service.provides
        }
        absent = {name: contract for name, contract in by_name.items() if name not in here}
        return Plan(services, by_name, absent)

    def _service(self, cls: type[Service], provided: dict[type[Any], type[Service]]) -> ServicePlan:
        name = service_name(cls)
        if not _SERVICE.fullmatch(name):
            self.fault(
                f"{cls.__name__} is the service {name!r}",
                "Use lower-case letters, digits, - and _; `class X(Service, name=...)` gives a name",
                cls,
            )
        self._free(name, cls)
        makers = {
            value.contract: value.make
            for base in cls.__mro__
            for value in vars(base).values()
            if isinstance(value, Provided)
        }
        provides: list[tuple[Contract, Callable[[Any], Any] | None]] = []
        for found in contract_classes(cls):
            contract = self.contract(found)
            if contract is None:
                continue
            if contract.service != name:
                self.fault(
                    f"{cls.__name__} is the service {name!r} and provides {found.__name__} of {contract.service!r}",
                    "Name the same service in both",
                    cls,
                )
            if found not in makers:
                self._implements(cls, contract)
            provides.append((contract, makers.get(found)))
        for judged in misread(cls):
            self.fault(*judged)
        needs = self._needs(cls, provided)
        handlers, schedules, mounts = MethodPlans(self.events, self.unread, self.found).of(
            cls, name
        )
        keyed = [op for contract, _ in provides for op in contract.operations.values() if op.keyed]
        if keyed and not needs["databases"]:
            self.fault(
                f"{keyed[0].wire_name} is idempotent by a key, and {cls.__name__} has no database to keep the answer",
                "Add `db: Database`, and end the operation with `tx.answer(...)`",
                cls,
            )
        folder = Path(inspect.getsourcefile(cls) or ".").resolve().parent
        return ServicePlan(
            name,
            cls,
            tuple(provides),
            **needs,
            handlers=handlers,
            schedules=schedules,
            mounts=mounts,
            folder=folder,
        )

    def _free(self, name: str, cls: type[Any]) -> None:
        if name in _TAKEN:
            self.fault(
                f"{cls.__name__} is the service {name!r}, {_TAKEN[name]}",
                "Give the service another name",
                cls,
            )

    def _implements(self, cls: type[Service], contract: Contract) -> None:
        for operation in contract.operations.values():
            owner = next((base for base in cls.__mro__ if operation.name in vars(base)), None)
            if owner is None or getattr(owner, "_is_protocol", False):
                self.fault(
                    f"{cls.__name__} does not implement {contract.name}.{operation.name}",
                    f"Write `{'def' if operation.stream else 'async def'} {operation.name}(self, ...)`",
                    cls,
                )
                continue
            function = vars(owner)[operation.name]
            if not inspect.isfunction(function):
                self.fault(
                    f"{cls.__name__}.{operation.name} is no method, and {contract.name} has that operation",
                    "Write it as a method, or give the attribute another name",
                    cls,
                )
                continue
            expected = [parameter.name for parameter in operation.parameters]
            given = list(inspect.signature(function).parameters.values())[1:]
            names = [parameter.name for parameter in given]
            by_name = [each.name for each in given if each.kind is each.KEYWORD_ONLY]
            named_only = [name for name in by_name if name in expected]
            if named_only and names[: len(expected)] == expected:
                self.fault(
                    f"{cls.__name__}.{operation.name} takes {named_only[0]} by its name only",
                    "Remove the `*`: a method is given its parameters in their order",
                    function,
                )
            elif names[: len(expected)] != expected or not takes(function, 1 + len(expected)):
                self.fault(
                    f"{cls.__name__}.{operation.name} takes ({', '.join(names)}), its contract ({', '.join(expected)})",
                    "Use the contract's parameters",
                    function,
                )
            else:
                for judged in misread_operation(cls, function, operation):
                    self.fault(*judged)
            if operation.stream == inspect.iscoroutinefunction(function):
                wanted = (
                    "a plain `def` or an async generator" if operation.stream else "`async def`"
                )
                self.fault(
                    f"{cls.__name__}.{operation.name} is not {wanted}", "Make it so", function
                )

    def _needs(
        self, cls: type[Service], provided: dict[type[Any], type[Service]]
    ) -> dict[str, Any]:
        clients: dict[str, Contract] = {}
        databases: list[str] = []
        settings: dict[str, type[Settings]] = {}
        resources: dict[str, type[Any]] = {}
        try:
            hints = typing.get_type_hints(cls)
        except Exception as error:
            self.fault(
                f"an annotation of {cls.__name__} cannot be read: {error}",
                "Import the name at the top of its module, and not under TYPE_CHECKING",
                cls,
            )
            hints = {}
        for message, remedy, attribute in misread_needs(cls, hints):
            self.found.add(message, remedy, cls, attribute)
        for attribute, kind in hints.items():
            if not isinstance(kind, type):
                meant = meant_in(kind)
                if meant is not None:
                    what = "contract" if contract_mark(meant) else "class"
                    self.found.add(
                        f"{cls.__name__}.{attribute} is annotated with {kind}",
                        f"Annotate it with the {what} itself: a dependency is always there",
                        cls,
                        attribute,
                    )
                continue
            if contract_mark(kind) is not None:
                contract = self.contract(kind)
                if contract is not None:
                    clients[attribute] = contract
                if not self._is_answered(kind, provided):
                    self._nobody(cls, attribute, kind)
            elif kind is Database:
                databases.append(attribute)
            elif issubclass(kind, Settings):
                if settings and kind not in settings.values():
                    self.fault(
                        f"{cls.__name__}.{attribute} is a second settings class",
                        "Write one class with all of its settings",
                        cls,
                    )
                for judged in misread_settings(kind) if kind not in settings.values() else ():
                    self.found.add(*judged)
                settings[attribute] = kind
            elif kind in self.resources:
                resources[attribute] = kind
            elif issubclass(kind, Service):
                self.fault(
                    f"{cls.__name__}.{attribute} is annotated with the service {kind.__name__}",
                    "Annotate it with the contract; only contracts of another service may be used",
                    cls,
                )
        return {
            "clients": clients,
            "databases": tuple(databases),
            "settings": settings,
            "resources": resources,
        }

    def _is_answered(self, kind: type[Any], provided: Collection[type[Any]]) -> bool:
        if kind in provided or kind in self.stand_ins:
            return True
        return kind in self.system.contracts and kind not in self.missing

    def _nobody(self, cls: type[Service], attribute: str, kind: type[Any]) -> None:
        if issubclass(cls, Application):
            self._named_by(service_name(cls), kind)
            return
        what = f"{cls.__name__}.{attribute} needs {kind.__name__}, which no service here provides"
        self.found.add(what, _remedy(kind), cls, attribute)

    def _named_by(self, service: str, kind: type[Any]) -> None:
        what = f"services.{service}.needs names {kind.__name__}, which no service here provides"
        self.found.faults.append(Fault(what, _remedy(kind)))

    def _commands(self) -> None:
        """What a service needs that is a command is known by its facts alone."""
        missing = {each.wire_name: each for kind in self.missing if (each := self.contract(kind))}
        for name, facts in self.system.configuration.options.services.items():
            for need in facts.needs if facts.command else ():
                if need in missing and missing[need].cls not in self.stand_ins:
                    self._named_by(name, missing[need].cls)

    def _routes(self) -> None:
        seen: dict[tuple[str, str], str] = {}
        for contract in self.contracts.values():
            for operation in contract.operations.values():
                route = operation.mark.method, _SLOT.sub("{}", operation.path)
                other = seen.setdefault(route, operation.wire_name)
                if other.rpartition(".")[0] != contract.wire_name and other != operation.wire_name:
                    self.fault(
                        f"{operation.wire_name} and {other} both answer {operation.mark.method} {operation.path}",
                        "Give one of them another path",
                        contract.cls,
                    )

    def _names(self) -> None:
        seen: dict[str, Contract] = {}
        for contract in self.contracts.values():
            other = seen.setdefault(contract.wire_name, contract)
            if other is not contract:
                both = same_name(contract.wire_name, contract.cls, other.cls)
                self.fault(*both, contract.cls)
        owners: dict[type[Any], Contract] = {}
        for contract in self.contracts.values():
            for event in contract.events.values():
                owner = owners.setdefault(event.kind, contract)
                if owner is not contract:
                    self.fault(
                        f"the event {event.kind.__name__} is published by {owner.name} and {contract.name}",
                        "An event belongs to one contract; give each its own",
                        contract.cls,
                    )
