"""`borough certs`: a CA and certificates for development, by which services prove themselves (mTLS)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.cli.chosen import chosen_services

if TYPE_CHECKING:
    from borough.gateway.certificates import Kept

__all__ = ["add"]

_EXAMPLE = """examples:
  borough certs examples/shop
  borough certs examples/shop --services payments,search --days 7
  borough certs examples/shop --renew"""
_LONGEST_DAYS = 3650


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "certs",
        help="make a CA and certificates for development",
        description="Make a development CA, once, and a certificate for each service of the system and for the edge.",
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
    parser.add_argument(
        "--services", metavar="NAMES", help="for these only, with commas between (default: all)"
    )
    parser.add_argument(
        "--days", type=_days, default=30, metavar="N", help="how long they count (default: 30)"
    )
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where they lie (default: certs in the data folder)"
    )
    parser.add_argument(
        "--renew", action="store_true", help="make them anew, also where the old ones still count"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_run)


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to {_LONGEST_DAYS}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from borough.clock import SystemClock
    from borough.gateway.certificates import make_certificates
    from borough.gateway.spiffe import trust_domain
    from borough.runtime.foreign import foreign_names
    from borough.runtime.system import System, service_name
    from borough.transports.http.wire import EDGE

    system = System.load(options.path)
    configuration = system.configuration
    # The public door of a fleet proves itself like a service.
    commands = foreign_names(configuration.options.services)
    known = sorted({EDGE, *(service_name(cls) for cls in system.services), *commands})
    domain = trust_domain(system.name, configuration.options.internal.tls.trust_domain)
    folder = Path(options.folder) if options.folder else configuration.data_folder / "certs"
    kept = make_certificates(
        folder,
        domain,
        chosen_services(options.services, known),
        SystemClock(),
        days=options.days,
        renew=options.renew,
    )
    if options.json:
        print(msgspec.json.encode(_document(kept, domain)).decode())
        return 0
    _tell(kept)
    if not configuration.options.internal.tls.is_on:
        _tell_options(folder, configuration.folder)
    return 0


def _document(kept: list[Kept], domain: str) -> dict[str, Any]:
    certificates = [
        {
            "name": each.name,
            "id": each.id,
            "certificate": str(each.certificate),
            "key": str(each.key),
            "expires": each.expires,
            "done": each.done,
        }
        for each in kept
    ]
    return {"trust_domain": domain, "ca": certificates[0], "services": certificates[1:]}


def _tell(kept: list[Kept]) -> None:
    names = max(len(each.name) for each in kept)
    ids = max(len(each.id) for each in kept)
    for each in kept:
        until = f"{each.expires:%Y-%m-%d %H:%M} UTC"
        print(
            f"{each.name:<{names}}  {each.id:<{ids}}  until {until}  {each.done}  {each.certificate}"
        )


def _tell_options(folder: Path, home: Path) -> None:
    where = folder.resolve()
    shown = where.relative_to(home.resolve()) if where.is_relative_to(home.resolve()) else where
    print(
        "\nTLS is off. These lines in borough.toml switch it on:\n\n"
        "[internal.tls]\n"
        f'ca = "{shown}/ca.pem"\n'
        f'certificate = "{shown}/{{service}}.pem"\n'
        f'key = "{shown}/{{service}}.key"',
        file=sys.stderr,
    )
