"""A system is a value: service classes and the configuration that goes with them. Nothing registers itself.

Services of a folder are found by convention: each subfolder with a `service.py` is a service of
the package that the folder is, and that module defines exactly one `Service` subclass. Others are named
in borough.toml: distributions with an entry point, and plain ASGI applications.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import keyword
import os
import re
import sys
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from borough.contracts.reading import contract_mark, read_contracts, source_place, wire_name_of
from borough.errors import ConfigurationError, DeclarationFaults, Fault
from borough.runtime.applications import asgi_service
from borough.runtime.blame import own_place
from borough.runtime.configuration import CONFIGURATION_FILE, Configuration
from borough.runtime.distributions import Place, enter_release, place_in
from borough.runtime.foreign import foreign_names
from borough.runtime.options import Options
from borough.runtime.service_facts import ServiceFacts
from borough.services.service import Provided, Service

__all__ = [
    "System",
    "contract_classes",
    "declared_contracts",
    "needed_contracts",
    "service_name",
]


class System:
    """All services of one product: classes and configuration. Inert until a `Host` runs it.

    `contracts` lists contract classes that no class here provides (mocked, or run elsewhere), `unanswered`
    those of them that stand below the system's folder without a class that provides them;
    `versions` has those of services that are distributions of their own.
    """

    def __init__(
        self,
        services: Sequence[type[Service]],
        *,
        configuration: Configuration | None = None,
        contracts: Sequence[type[Any]] = (),
        unanswered: Sequence[type[Any]] = (),
        versions: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.services = tuple(services)
        self.configuration = configuration or Configuration.load(Path.cwd() / ".no-such-folder", {})
        self.contracts = tuple(contracts)
        self.unanswered = tuple(unanswered)
        self.versions = dict(versions)

    def narrowed(self, services: Sequence[type[Service]]) -> System:
        """The same system with these services only; the contracts of the others stay known."""
        left_out = [
            found for cls in self.services if cls not in services for found in contract_classes(cls)
        ]
        return System(
            services,
            configuration=self.configuration,
            contracts=[*self.contracts, *left_out],
            unanswered=self.unanswered,
            versions=self.versions,
        )

    def configured(self, configuration: Configuration) -> System:
        """The same services with another configuration."""
        return System(
            self.services,
            configuration=configuration,
            contracts=self.contracts,
            unanswered=self.unanswered,
            versions=self.versions,
        )

    def standing_in(self, elsewhere: Collection[str]) -> System:
        """The same system without the URLs of these services: another process answers for them."""
        return self.configured(self.configuration.without_external(elsewhere))

    @property
    def name(self) -> str:
        """The system's name in borough.toml."""
        return self.configuration.options.system.name

    def version_of(self, service: str) -> str:
        """The version of a service: of its distribution, else `services.NAME.version`, else the system's."""
        options = self.configuration.options
        facts = options.services.get(service, ServiceFacts())
        return self.versions.get(service) or facts.version or options.system.version

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        flags: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        modules: Mapping[str, str] | None = None,
        release: Path | None = None,
        package: Path | None = None,
    ) -> System:
        """Find the services below `path`, a package folder with a borough.toml.

        `modules` has, by service, the modules of those that are wanted, where not all are (even none); the
        others' code is not imported, and their contracts are known.
        `release` is a wheel, or one that is unpacked, whose code goes before all other in this process.
        `package` is another folder of the same name, whose code counts; the configuration stays that of `path`.
        Raises `ConfigurationError` for a folder that is no system, `DeclarationFaults` for modules
        that do not import or do not define one service.
        """
        folder = Path(path).resolve()
        if not folder.is_dir():
            raise ConfigurationError(
                f"{path} is no folder; name the folder that holds {CONFIGURATION_FILE}"
            )
        configuration = Configuration.load(
            folder, os.environ if environment is None else environment, flags
        )
        if release is not None:
            _enter(release, configuration.data_folder)
        folder = folder if package is None else package
        places = _places(folder, configuration, modules)
        applications = {
            name: facts
            for name, facts in _applications(configuration.options).items()
            if modules is None or name in modules
        }
        if not (places or applications) and modules != {}:
            _refuse_nothing(folder, configuration.options)
        _enter_package(folder, 0 if release is None else 1)
        faults: list[Fault] = []
        contracts = _contracts_below(folder, faults)
        services = [
            found for place in places if (found := _service_class(place, faults)) is not None
        ]
        if faults:
            raise DeclarationFaults([*_contract_faults(contracts), *faults])
        _refuse_other_needs(services, configuration.options)
        provided = [found for each in services for found in contract_classes(each)]
        known = [*contracts, *provided]
        unanswered = [] if modules is not None else [c for c in contracts if c not in provided]
        for name, facts in applications.items():
            services.append(asgi_service(name, facts, known))
        if modules is None:
            contracts += _needed_elsewhere(services, known, configuration.options)
        else:
            contracts += [kind for kind in needed_contracts(services) if kind not in known]
        versions = {place.service: place.version for place in places if place.service}
        system = cls(
            services,
            configuration=configuration,
            contracts=contracts,
            unanswered=unanswered,
            versions={name: version for name, version in versions.items() if version},
        )
        if modules is None:
            _known_services(system)
        return system


