"""`borough contracts import`: a typed contract of a service elsewhere, from its own document."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.cli.contract_client import python_package, write_files
from borough.errors import ConfigurationError

if TYPE_CHECKING:
    from borough.contracts.imported_openapi import Imported

__all__ = ["add_import", "run_import"]

_EXAMPLE = """examples:
  borough contracts import bank.openapi.json --service bank --out .
  borough contracts import bank.openapi.json --service bank --contract Payments > payments.py"""
_SERVICE = re.compile(r"[a-z][a-z0-9_-]*\Z")
_CONTRACT = re.compile(r"[A-Z][A-Za-z0-9]*\Z")


def add_import(actions: Any) -> None:
    """Add the action to `borough contracts`."""
    wanted = actions.add_parser(
        "import",
        help="write a typed contract of a service elsewhere from its OpenAPI document",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    wanted.add_argument("file", help="an OpenAPI 3 document, as JSON")
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
        help="what the contract is called (default: as the service)",
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
    found = _imported(options)
    source = Path(options.file).name
    write_files(python_package(found.descriptor, source), options.out)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    count = len(found.descriptor.operations)
    print(f"{found.descriptor.wire_name}: {count} operations", file=sys.stderr)
    return 0


def _imported(options: argparse.Namespace) -> Imported:
    from borough.cli.contract_source import read_text
    from borough.contracts.imported_openapi import imported_openapi

    try:
        document = msgspec.json.decode(read_text(options.file), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{options.file} is no JSON document: {error}; write OpenAPI as JSON"
        ) from None
    try:
        return imported_openapi(document, service=options.service, name=options.contract)
    except ConfigurationError as error:
        raise ConfigurationError(f"{options.file}: {error}") from None
