"""`borough run PATH`: wire, migrate, start, and serve a system in one process until told to stop.

The first SIGTERM or Ctrl-C drains: not ready, no new connections, what runs ends, events are handed
on. A second one exits at once; everything acknowledged is on disk by then.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.cli.address import Address, forget_address, other_first, write_address
from borough.cli.chosen import port_number
from borough.cli.engines import (
    add_engine_options,
    chosen_engines,
    engine_flags,
    running_engines,
    with_own_engines,
)
from borough.cli.output import complain, results, settle_output
from borough.cli.serving import serve
from borough.errors import ConfigurationError
from borough.runtime.footing import run_to_the_end
from borough.telemetry.logs import begin_logging

if TYPE_CHECKING:
    from borough.gateway.process import Process

__all__ = ["add"]

ONE = "one"
_EXAMPLE = """examples:
  borough run examples/shop
  borough run examples/shop --port 9000 --data /var/lib/shop
  borough run examples/shop --mock payments --set edge.rate_limit=50/s
  borough run examples/shop --topology fleet
  borough run examples/shop --store postgres --broker rabbitmq
  borough run examples/shop --only orders,payments --internal-port 9001
  borough run examples/shop --only edge
  borough run examples/shop --explain"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="run a system in one process or in many",
        description="Wire, migrate, start and serve the services below PATH.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "path",
        nargs="?",
        default=".",
        metavar="PATH",
        help="the folder with borough.toml (default: here)",
    )
    parser.add_argument("--host", help="address of the public listener (edge.host)")
    _add_ports(parser)
    parser.add_argument(
        "--data", metavar="FOLDER", help="where databases, event logs and keys live (data.folder)"
    )
    add_engine_options(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="any option, such as edge.rate_limit=50/s",
    )
    parser.add_argument(
        "--mock",
        action="append",
        default=[],
        metavar="NAMES",
        help="answer the contracts of these services from their examples",
    )
    parser.add_argument(
        "--topology",
        default=ONE,
        metavar="NAME",
        help="`one` process (the default), a `fleet` of one for each service, or one of borough.toml",
    )
    parser.add_argument(
        "--only",
        metavar="NAMES",
        help="run these services (or deployables of --topology), or the public door, `edge`, and find "
        "all others by [discovery]",
    )
    parser.add_argument("--reload", action="store_true", help="start anew when a file changes")
    parser.add_argument(
        "--explain", action="store_true", help="print every option with its source, and stop"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document when ready instead of the table",
    )
    parser.add_argument("--verbose", action="store_true", help="log what happens in detail")
    parser.set_defaults(run=_run)


def _add_ports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=port_number,
        help="port of the public listener (edge.port); 0 picks a free one",
    )
    parser.add_argument(
        "--internal-port",
        type=port_number,
        help="port of the listener for services; 0 picks a free one",
    )
    parser.add_argument(
        "--grpc-port",
        type=port_number,
        metavar="PORT",
        help="serve gRPC to the public, too, on this port (grpc.port); 0 picks a free one",
    )


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    flags: dict[str, Any] = {
        "edge.host": options.host,
        "edge.port": options.port,
        "internal.port": options.internal_port,
        "grpc.port": options.grpc_port,
        "data.folder": str(Path(options.data).resolve()) if options.data else None,
        **engine_flags(options),
    }
    for pair in options.set:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {pair}: write OPTION=VALUE")
        flags[name] = value
    return flags


def _run(options: argparse.Namespace) -> int:
    begin_logging(logging.DEBUG if options.verbose else logging.INFO)
    options.mock = [name for given in options.mock for name in _names(given)]
    if options.explain:
        return _explain(options)
    if options.reload:
        from borough.cli.reload import run_and_reload

        return run_and_reload(Path(options.path))
    if options.only is not None:
        from borough.cli.apart import run_apart

        return run_apart(options, running_engines(Path(options.path), _flags(options)))
    from borough.runtime.configuration import Configuration
    from borough.runtime.foreign import foreign_names

    own_flags = _flags(options)
    configuration = Configuration.load(Path(options.path).resolve(), os.environ, own_flags)
    has_commands = bool(foreign_names(configuration.options.services, options.mock))
    with with_own_engines(configuration, own_flags, options.mock) as flags:
        if options.topology != ONE or has_commands:  # what is no Python has a process of its own
            from borough.cli.fleet import run_fleet

            return run_fleet(options, flags)
        return run_to_the_end(_serve(options, flags), settle_output)


def _names(given: str) -> list[str]:
    found = given.replace(",", " ").split()
    if not found:
        raise ConfigurationError(f"--mock {given!r} names nothing; name services")
    return found


