"""`borough run PATH --only orders,payments` and `--only edge`: a part of a system, without a supervisor.

Whoever starts the parts (systemd, Kubernetes, a person) keeps them running; they find each other by
`[discovery]`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from borough.cli.address import Address, forget_address, other_first, write_address
from borough.cli.engines import chosen_engines
from borough.cli.keeping import kept
from borough.cli.output import complain, results, settle_output
from borough.cli.ownership import told_of_owner
from borough.cli.serving import serve
from borough.console.many_processes import fleet_mounts
from borough.console.one_process import tells
from borough.errors import ConfigurationError
from borough.fleet.apart import DoorApart, ServicesApart
from borough.runtime.code import reminders
from borough.runtime.configuration import Configuration
from borough.runtime.footing import run_to_the_end
from borough.runtime.foreign import foreign_names
from borough.runtime.system import System, service_name
from borough.runtime.topology import ONE, all_services, make_topology
from borough.transports.http.wire import EDGE

__all__ = ["run_apart"]


def run_apart(options: argparse.Namespace, flags: Mapping[str, Any]) -> int:
    """Run a part of a system in this process; returns the exit status."""
    names = list(dict.fromkeys(name for name in options.only.replace(",", " ").split()))
    if not names:
        raise ConfigurationError(f"--only {options.only!r} names nothing; name services, or {EDGE}")
    if names == [EDGE]:
        _refuse(
            options,
            "internal_port",
            "grpc_port",
            "mock",
            of="the public door, which runs no service",
        )
        path = Path(options.path).resolve()
        if not path.is_dir():
            raise ConfigurationError(
                f"{options.path} is no folder; name the folder with borough.toml"
            )
        return run_to_the_end(_serve_door(options, flags, path), settle_output)
    if EDGE in names:
        raise ConfigurationError(
            f"--only {options.only}: the public door is a process of its own; start it with --only {EDGE}"
        )
    _refuse(options, "host", "port", of=f"services; the public door is --only {EDGE}")
    return run_to_the_end(_serve_services(options, flags, names), settle_output)


def _refuse(options: argparse.Namespace, *names: str, of: str) -> None:
    for name in names:
        if getattr(options, name) not in (None, []):
            option = "--" + name.replace("_", "-")
            raise ConfigurationError(f"{option} is nothing for a process of {of}; leave it out")


def _chosen(system: System, topology: str, names: Iterable[str]) -> list[str]:
    """The services of this process: named, or those of the named deployables of a topology."""
    here = {service_name(cls) for cls in system.services}
    commands = foreign_names(system.configuration.options.services)
    if topology == ONE:
        homes: dict[str, tuple[str, ...]] = {name: (name,) for name in [*here, *commands]}
        what = "service"
    else:
        written = system.configuration.options.topologies
        made = make_topology(topology, written, sorted(all_services(system)), commands)
        homes = {each.name: each.services for each in made.deployables}
        what = f"deployable of the topology {topology}"
    chosen: list[str] = []
    for name in names:
        if name not in homes:
            close = difflib.get_close_matches(name, homes, 1)
            meant = (
                f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(homes))}"
            )
            raise ConfigurationError(f"--only {name}: there is no {what} {name!r} here; {meant}")
        chosen += homes[name]
    for name in commands:
        if name in chosen:
            raise ConfigurationError(
                f"--only {name}: it is a command, which `borough run --topology` starts beside others; "
                "start it yourself here, and say in [discovery.static] where it listens"
            )
    absent = sorted(set(chosen) - here)
    if absent:
        raise ConfigurationError(
            f"--only: the code of {', '.join(absent)} is not here, so this process cannot run it"
        )
    return list(dict.fromkeys(chosen))


async def _serve_services(
    options: argparse.Namespace, flags: Mapping[str, Any], names: Iterable[str]
) -> int:
    system = System.load(options.path, flags=flags)
    chosen = _chosen(system, options.topology, names)
    folder = system.configuration.data_folder
    for sentence in [*reminders(folder, {}), *told_of_owner(folder)]:
        complain(sentence)
    apart = ServicesApart(system, chosen, options.mock, tells)
    host = apart.process.host

    @contextmanager
    def ready() -> Generator[None, None, None]:
        where = apart.process.internal_url
        grpc = () if apart.process.grpc is None else apart.process.grpc.addresses
        document: dict[str, Any] = {
            "system": system.name,
            "pid": os.getpid(),
            "edge": None,
            "internal": where,
            "grpc": grpc,
            "data": str(host.data_folder),
            "services": chosen,
            "contracts": [
                {
                    "service": each.service,
                    "contract": each.name,
                    "version": each.mark.version,
                    "path": each.path,
                }
                for each in host.contracts
            ],
        }
        found = {name: apart.discovery.replicas(name) for name in sorted(apart.called)}
        rows = [(name, where) for name in chosen]
        rows += [("gRPC", ", ".join(grpc))] if grpc else []
        rows += [
            (name, ", ".join(f"{each.host}:{each.port}" for each in replicas) or "nowhere yet")
            for name, replicas in found.items()
        ]
        results(lambda: _announce(options, document, rows))
        yield

    return await serve(apart, ready)


async def _serve_door(options: argparse.Namespace, flags: Mapping[str, Any], path: Path) -> int:
    configuration = Configuration.load(path, os.environ, flags)
    apart = DoorApart(configuration, fleet_mounts)
    if not configuration.options.telemetry.port:  # where the others would not find it
        return await serve(apart, lambda: _door_ready(options, configuration, apart, ""))
    async with kept(configuration, apart.process.clock) as keeper:
        if keeper is not None:
            apart.process.observer.sinks["the keeper"] = keeper
        where = "" if keeper is None else keeper.url
        return await serve(apart, lambda: _door_ready(options, configuration, apart, where))


@contextmanager
def _door_ready(
    options: argparse.Namespace, configuration: Configuration, apart: DoorApart, otlp: str
) -> Generator[None, None, None]:
    edge = apart.process.edge_url or ""
    found = apart.addresses()
    document: dict[str, Any] = {
        "system": configuration.options.system.name,
        "pid": os.getpid(),
        "edge": edge,
        "internal": None,
        "grpc": (),
        "data": str(configuration.data_folder),
        "services": sorted(apart.called),
        "contracts": [],
    }
    engines = chosen_engines(configuration)
    address = Address(os.getpid(), edge, services=found, otlp=otlp, engines=engines)
    folder = configuration.data_folder
    told = other_first(folder, write_address(folder, address), address)
    if told is not None:
        print(f"borough: {told}", file=sys.stderr)
    try:
        rows = [("docs", f"{edge}/docs")]
        rows += [("otlp", otlp)] if otlp else []
        rows += [(name, found.get(name, "nowhere yet")) for name in document["services"]]
        results(lambda: _announce(options, document, rows))
        yield
    finally:
        forget_address(configuration.data_folder, address)


def _announce(
    options: argparse.Namespace, document: Mapping[str, Any], rows: Iterable[tuple[str, str]]
) -> None:
    if options.json:
        print(msgspec.json.encode(document).decode(), flush=True)
        return
    what = options.only if document["edge"] is None else "the public door"
    print(f"{document['system']}: {what} (pid {document['pid']}), data in {document['data']}\n")
    width = max(len(title) for title, _ in rows)
    for title, where in rows:
        print(f"  {title:<{width}}  {where}")
    print("\nCtrl-C stops.", flush=True)
