"""`borough rollout search --from WHEEL`: let a service of a running fleet come to another version."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from borough.cli.output import complain
from borough.cli.scale import add_fleet, fleet_folder

__all__ = ["add"]

_EXAMPLE = """examples:
  borough rollout search --from dist/search-1.1.0-py3-none-any.whl
  borough rollout search --from ../shop-next --system examples/shop
  borough rollout search --from ../shop --json    back to an earlier version"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "rollout",
        help="let a service of a running fleet come to another version",
        description="Start new replicas of a service with other code, one by one: each is ready and has "
        "answered beside the old ones for a while before an old one finishes and ends. What does not fit "
        "what runs is refused before anything starts, and trouble brings the old ones back.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="PATH",
        help="a wheel, or the folder of a system with another version of the service",
    )
    add_fleet(parser)
    parser.add_argument("--json", action="store_true", help="print what has become of it as JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from borough.fleet.commands import Rollout, ask_fleet

    request = Rollout(options.service, str(Path(options.source).resolve()))
    answer = ask_fleet(fleet_folder(options), request, complain)
    if options.json and answer.facts:
        print(msgspec.json.encode(answer.facts).decode())
    elif answer.status:
        print(f"borough: {answer.sentence}", file=sys.stderr)
    else:
        print(answer.sentence)
    return answer.status
