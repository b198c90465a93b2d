"""`borough trace list|show`: what happened, of what `borough run` keeps in the data folder.

It reads the file beside the running process, or without one.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.errors import ConfigurationError
from borough.runtime.duration import Duration
from borough.telemetry.plain import printable

if TYPE_CHECKING:
    from borough.observing.searching import TraceSummary
    from borough.observing.store import TelemetryFile
    from borough.observing.trace_row import Row
    from borough.observing.trace_view import TraceView
    from borough.runtime.configuration import Configuration
    from borough.telemetry.otlp_reading import ReadLine

__all__ = ["add", "add_place", "configuration_of", "data_folder", "opened_file"]

_EXAMPLE = """examples:
  borough trace list --system examples/shop
  borough trace list order_id=o-17 --status error
  borough trace list --service payments --slower 200 --since 1h --json
  borough trace show 0af7651916cd43dd8448eb211c80319c"""
_TRACE_ID = re.compile(r"[0-9a-f]{4,32}\Z").match
_BAR = 30


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "trace",
        help="list traces, or show one: what called what, how long it took, and why it failed",
        description="Traces of calls and events, as `borough run` keeps them in the data folder.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list",
        help="list the latest traces that fit",
        epilog="example: borough trace list order_id=o-17 --system examples/shop",
    )
    listing.add_argument(
        "text", nargs="?", type=_text, help="an id, such as an order's, or NAME=VALUE"
    )
    listing.add_argument("--service", type=_text, help="a service that took part")
    listing.add_argument("--operation", type=_text, help="a part of the name of what it did")
    listing.add_argument("--status", choices=["ok", "error"])
    listing.add_argument(
        "--slower", type=_milliseconds, metavar="MS", help="a span of it took so long"
    )
    listing.add_argument(
        "--faster", type=_milliseconds, metavar="MS", help="took at most that long"
    )
    listing.add_argument("--since", metavar="TIME", help="not older than 10m, 1h, 7d")
    listing.add_argument(
        "--limit", type=_count, default=20, metavar="N", help="at most so many (20)"
    )
    show = actions.add_parser(
        "show",
        help="show one trace as a waterfall",
        epilog="example: borough trace show 0af76519 --system examples/shop",
    )
    show.add_argument("trace", help="its id, or the beginning of it")
    for action in (listing, show):
        add_place(action)
    parser.set_defaults(run=_run)


def _text(given: str) -> str:
    if not given.isprintable():
        raise argparse.ArgumentTypeError(f"{given!r} holds what is no printable character")
    return given


def _milliseconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of milliseconds, 0 or more")
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not int(text[:9]):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of traces, 1 or more")
    return int(text[:9])


def add_place(parser: argparse.ArgumentParser, *, is_below: bool = False) -> None:
    """The options that say of which system, and how to print.

    `is_below` for an action of a command that has them, too: what was said before the action stays.
    """

    def default(usual: Any) -> Any:
        return argparse.SUPPRESS if is_below else usual

    parser.add_argument(
        "--system",
        default=default("."),
        metavar="PATH",
        help="the folder with borough.toml (default: here)",
    )
    parser.add_argument(
        "--data", default=default(None), metavar="FOLDER", help="the data folder (data.folder)"
    )
    parser.add_argument(
        "--json", action="store_true", default=default(False), help="print one JSON document"
    )


def configuration_of(options: argparse.Namespace) -> Configuration:
    """The configuration of that system. Raises `ConfigurationError`."""
    from borough.runtime.configuration import Configuration

    system = Path(options.system).resolve()
    if not system.is_dir():
        raise ConfigurationError(
            f"{options.system} is no folder; name the folder with borough.toml"
        )
    return Configuration.load(system, os.environ)


def data_folder(options: argparse.Namespace) -> Path:
    """The data folder of that system. Raises `ConfigurationError`."""
    if options.data:
        return Path(options.data).resolve()
    return configuration_of(options).data_folder


@contextmanager
def opened_file(options: argparse.Namespace) -> Generator[TelemetryFile]:
    """What is kept, while it is open. Raises `ConfigurationError` where nothing is, or it cannot be read."""
    import apsw

    from borough.observing.store import FILE, TelemetryFile

    folder = data_folder(options)
    path = folder / FILE
    if not path.exists():
        raise ConfigurationError(
            f"nothing is kept in {folder}; start the system with `borough run`, or name its data "
            "folder with --data"
        )
    file = TelemetryFile(path)
    try:
        yield file
    except apsw.Error as error:
        raise ConfigurationError(
            f"{path} cannot be read now: {error}; try it again, and if it stays so, remove the file"
        ) from None
    finally:
        file.close()


def _run(options: argparse.Namespace) -> int:
    if options.action == "show" and not _TRACE_ID(options.trace):
        raise ConfigurationError(
            f"{options.trace!r} is no trace id: 32 hex digits, or at least 4 of the first of them; "
            "`borough trace list` has them"
        )
    with opened_file(options) as file:
        return _list(options, file) if options.action == "list" else _show(options, file)


def _list(options: argparse.Namespace, file: TelemetryFile) -> int:
    from borough.clock import SystemClock
    from borough.observing.searching import TraceFilter, find_traces, gathered_ns

    now_s, since_ns = SystemClock().epoch_s(), 0
    if options.since is not None:
        since_ns = int((now_s - _seconds(options.since)) * 1e9)
    found = find_traces(
        file,
        TraceFilter(
            service=options.service,
            operation=options.operation,
            status=options.status,
            longer_than_ms=options.slower,
            shorter_than_ms=options.faster,
            text=options.text,
            since_ns=since_ns,
            limit=max(1, options.limit),
        ),
        gathered_ns=gathered_ns(now_s),
    )
    if options.json:
        print(msgspec.json.encode({"traces": found}).decode())
    elif not found:
        print("no trace fits")
    for summary in [] if options.json else found:
        print(_line(summary))
    return 0


def _seconds(text: str) -> float:
    try:
        return Duration(text).seconds
    except ValueError as error:
        raise ConfigurationError(f"--since: {error}") from None


def _line(summary: TraceSummary) -> str:
    at = datetime.fromtimestamp(summary.began_ns / 1e9, UTC).astimezone()
    mark = "FAILED" if summary.error else "partial" if summary.is_partial else ""
    found = summary.found
    long = (
        "" if found is None else f"; {found.service} {found.name} took {found.duration_ms:.1f} ms"
    )
    coming = "; still coming in" if summary.is_coming else ""
    return printable(
        f"{summary.trace_id}  {at:%H:%M:%S}  {summary.duration_ms:>9.1f} ms  {mark:<7} "
        f"{summary.service} {summary.name}  ({summary.spans} spans, {', '.join(summary.services)}{long}{coming})"
    )


def _show(options: argparse.Namespace, file: TelemetryFile) -> int:
    from borough.clock import SystemClock
    from borough.observing.searching import gathered_ns, trace_of

    view = trace_of(file, options.trace, gathered_ns=gathered_ns(SystemClock().epoch_s()))
    if view is None:
        raise ConfigurationError(
            f"nothing is kept of trace {options.trace}, or several begin so; "
            "`borough trace list` has those that are kept"
        )
    if options.json:
        print(msgspec.json.encode(view).decode())
    else:
        _print(view)
    return 0


def _print(view: TraceView) -> None:
    at = datetime.fromtimestamp(view.began_ns / 1e9, UTC).astimezone()
    print(f"trace {view.trace_id}, {at:%Y-%m-%d %H:%M:%S}")
    events = f", {view.total_ms:.1f} ms with events" if view.total_ms > view.duration_ms else ""
    services = ", ".join(view.services)
    print(printable(f"{view.name}: {view.duration_ms:.1f} ms{events}, {services}"))
    print(f"{printable(view.why)}\n")
    width = max(len(_title(row)) for row in view.rows)
    for row in view.rows:
        mark = "!" if row.is_error else "*" if row.is_critical else " "
        print(
            f"{mark} {_title(row):<{width}} {_bar(row, view.total_ms)} {row.duration_ms:>9.2f} ms"
        )
        for line in row.lines:
            print(f"    {'  ' * row.depth}{_said(line)}")
    print("\n* what the answer waited for, ! what failed")


def _title(row: Row) -> str:
    return printable(f"{'  ' * row.depth}{row.span.service}: {row.span.name}")


def _said(line: ReadLine) -> str:
    return printable(f"{line.level.lower()}: {line.text.partition(chr(10))[0]}")


def _bar(row: Row, total_ms: float) -> str:
    scale = _BAR / total_ms if total_ms > 0 else 0.0
    before = min(_BAR - 1, int(row.offset_ms * scale))
    length = max(1, min(_BAR - before, round(row.duration_ms * scale)))
    return "[" + " " * before + "=" * length + " " * (_BAR - before - length) + "]"
