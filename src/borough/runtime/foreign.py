"""Services that are commands: programs in any language, which a supervisor starts beside those in Python.

Here is what borough.toml says of them, read and judged; fleet/foreign.py starts one.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from borough.contracts.operation import Contract
from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration
from borough.runtime.options import Options
from borough.runtime.service_facts import ServiceFacts
from borough.services.settings import Secret
from borough.transports.http.wire import EDGE

__all__ = ["ForeignService", "foreign_names", "foreign_services"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_OF_COMMANDS = ("folder", "port", "ready", "environment")
_OF_CODE = ("store", "settings")
_PLAIN = ServiceFacts()


class ForeignService(msgspec.Struct, frozen=True, kw_only=True):
    """A service that is a command, and what it is started with."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    port: int | None
    ready: str
    environment: Mapping[str, str]
    """What borough.toml adds, references resolved."""
    secrets: tuple[Secret, ...]
    """Those that references stood for: the command's last words are told, and hide what is held here."""
    needs: Mapping[str, Contract]
    """The contracts, by wire name, that it may call, as this system knows them."""
    version: str

    @property
    def called(self) -> frozenset[str]:
        """The services that it calls."""
        return frozenset(contract.service for contract in self.needs.values())


def foreign_names(services: Mapping[str, ServiceFacts], but: Collection[str] = ()) -> list[str]:
    """The services that are commands, without those of `but`.

    Raises `ConfigurationError` for facts of a command where none is given, and for others where one is.
    """
    for name, facts in services.items():
        for option in _OF_CODE if facts.command else ():
            if getattr(facts, option) != getattr(_PLAIN, option):
                raise ConfigurationError(
                    f"services.{name}.{option} is for a service in Python, and services.{name}.command is given; "
                    "tell the program what it must know in environment, and remove the option"
                )
        for option in _OF_COMMANDS if not facts.command else ():
            if getattr(facts, option) != getattr(_PLAIN, option):
                raise ConfigurationError(
                    f"services.{name}.{option} is for a service that is a command; "
                    "name its program in command, or remove the option"
                )
    return sorted(name for name, facts in services.items() if facts.command and name not in but)


def foreign_services(
    configuration: Configuration, contracts: Mapping[str, Contract], but: Collection[str] = ()
) -> dict[str, ForeignService]:
    """The services that are commands, by name, without those of `but`; `contracts` are all that there are.

    Raises `ConfigurationError` for one that could not be started.
    """
    services = configuration.options.services
    _refuse_shared_ports(configuration.options)
    return {
        name: _read(configuration, name, services[name], contracts)
        for name in foreign_names(services, but)
    }


def _read(
    configuration: Configuration, name: str, facts: ServiceFacts, contracts: Mapping[str, Contract]
) -> ForeignService:
    where = f"services.{name}"
    if not _NAME.fullmatch(name) or name in (EDGE, "borough"):
        raise ConfigurationError(
            f"{where} is no name for a service; use lower-case letters, digits, - and _, "
            f"and neither {EDGE} nor borough, which Borough is itself"
        )
    if not re.fullmatch(r"/[!-~]*", facts.ready):
        raise ConfigurationError(
            f'{where}.ready is {facts.ready!r}, which is no path; write it like "/readyz"'
        )
    for need in facts.needs:
        if need not in contracts:
            close = difflib.get_close_matches(need, contracts, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(contracts)}"
            raise ConfigurationError(
                f"{where}.needs has {need}, which is no contract here; {meant}"
            )
    folder = (configuration.folder / (facts.folder or ".")).resolve()
    if not folder.is_dir():
        raise ConfigurationError(
            f"{where}.folder is {folder}, which is no folder; build the service, or mend the path"
        )
    environment, secrets = configuration.variables(name)
    _refuse_unsayable(where, facts.command, environment)
    path = environment.get("PATH", configuration.environment.get("PATH"))
    _refuse_absent(f"{where}.command", facts.command[0], folder, path)
    options = configuration.options
    return ForeignService(
        name=name,
        argv=facts.command,
        folder=folder,
        port=facts.port or None,
        ready=facts.ready,
        environment=environment,
        secrets=secrets,
        needs={need: contracts[need] for need in facts.needs},
        version=facts.version or options.system.version,
    )


def _refuse_shared_ports(options: Options) -> None:
    """Two cannot listen at one port, and what answers there would be taken for the other."""
    holders = {options.edge.port: "edge.port", options.internal.port: "internal.port"}
    for name, facts in sorted(options.services.items()):
        if facts.command and facts.port:
            option = f"services.{name}.port"
            other = holders.setdefault(facts.port, option)
            if other != option:
                raise ConfigurationError(
                    f"{option} and {other} are both {facts.port}; give one of them another port"
                )


def _refuse_unsayable(where: str, argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """What no process can be given, or what it is told by Borough."""
    if not argv[0]:
        raise ConfigurationError(f"{where}.command names no program; write it first")
    if any("\0" in word for word in argv):
        raise ConfigurationError(f"{where}.command has a zero byte; remove it")
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name:
            raise ConfigurationError(
                f"{where}.environment has {name!r}, which is no name of a variable; mend it"
            )
        if name == "PORT":
            raise ConfigurationError(
                f"{where}.environment.PORT is told by Borough, which asks there; write {where}.port"
            )
        if "\0" in value:
            raise ConfigurationError(
                f"{where}.environment.{name} has a zero byte, which no variable can have; remove it"
            )


def _refuse_absent(option: str, program: str, folder: Path, path: str | None) -> None:
    if os.sep not in program:
        if shutil.which(program, path=path) is None:
            raise ConfigurationError(
                f"{option}: {program} was not found on the PATH; install it, or write its whole path"
            )
        return
    place = folder / program
    if place.is_dir():
        raise ConfigurationError(f"{option}: {place} is a folder; name the program in it")
    if not place.is_file():
        raise ConfigurationError(
            f"{option}: {place} is not there; build the service, or mend the path"
        )
    if not os.access(place, os.X_OK):
        raise ConfigurationError(
            f"{option}: {place} is not executable; chmod +x it, or write its interpreter before it"
        )
