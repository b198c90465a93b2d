"""The command line: one word per question. Each command is one short file with `add(subparsers)`.

Exit status: 0 fine, 1 the thing asked about is not fine, 2 wrong use or configuration. Results go to
standard output, progress and logs to standard error.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from borough.cli.output import complain, open_closed_streams, results, settle_output
from borough.errors import (
    MENDED_BY_NO_RESTART,
    BoroughError,
    CallError,
    ConfigurationError,
    DeclarationFaults,
)

__all__ = ["main"]

_COMMANDS = {
    "run": "borough.cli.run",
    "demo": "borough.cli.demo",
    "call": "borough.cli.call",
    "scale": "borough.cli.scale",
    "rollout": "borough.cli.rollout",
    "db": "borough.cli.db",
    "certs": "borough.cli.certs",
    "contracts": "borough.cli.contracts",
    "events": "borough.cli.events",
    "console": "borough.cli.console",
    "trace": "borough.cli.trace",
    "map": "borough.cli.map",
    "alerts": "borough.cli.alerts",
}
_GROUPS = (
    ("write", "contracts"),
    ("run", "run, demo, call, db, certs, scale, rollout"),
    ("see", "console, events, trace, map, alerts"),
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a stream that takes nothing says; of a file, its name would be said, too."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options, allow_abbrev=False
        )  # an option that is added later breaks no script

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"borough: {message}; see `{self.prog} --help`\n")


class _Version(argparse.Action):
    """Looks the version up when asked: the look-up imports more than a start needs."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from borough import __version__

        print(f"borough {__version__}")
        parser.exit()


def _parser(only: str | None) -> _Parser:
    groups = "\n".join(f"  {name:<7} {commands}" for name, commands in _GROUPS)
    parser = _Parser(
        prog="borough",
        description="Microservices that start as a monolith.",
        epilog=f"commands by question:\n{groups}\n\nexample: borough run examples/shop",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, and stop")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, module in _COMMANDS.items():
        if only is None or name == only:
            _command(module).add(subparsers)
        else:
            subparsers.add_parser(name, add_help=False)
    return parser


def _command(module: str) -> ModuleType:
    return importlib.import_module(module)


def _say(error: BoroughError) -> None:
    from borough.telemetry.masking import masked_url, without_secrets

    complain(f"borough: {masked_url(without_secrets(str(error)))}")


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one clear sentence, never a traceback."""
    open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    first = next((word for word in given if not word.startswith("-")), None)
    try:
        parser = _parser(first if first in _COMMANDS else None)
        options, unknown = parser.parse_known_args(given)
        if unknown:
            name = f"{parser.prog} {options.command}" if options.command else parser.prog
            complain(f"borough: unrecognized arguments: {' '.join(unknown)}; see `{name} --help`")
            return 2
        if options.command is None:
            parser.print_help()
            return 2
        status = int(options.run(options))
        results(lambda: None)  # a reader that has left is noticed here, not while Python exits
        return status
    except (DeclarationFaults, ConfigurationError) as error:
        _say(error)
        return 2
    except CallError as error:
        _say(error)
        return 1
    except BoroughError as error:
        _say(error)
        is_final = first != "run" or isinstance(error, MENDED_BY_NO_RESTART)
        return 2 if is_final else 1  # begun anew, it may find its database there
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:
        if _is_nowhere():
            complain("borough: the folder that you are in was removed; go to one that is there")
            return 2
        if error.filename is not None or error.errno not in _FULL:
            raise
        complain(
            f"borough: standard output takes nothing: {os.strerror(error.errno).lower()}; send it elsewhere"
        )
        return 2
    finally:
        settle_output()