def _explain(options: argparse.Namespace) -> int:
    from borough.runtime.mocks import mocked
    from borough.runtime.system import System
    from borough.runtime.wiring import make_plan
    from borough.services.identity import TokenIssuer

    system, _ = mocked(System.load(options.path, flags=_flags(options)), options.mock)
    plan = make_plan(system, resources=_known_resources(TokenIssuer), stand_ins=system.contracts)
    for service in plan.services.values():
        for kind in service.settings.values():
            system.configuration.settings(service.name, kind)
    for sentence in system.configuration.unread_variables(plan.absent_services):
        print(sentence, file=sys.stderr)
    if options.json:
        known = system.configuration.explained()
        found = [
            {"option": name, "value": value, "source": source} for name, value, source in known
        ]
        print(msgspec.json.encode(found).decode())
        return 0
    rows = system.configuration.explain()
    width = max(len(name) for name, _, _ in rows)
    for name, value, source in rows:
        print(f"{name:<{width}}  {value}  ({source})")
    return 0


def _known_resources(issuer: type[Any]) -> list[type[Any]]:
    from borough.runtime.host import OWN_RESOURCES

    return [issuer, *OWN_RESOURCES]


async def _serve(options: argparse.Namespace, flags: Mapping[str, Any]) -> int:
    from borough.cli.keeping import kept
    from borough.cli.ownership import told_of_owner
    from borough.console.one_process import mounts
    from borough.gateway.process import Process
    from borough.runtime.code import reminders
    from borough.runtime.mocks import mocked
    from borough.runtime.system import System
    from borough.runtime.topology import ONE, faults_of_others

    system, stand_ins = mocked(System.load(options.path, flags=flags), options.mock)
    edge, internal = system.configuration.options.edge, system.configuration.options.internal
    folder, others = system.configuration.data_folder, faults_of_others(system, ONE)
    for sentence in [*reminders(folder, {}), *told_of_owner(folder), *others]:
        complain(sentence)
    process = Process(
        system, stand_ins=stand_ins, edge_port=edge.port, internal_port=internal.port, mounts=mounts
    )
    rows: list[tuple[str, str]] = []

    @contextmanager
    def ready() -> Generator[None, None, None]:
        otlp = keeper.url if keeper is not None else ""
        engines = chosen_engines(system.configuration)
        address = Address(
            os.getpid(), process.edge_url, process.internal_url, otlp=otlp, engines=engines
        )
        told = other_first(folder, write_address(folder, address), address)
        if told is not None:
            print(f"borough: {told}", file=sys.stderr)
        try:
            results(lambda: _announce(options, process, address, stand_ins, rows))
            yield
        finally:
            forget_address(folder, address)

    async with kept(system.configuration, process.clock) as keeper:
        if keeper is not None:
            process.observer.sinks["the keeper"] = keeper
            rows.append(("otlp", keeper.url))
        return await serve(process, ready)


def _announce(
    options: argparse.Namespace,
    process: Process,
    address: Address,
    stand_ins: Mapping[type[Any], Any],
    further: Sequence[tuple[str, str]],
) -> None:
    from borough.console.mounting import FORMER
    from borough.runtime.applications import Application

    host = process.host
    if options.json:
        document = {
            "system": host.system.name,
            "pid": address.pid,
            "edge": address.edge,
            "internal": address.internal,
            "grpc": () if process.grpc is None else process.grpc.addresses,
            "data": str(host.data_folder),
            "contracts": [
                {
                    "service": c.service,
                    "contract": c.name,
                    "version": c.mark.version,
                    "path": c.path,
                }
                for c in host.contracts
            ],
        }
        print(msgspec.json.encode(document).decode(), flush=True)
        return
    name, folder = host.system.name, host.data_folder
    print(f"{name} runs in one process (pid {address.pid}), data in {folder}\n")
    edge = process.system.configuration.options.edge
    rows = [("page", f"{address.edge}/")] if edge.pages else []
    rows += [(path[1:], f"{address.edge}{path}") for path in process.mounted if path != FORMER]
    rows += [("docs", f"{address.edge}/docs"), ("internal", address.internal), *further]
    if process.grpc is not None:
        rows.append(("gRPC", ", ".join(process.grpc.addresses)))
    for contract in host.contracts:
        mock = " (mock)" if contract.cls in stand_ins else ""
        public = any(operation.public for operation in contract.operations.values())
        where = f"{address.edge}{contract.path}" if public else "for services only"
        rows.append((f"{contract.name} {contract.mark.version}{mock}", where))
    rows += [
        (service.name, f"{address.edge}/{service.name}")
        for service in host.services.values()
        if isinstance(service.instance, Application)
    ]
    externals = host.configuration.options.external
    mocked = {contract.service for contract in host.contracts if contract.cls in stand_ins}
    rows += [
        (name, f"elsewhere, at {found.url}")
        for name, found in sorted(externals.items())
        if name not in mocked
    ]
    width = max(len(title) for title, _ in rows)
    for title, where in rows:
        print(f"  {title:<{width}}  {where}")
    print("\nCtrl-C stops.", flush=True)