def _refuse_nothing(folder: Path, options: Options) -> None:
    """Where no code of a service is, contracts or a command are. Raises `ConfigurationError`."""
    if not foreign_names(options.services) and not any(folder.glob("*/contract.py")):
        named = next(iter(options.services), None)
        without = f", or say what services.{named}.command is" if named is not None else ""
        above = folder.parent
        if (above / CONFIGURATION_FILE).is_file() and not (folder / CONFIGURATION_FILE).is_file():
            raise ConfigurationError(
                f"{folder} is within the system {above}, and no system itself; name {above}"
            )
        below = [place.parent for place in sorted(folder.glob(f"*/{CONFIGURATION_FILE}"))]
        meant = f"; name {below[0]}, which is a system" if len(below) == 1 else ""
        raise ConfigurationError(
            f"{folder} has no services: a service is a subfolder with a service.py{without}{meant}"
        )


def _enter(release: Path, data_folder: Path) -> None:
    """Put the code of a release before all other; a wheel is unpacked first."""
    if release.suffix == ".whl":
        from borough.runtime.releases import unpack  # few systems have one

        release = unpack(release, data_folder / "releases")
    enter_release(release)


def _enter_package(folder: Path, rank: int) -> None:
    """Make the folder importable as the package of its name. Raises `ConfigurationError`.

    `rank` is how many places on the path go before it.
    """
    places = {
        place.parent for name in ("service.py", "contract.py") for place in folder.glob(f"*/{name}")
    }
    for place in (folder, *sorted(places)) if places else ():
        if not place.name.isidentifier() or keyword.iskeyword(place.name):
            other = re.sub(r"\W", "_", place.name) + "_" * keyword.iskeyword(place.name)
            remedy = f"rename it, for example to {other}" if other.isidentifier() else "rename it"
            raise ConfigurationError(
                f"the folder {place} is a Python package, and {place.name!r} is no name for one; {remedy}"
            )
    if str(folder.parent) not in sys.path:
        sys.path.insert(rank, str(folder.parent))
    if not places:
        return  # nothing of it is a service; an application may still lie below
    try:
        package = importlib.import_module(folder.name)
    except Exception:
        return  # its modules fail in the same way, each told with its place
    if str(folder) not in [os.path.realpath(path) for path in getattr(package, "__path__", ())]:
        other = getattr(package, "__file__", None) or "Python itself"
        raise ConfigurationError(
            f"the folder {folder} cannot be imported: the module {folder.name} is {other}; rename the folder"
        )


