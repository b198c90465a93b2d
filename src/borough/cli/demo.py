"""`borough demo`: the example shop under traffic, and the proof that nothing was lost or doubled.

The demo belongs to the shop, and nothing of the shop is imported before it is asked for: this finds
the shop, in a checkout or in the installed package, and hands over.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from borough.cli.chosen import port_number
from borough.cli.engines import add_engine_options, engine_flags
from borough.errors import ConfigurationError

__all__ = ["add"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_CUSTOMERS = 1000
"""Beyond them they would have no files for their connections, and a machine nothing but them to do."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="watch a five-service shop take orders",
        description="Starts the example shop with a card issuer and customers, each a process of "
        "its own, and shows what happens until Ctrl-C. The shop is one process, or one for each of its "
        "services and a public door. Then it compares the five databases with "
        "each other and with three ledgers outside of them. Exit status 1 if anything was lost, "
        "doubled or wrong, or a scenario did not keep what it promises.",
        epilog="examples:\n  borough demo --for 10s --json\n  borough demo --topology fleet\n"
        "  borough demo --store postgres --broker rabbitmq\n"
        "  borough demo --store orders=postgres,payments=postgres --broker kafka\n"
        "  borough demo --topology fleet --scenario flash-sale\n  borough demo --polyglot",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--for", dest="seconds", type=_seconds, metavar="10s", help="then stop")
    parser.add_argument(
        "--topology", default="one", metavar="NAME", help="one process (one), or one each (fleet)"
    )
    add_engine_options(parser)
    parser.add_argument(
        "--polyglot",
        action="store_true",
        help="notifications are a TypeScript service in Node, built by `make polyglot`",
    )
    parser.add_argument(
        "--scenario",
        choices=["flash-sale"],
        help="of a fleet: ten times as many search, and search goes to three replicas and back",
    )
    parser.add_argument("--json", action="store_true", help="a summary as the last line of output")
    parser.add_argument("--seed", type=int, default=1, help="of what customers do (1)")
    parser.add_argument("--in-flight", type=_customers, default=8, help="how many customers (8)")
    parser.add_argument(
        "--port", type=port_number, default=0, help="of the shop (8080 if it is free)"
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="keep everything here")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    parser.add_argument("--measure", action="store_true", help="memory as JSON on standard error")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    shop = _shop_folder(Path(__file__).resolve().parents[1])
    _refuse_unknown(options.topology, shop)
    sys.path.insert(0, str(shop.parent))
    show = importlib.import_module("shop.demo.show")
    wishes = show.Wishes(
        shop=shop,
        seconds=options.seconds,
        seed=options.seed,
        in_flight=options.in_flight,
        port=options.port,
        data=options.data,
        keep=options.keep,
        as_json=options.json,
        measure=options.measure,
        topology=options.topology,
        engines=engine_flags(options),
        scenario=options.scenario,
        is_polyglot=options.polyglot,
    )
    return int(show.show(wishes))


def _refuse_unknown(topology: str, shop: Path) -> None:
    """Raise `ConfigurationError` before anything is begun."""
    from borough.runtime.configuration import Configuration

    written = Configuration.load(shop, os.environ).options.topologies
    known = ["one", "fleet", *written]
    if topology not in known:
        raise ConfigurationError(f"there is no topology {topology!r}; there are {', '.join(known)}")


def _shop_folder(package: Path) -> Path:
    """Where the shop is: in the package when it was installed, beside `src` in a checkout."""
    for folder in (package / "examples" / "shop", package.parents[1] / "examples" / "shop"):
        if (folder / "borough.toml").exists():
            return folder
    raise ConfigurationError(f"The example shop is not beside {package}; install borough anew")


def _seconds(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 10s, 2m or 1h")
    return seconds


def _customers(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_CUSTOMERS:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no number of customers, from 1 to {_MOST_CUSTOMERS}"
    )
