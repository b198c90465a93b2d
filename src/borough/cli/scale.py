"""`borough scale search=3`: have so many replicas of a deployable in a running fleet."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from borough.cli.output import complain
from borough.errors import ConfigurationError

__all__ = ["add", "add_fleet", "fleet_folder"]

_DIGITS = 9
"""Of a count: with thousands of them Python refuses to read it."""
_EXAMPLE = """examples:
  borough scale search=3 --system examples/shop
  borough scale search=1 orders=2 --data /var/lib/shop"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "scale",
        help="change how many replicas a deployable of a running fleet has",
        description="Have so many replicas of each named deployable. New ones take calls once they are "
        "ready; those that go finish what they do first. It ends when that is so.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("replicas", nargs="+", metavar="NAME=COUNT", help="such as search=3")
    add_fleet(parser)
    parser.add_argument("--json", action="store_true", help="print the replicas as JSON")
    parser.set_defaults(run=_run)


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which running fleet is meant, for `fleet_folder`."""
    parser.add_argument(
        "--system", default=".", metavar="PATH", help="the system's folder (default: here)"
    )
    parser.add_argument("--data", metavar="FOLDER", help="its data folder, where not the usual one")


def _run(options: argparse.Namespace) -> int:
    from borough.fleet.commands import Scale, ask_fleet

    wanted: dict[str, int] = {}
    for pair in options.replicas:
        name, equals, count = pair.partition("=")
        if not name or not equals or not count.isdecimal() or len(count) > _DIGITS:
            raise ConfigurationError(f"{pair!r}: write NAME=COUNT, such as search=3")
        if name in wanted:
            raise ConfigurationError(f"{name} is named twice; say once how many it is to have")
        wanted[name] = int(count)
    answer = ask_fleet(fleet_folder(options), Scale(wanted), complain)
    if answer.status:
        print(f"borough: {answer.sentence}", file=sys.stderr)
    elif not options.json:
        print(answer.sentence)
    if options.json and answer.facts:
        print(msgspec.json.encode(answer.facts).decode())
    return answer.status


def fleet_folder(options: argparse.Namespace) -> Path:
    """The data folder of the fleet that is meant. Raises `ConfigurationError`."""
    from borough.runtime.configuration import Configuration

    if options.data:
        return Path(options.data).resolve()
    folder = Path(options.system).resolve()
    if not folder.is_dir():
        raise ConfigurationError(
            f"{options.system} is no folder; name that of the system with --system"
        )
    return Configuration.load(folder, os.environ).data_folder