def needed_contracts(services: Sequence[type[Service]]) -> list[type[Any]]:
    """The contracts that services ask for, whoever provides them."""
    found: list[type[Any]] = []
    for service in services:
        with contextlib.suppress(Exception):  # what cannot be read is told by the wiring
            kinds = typing.get_type_hints(service).values()
            found += [kind for kind in kinds if contract_mark(kind) and kind not in found]
    return found


def declared_contracts(service: type[Service]) -> frozenset[str]:
    """The contracts, by wire name, that a service asks for: those that it may call."""
    return frozenset(map(wire_name_of, needed_contracts([service])))


def _refuse_other_needs(services: Sequence[type[Service]], options: Options) -> None:
    """Facts say the needs of a service to processes without its code; here its class says them."""
    for service in services:
        name = service_name(service)
        written = options.services.get(name, ServiceFacts()).needs
        declared = declared_contracts(service) if written else ()
        if written and declared != frozenset(written):
            raise ConfigurationError(
                f"services.{name}.needs is {', '.join(written)}, and {service.__name__} declares "
                f"{', '.join(sorted(declared)) or 'none'}; write the same, or remove the option"
            )


def _needed_elsewhere(
    services: Sequence[type[Service]], known: Sequence[type[Any]], options: Options
) -> list[type[Any]]:
    """The contracts of external services that only those know who need them."""
    needed = needed_contracts(services) if options.external else []
    marks = [(kind, contract_mark(kind)) for kind in needed if kind not in known]
    return [kind for kind, mark in marks if mark and mark.service in options.external]


def _applications(options: Options) -> dict[str, ServiceFacts]:
    """The services that are plain ASGI applications."""
    return {name: facts for name, facts in sorted(options.services.items()) if facts.asgi}


def _known_services(system: System) -> None:
    """Refuse facts of a service that is not there: they would have no effect.

    One that runs elsewhere, and of which there is no code here, has an address or its needs.
    """
    marks = [contract_mark(cls) for cls in system.contracts]
    options = system.configuration.options
    known = {mark.service for mark in marks if mark} | {
        service_name(cls) for cls in system.services
    }
    apart = {name for name, facts in options.services.items() if facts.needs or facts.command}
    apart |= set(options.discovery.static)
    for table, names in (("services", options.services), ("external", options.external)):
        for name in sorted(set(names) - known - (apart if table == "services" else set())):
            close = difflib.get_close_matches(name, known, 1)
            meant = (
                f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            )
            raise ConfigurationError(
                f"{table}.{name} in the configuration is no service here; {meant}"
            )
    here = {service_name(cls) for cls in system.services}
    for name in sorted(here.intersection(options.external)):
        raise ConfigurationError(
            f"external.{name} in the configuration is a service of this system, too; remove one of the two"
        )


def service_name(cls: type[Service]) -> str:
    """The name of a service: given, or that of its contracts, else of its folder."""
    # It may be an operation of that name, which is a fault of its contract.
    given: object = cls.service_name
    if isinstance(given, str):
        return given
    for contract in contract_classes(cls):
        mark = contract_mark(contract)
        if mark is not None:
            return mark.service
    parts = cls.__module__.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] == "service" else cls.__name__.lower()


def contract_classes(cls: type[Service]) -> list[type[Any]]:
    """The contracts that a service class provides, by inheritance and by `provide`."""
    found = [base for base in cls.__mro__ if contract_mark(base) is not None]
    for base in cls.__mro__:
        for value in vars(base).values():
            if isinstance(value, Provided) and value.contract not in found:
                found.append(value.contract)  # type: ignore[arg-type]
    return found


