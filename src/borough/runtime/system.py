"""A system is a value: service classes and the configuration that goes with them. Nothing registers itself.

Services of a folder are found by convention: each subfolder with a `service.py` is a service of
the package that the folder is, and that module defines exactly one `Service` subclass.
"""

from __future__ import annotations

import difflib
import importlib
import keyword
import os
import re
import sys
import traceback
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from borough.contracts.reading import contract_mark, read_contracts, source_place
from borough.errors import ConfigurationError, DeclarationFaults, Fault
from borough.runtime.configuration import CONFIGURATION_FILE, Configuration
from borough.services.service import Provided, Service

__all__ = ["System", "contract_classes", "service_name"]


class System:
    """All services of one product: classes and configuration. Inert until a `Host` runs it.

    `contracts` lists contract classes that no class here provides (mocked, or run elsewhere).
    """

    def __init__(
        self,
        services: Sequence[type[Service]],
        *,
        configuration: Configuration | None = None,
        contracts: Sequence[type[Any]] = (),
    ) -> None:
        self.services = tuple(services)
        self.configuration = configuration or Configuration.load(Path.cwd() / ".no-such-folder", {})
        self.contracts = tuple(contracts)

    def narrowed(self, services: Sequence[type[Service]]) -> System:
        """The same system with these services only; the contracts of the others stay known."""
        left_out = [
            found for cls in self.services if cls not in services for found in contract_classes(cls)
        ]
        return System(
            services, configuration=self.configuration, contracts=[*self.contracts, *left_out]
        )

    def configured(self, configuration: Configuration) -> System:
        """The same services with another configuration."""
        return System(self.services, configuration=configuration, contracts=self.contracts)

    @property
    def name(self) -> str:
        """The system's name in borough.toml."""
        return self.configuration.options.system.name

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        flags: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        modules: Collection[str] | None = None,
    ) -> System:
        """Find the services below `path`, a package folder with a borough.toml.

        `modules` are those of the services that are wanted, where not all are; the others' code is
        not imported, and their contracts are known.
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
        found = _service_modules(folder, configuration) if modules is None else sorted(modules)
        if not found and not any(folder.glob("*/contract.py")):
            raise ConfigurationError(
                f"{folder} has no services: a service is a subfolder with a service.py (docs/start.md)"
            )
        _enter_package(folder)
        faults: list[Fault] = []
        contracts = [
            contract
            for place in sorted(folder.glob("*/contract.py"))
            for contract in _contracts_of(f"{folder.name}.{place.parent.name}.contract", faults)
        ]
        services = [
            service for name in found if (service := _service_class(name, faults)) is not None
        ]
        if faults:
            raise DeclarationFaults([*_contract_faults(contracts), *faults])
        system = cls(services, configuration=configuration, contracts=contracts)
        if modules is None:
            _known_services(system)
        return system


def _enter_package(folder: Path) -> None:
    """Make the folder importable as the package of its name. Raises `ConfigurationError`."""
    places = {
        place.parent for name in ("service.py", "contract.py") for place in folder.glob(f"*/{name}")
    }
    for place in (folder, *sorted(places)):
        if not place.name.isidentifier() or keyword.iskeyword(place.name):
            other = re.sub(r"\W", "_", place.name)
            remedy = f"rename it, for example to {other}" if other.isidentifier() else "rename it"
            raise ConfigurationError(
                f"the folder {place} is a Python package, and {place.name!r} is no name for one; {remedy}"
            )
    if str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    try:
        package = importlib.import_module(folder.name)
    except Exception:
        return  # its modules fail in the same way, each told with its place
    if str(folder) not in [os.path.realpath(path) for path in getattr(package, "__path__", ())]:
        other = getattr(package, "__file__", None) or "Python itself"
        raise ConfigurationError(
            f"the folder {folder} cannot be imported: the module {folder.name} is {other}; rename the folder"
        )


def _known_services(system: System) -> None:
    """Refuse facts of a service that is not there: they would have no effect."""
    marks = [contract_mark(cls) for cls in system.contracts]
    known = {mark.service for mark in marks if mark} | {
        service_name(cls) for cls in system.services
    }
    for name in sorted(set(system.configuration.options.services) - known):
        close = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
        raise ConfigurationError(
            f"services.{name} in the configuration is no service here; {meant}"
        )


def service_name(cls: type[Service]) -> str:
    """The name of a service: given, or that of its contracts, else of its folder."""
    if cls.service_name is not None:
        return cls.service_name
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


def _service_modules(folder: Path, configuration: Configuration) -> list[str]:
    named = {
        name: facts.module for name, facts in configuration.options.services.items() if facts.module
    }
    found = [
        f"{folder.name}.{place.parent.name}.service"
        for place in sorted(folder.glob("*/service.py"))
        if place.parent.name not in named
    ]
    return sorted([*found, *named.values()])


def _imported(name: str, faults: list[Fault]) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except DeclarationFaults as error:
        faults.extend(error.faults)
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        here = [
            frame
            for frame in frames
            if "importlib" not in frame.filename and frame.filename != __file__
        ]
        place = here[-1] if here else None
        file, line = (place.filename, place.lineno) if place else (None, None)
        if isinstance(error, SyntaxError) and error.filename:
            file, line = error.filename, error.lineno
        faults.append(
            Fault(
                f"{name} does not import: {type(error).__name__}: {error}",
                "Mend the module",
                file,
                line,
            )
        )
    return None


def _service_class(name: str, faults: list[Fault]) -> type[Service] | None:
    module = _imported(name, faults)
    if module is None:
        return None
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Service) and value.__module__ == name
    ]
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found) or "none"
        faults.append(
            Fault(
                f"{name} defines {len(found)} services ({names})",
                "Define exactly one class that inherits borough.Service",
                module.__file__,
                source_place(found[1])[1] if len(found) > 1 else 1,
            )
        )
        return None
    return found[0]


def _contracts_of(name: str, faults: list[Fault]) -> list[type[Any]]:
    module = _imported(name, faults)
    if module is None:
        return []
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and contract_mark(value) is not None and value.__module__ == name
    ]


def _contract_faults(contracts: Sequence[type[Any]]) -> Sequence[Fault]:
    """What is wrong with the contracts themselves, to be told together with what does not import."""
    try:
        read_contracts(contracts)
    except DeclarationFaults as error:
        return error.faults
    return ()
