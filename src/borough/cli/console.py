"""`borough console`: opens the console of a running system in a browser, or prints where it is."""

from __future__ import annotations

import argparse
import webbrowser
from typing import Any

import msgspec

from borough.cli.address import read_address
from borough.cli.trace import add_place, data_folder
from borough.errors import ConfigurationError

__all__ = ["add"]

_EXAMPLE = """examples:
  borough console --system examples/shop
  borough console --system examples/shop --print
  borough console services/orders --system examples/shop"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "console",
        help="open the console of a running system in a browser",
        description="The console shows who talks to whom, traces, services, events and alerts.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "page",
        nargs="?",
        default="",
        metavar="PAGE",
        help="map, traces, services, events or alerts, or below one of them (map)",
    )
    parser.add_argument(
        "--print", dest="only_print", action="store_true", help="print its address and stop"
    )
    add_place(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    address = read_address(data_folder(options))
    if not address.edge:
        raise ConfigurationError("this system has no public listener, and so no console")
    page = options.page.strip("/")
    url = f"{address.edge}/console/" + (f"#/{page}" if page else "")
    if options.json:
        print(msgspec.json.encode({"url": url}).decode())
        return 0
    print(url, flush=True)
    if not options.only_print:
        webbrowser.open(url)
    return 0
