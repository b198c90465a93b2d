"""`borough contracts import`: a typed contract of a service elsewhere, from its OpenAPI or `.proto` file."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.cli.contract_client import python_package, write_files
from borough.cli.output import complain
from borough.contracts.unreadable import UNREADABLE
from borough.errors import ConfigurationError
from borough.telemetry.plain import plain

if TYPE_CHECKING:
    from borough.contracts.imported import Imported

__all__ = ["add_import", "run_import"]

_EXAMPLE = """examples:
  borough contracts import bank.openapi.json --service bank --out .
  borough contracts import bank.openapi.json --service bank --contract Payments > payments.py
  borough contracts import rates.proto --service rates --contract RateService --out ."""
_SERVICE = re.compile(r"[a-z][a-z0-9_-]*\Z")
_CONTRACT = re.compile(r"[A-Z][A-Za-z0-9]*\Z")


def add_import(actions: Any) -> None:
    """Add the action to `borough contracts`."""
    wanted = actions.add_parser(
        "import",
        help="write a typed contract of a service elsewhere from its OpenAPI or .proto file",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    wanted.add_argument("file", help="an OpenAPI 3 document as JSON, or a .proto file")
    wanted.add_argument(
        "--service",
        default="",
        metavar="NAME",
        help="what the service is called here (default: by its title)",
    )
    wanted.add_argument(
        "--contract",
        default="",
        metavar="NAME",
        help="what the contract is called (default: as the service); of a .proto file, which service",
    )
    wanted.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where a .proto file's imports are looked for besides its own folder; may be repeated",
    )
    wanted.add_argument(
        "--out",
        metavar="FOLDER",
        help="write a package there instead of a module to standard output",
    )


def run_import(options: argparse.Namespace) -> int:
    """Run the action. Raises `ConfigurationError`."""
    if options.service and not _SERVICE.match(options.service):
        raise ConfigurationError(
            f"--service {options.service!r} is no name of a service; use lower-case letters, digits, - and _"
        )
    if options.contract and not _CONTRACT.match(options.contract):
        raise ConfigurationError(
            f"--contract {options.contract!r} is no name of a contract; use a class name, such as Payments"
        )
    path = Path(options.file)
    if path.suffix == ".proto":
        files, found = _of_proto(options, path)
    else:
        found = _of_openapi(options)
        files = python_package(found.descriptor, path.name)
    write_files(files, options.out)
    for note in found.notes:
        complain(f"note: {plain(note)}")
    count = len(found.descriptor.operations)
    print(f"{found.descriptor.wire_name}: {count} operations", file=sys.stderr)
    return 0


def _of_openapi(options: argparse.Namespace) -> Imported:
    from borough.cli.contract_source import read_text
    from borough.contracts.imported_openapi import imported_openapi

    try:
        document = msgspec.json.decode(read_text(options.file), type=dict[str, Any])
    except UNREADABLE as error:
        raise ConfigurationError(
            f"{options.file} is no JSON document: {error}; write OpenAPI as JSON"
        ) from None
    try:
        return imported_openapi(document, service=options.service, name=options.contract)
    except ConfigurationError as error:
        raise ConfigurationError(f"{options.file}: {error}") from None


def _of_proto(options: argparse.Namespace, path: Path) -> tuple[dict[str, str | bytes], Imported]:
    """The package of a contract, with the compiled file that calls need; and what was found."""
    from borough.cli.proto_compiler import compiled_proto, proto_files
    from borough.contracts.imported_proto import imported_proto

    compiled = compiled_proto(path, [Path(each) for each in options.include])
    found = imported_proto(proto_files(compiled), service=options.service, name=options.contract)
    files = python_package(found.descriptor, path.name)
    folder = next(iter(files)).rpartition("/")[0]
    return {**files, f"{folder}/{path.stem}.binpb": compiled}, found
