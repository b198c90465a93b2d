"""`borough contracts`: show what services promise, export it as documents, write clients, import others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from borough.cli.contract_client import add_client, run_client
from borough.cli.contract_import import add_import, run_import
from borough.contracts.operation import Contract
from borough.errors import ConfigurationError

__all__ = ["add"]

_EXAMPLE = """examples:
  borough contracts show --system examples/shop
  borough contracts show orders.Orders --system examples/shop
  borough contracts export --system examples/shop --format openapi > shop.json
  borough contracts export payments --format descriptor --out contracts/
  borough contracts export --system examples/shop --format proto --out protos/
  borough contracts client examples/shop orders --lang typescript --out web/src
  borough contracts import bank.openapi.json --service bank --out ."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "contracts",
        help="show or export what services promise, write clients",
        description="Show or export the contracts of a system, or write clients of them.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="list contracts, or one with its operations and events",
        epilog="example: borough contracts show orders --system examples/shop",
    )
    show.add_argument(
        "--json", action="store_true", help="print the descriptors as one JSON document"
    )
    export = actions.add_parser(
        "export",
        help="write OpenAPI, AsyncAPI, protobuf or descriptors",
        epilog="example: borough contracts export --system examples/shop --public > shop.json",
    )
    export.add_argument(
        "--format", choices=("openapi", "asyncapi", "proto", "descriptor"), default="openapi"
    )
    export.add_argument(
        "--out", metavar="FOLDER", help="write files there instead of standard output"
    )
    export.add_argument(
        "--public",
        action="store_true",
        help="of OpenAPI, AsyncAPI and protobuf only what the edge serves",
    )
    for action in (show, export):
        action.add_argument("name", nargs="?", help="a service or a contract (default: all)")
        action.add_argument(
            "--system", default=".", metavar="PATH", help="the system's folder (default: here)"
        )
    add_client(actions)
    add_import(actions)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.action == "client":
        return run_client(options)
    if options.action == "import":
        return run_import(options)
    from borough.contracts.reading import read_contracts
    from borough.runtime.system import System, contract_classes

    system = System.load(options.system)
    classes = [cls for service in system.services for cls in contract_classes(service)]
    contracts = read_contracts(dict.fromkeys([*classes, *system.contracts]))
    if options.name:
        contracts = [c for c in contracts if options.name in (c.service, c.name, c.wire_name)]
        if not contracts:
            raise ConfigurationError(
                f"there is no service or contract {options.name}; `borough contracts show` lists them"
            )
    contracts.sort(key=lambda contract: contract.wire_name)
    if options.action == "export":
        return _export(options, contracts, system)
    if options.json:
        from borough.contracts.descriptor import describe, to_json

        print(
            msgspec.json.encode(
                [msgspec.Raw(to_json(describe(contract))) for contract in contracts]
            ).decode()
        )
    elif options.name:
        for contract in contracts:
            _details(contract)
    else:
        _list(contracts)
    return 0


def _list(contracts: list[Contract]) -> None:
    width = max((len(contract.wire_name) for contract in contracts), default=0)
    for contract in contracts:
        counts = f"{len(contract.operations)} operations, {len(contract.events)} events"
        name, version = contract.wire_name, contract.mark.version
        print(f"{name:<{width}}  {version:<5} {counts:<26} {_first_line(contract.doc)}")


def _first_line(doc: str) -> str:
    return doc.partition("\n")[0]


def _details(contract: Contract) -> None:
    print(f"{contract.wire_name} {contract.mark.version}: {_first_line(contract.doc)}")
    for operation in contract.operations.values():
        allow = operation.allow
        who = "internal" if allow is None else " ".join([allow.who, *allow.scopes])
        route = f"{operation.mark.method:<6} {operation.path:<36}"
        print(f"  {route} {operation.name:<18} [{who}] {_first_line(operation.doc)}")
        for problem in operation.mark.raises:
            print(f"         {problem.status} {problem.__name__}: {problem.title()}")
    for event in contract.events.values():
        print(
            f"  event  {event.kind.__name__}"
            + (f", in order per {event.key}" if event.key else ", without order")
        )
    if contract.events:
        print(f"  events are retained: {contract.retention.words}")
    print()


def _export(options: argparse.Namespace, contracts: list[Contract], system: Any) -> int:
    from borough.contracts.descriptor import describe, to_json
    from borough.contracts.openapi import openapi

    if options.format == "proto":
        return _write(_protos(options, contracts), options.out)
    descriptors = [describe(contract) for contract in contracts]
    if options.format == "openapi":
        facts = system.configuration.options.system
        document = openapi(
            descriptors, title=facts.name, version=facts.version, public_only=options.public
        )
        content = msgspec.json.format(msgspec.json.encode(document), indent=2)
        files = {f"{facts.name}.openapi.json": content + b"\n"}
    elif options.format == "asyncapi":
        from borough.contracts.asyncapi import asyncapi

        facts = system.configuration.options.system
        document = asyncapi(
            descriptors,
            title=facts.name,
            version=facts.version,
            heard={} if options.public else _heard(system, contracts),
            public_only=options.public,
            exchange_prefix=system.configuration.options.events.rabbitmq.prefix,
        )
        content = msgspec.json.format(msgspec.json.encode(document), indent=2)
        files = {f"{facts.name}.asyncapi.json": content + b"\n"}
    else:
        files = {f"{d.service}.{d.name}.json": to_json(d) + b"\n" for d in descriptors}
    return _write(files, options.out)


def _protos(options: argparse.Namespace, contracts: list[Contract]) -> dict[str, bytes]:
    """The protobuf of the contracts that have operations; numbers that are new are kept at once."""
    from borough.contracts.proto_text import proto_text
    from borough.runtime.proto_locks import ProtoLocks

    locks = ProtoLocks()
    files = [locks.file_of(contract) for contract in contracts]
    for path in locks.save():
        print(f"{path} keeps the numbers", file=sys.stderr)
    shown = [file.public() if options.public else file for file in files]
    return {file.path: proto_text(file).encode() for file in shown if file.methods}


def _write(files: dict[str, bytes], out: str | None) -> int:
    """Print the files, or write them below the folder `out`. Raises `ConfigurationError`."""
    if out is None:
        for content in files.values():
            sys.stdout.write(content.decode())
        return 0
    folder = Path(out)
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            print(folder / name, file=sys.stderr)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from None
    return 0


def _heard(system: Any, contracts: list[Contract]) -> dict[str, list[str]]:
    """The events, by wire name, that each service hears."""
    from borough.runtime.system import service_name
    from borough.services.handlers import ON_MARK

    names = {event.kind: name for contract in contracts for name, event in contract.events.items()}
    found: dict[str, list[str]] = {}
    for cls in system.services:
        marks = [getattr(getattr(cls, name, None), ON_MARK, None) for name in dir(cls)]
        kinds = {kind for mark in marks if mark is not None for kind in mark.events}
        found[service_name(cls)] = sorted(names[kind] for kind in kinds if kind in names)
    return found