def _places(
    folder: Path, configuration: Configuration, wanted: Mapping[str, str] | None
) -> list[Place]:
    """Where the classes of the wanted services stand, by module. Raises `ConfigurationError`."""
    named: dict[str, Place] = {}
    for name, facts in configuration.options.services.items():
        ways = [way for way in ("module", "distribution", "asgi", "command") if getattr(facts, way)]
        if len(ways) > 1:
            raise ConfigurationError(
                f"services.{name} has {' and '.join(ways)}; a service is in one place: leave one"
            )
        if ways and ways[0] != "module" and (folder / name / "service.py").is_file():
            raise ConfigurationError(
                f"services.{name}.{ways[0]} is given, and {folder / name / 'service.py'} is there; "
                "remove one of the two"
            )
        if facts.allow and not facts.asgi:
            raise ConfigurationError(
                f"services.{name}.allow is for ASGI applications; "
                "a service's class says so itself, or name its application in asgi"
            )
        if facts.distribution and facts.version:
            raise ConfigurationError(
                f"services.{name}.version is that of the distribution {facts.distribution}; remove the option"
            )
        if facts.module:
            named[name] = Place(facts.module)
        elif facts.distribution and (wanted is None or name in wanted):
            named[name] = place_in(facts.distribution, name)
    found = [
        Place(f"{folder.name}.{place.parent.name}.service")
        for place in sorted(folder.glob("*/service.py"))
        if place.parent.name not in named
    ]
    places = sorted([*found, *named.values()], key=lambda place: place.module)
    return [
        place
        for place in places
        if wanted is None or place.module in wanted.values() or place.service in wanted
    ]


def _imported(name: str, faults: list[Fault]) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except DeclarationFaults as error:
        faults.extend(error.faults)
    except (Exception, SystemExit) as error:
        said = f"does not import: {type(error).__name__}: {error}"
        fault = Fault(f"{name} {said}", "Mend the module", *own_place(error))
        if not any(_is_same(fault, other, said) for other in faults):
            faults.append(fault)
    return None


def _is_same(fault: Fault, other: Fault, said: str) -> bool:
    """Whether one line keeps two modules from importing: a contract, and the service that imports it."""
    is_there = (fault.file, fault.line) == (other.file, other.line) and fault.file is not None
    return is_there and other.message.endswith(said)


def _service_class(place: Place, faults: list[Fault]) -> type[Service] | None:
    module = _imported(place.module, faults)
    if module is None:
        return None
    if place.class_name is None:
        found = _only_class(module)
    else:
        found = _named_class(module, place.class_name)
    if isinstance(found, Fault):
        faults.append(found)
        return None
    if place.service not in (None, service_name(found)):
        faults.append(
            Fault(
                f"the entry point {place.service} leads to the service {service_name(found)!r}",
                "Give both one name",
                *source_place(found),
            )
        )
        return None
    return found


def _only_class(module: ModuleType) -> type[Service] | Fault:
    name = module.__name__
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Service) and value.__module__ == name
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(cls.__name__ for cls in found) or "none"
    return Fault(
        f"{name} defines {len(found)} services ({names})",
        "Define exactly one class that inherits borough.Service",
        module.__file__,
        source_place(found[1])[1] if len(found) > 1 else 1,
    )


def _named_class(module: ModuleType, class_name: str) -> type[Service] | Fault:
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Service):
        return found
    return Fault(
        f"{module.__name__}:{class_name} is no service",
        "Name a class that inherits borough.Service",
        module.__file__,
        1,
    )


def _contracts_of(name: str, faults: list[Fault]) -> list[type[Any]]:
    module = _imported(name, faults)
    if module is None:
        return []
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and contract_mark(value) is not None and value.__module__ == name
    ]


def _contracts_below(folder: Path, faults: list[Fault]) -> list[type[Any]]:
    modules = [
        f"{folder.name}.{place.parent.name}.contract"
        for place in sorted(folder.glob("*/contract.py"))
    ]
    return [found for module in modules for found in _contracts_of(module, faults)]


def _contract_faults(contracts: Sequence[type[Any]]) -> Sequence[Fault]:
    """What is wrong with the contracts themselves, to be told together with what does not import."""
    try:
        read_contracts(contracts)
    except DeclarationFaults as error:
        return error.faults
    return ()
