"""What a process says on standard error: log lines and last words, all of them masked.

A line names the service and the trace that it was said in, where there are any. Text is for people, in
colour on a terminal, which nothing that is said can give orders to; JSON has one object a line, with whatever was
given as `extra`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

import msgspec

from borough.telemetry.frames import ExcInfo, own_frames
from borough.telemetry.masking import MaskingFormatter, masked, masked_value
from borough.telemetry.plain import printable
from borough.telemetry.span import Value
from borough.telemetry.trace import TraceContext

__all__ = ["begin_logging", "extras_of", "style_logs"]

Where = Callable[[], tuple[str, TraceContext | None] | None]
"""The service at work here and its trace, None outside of one."""
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s%(borough_where)s"
_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31", "DEBUG": "2"}
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def begin_logging(level: int) -> None:
    """Log to standard error from now on; also what the interpreter says of errors nobody has caught."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(_Text(_nowhere, in_colour=_in_colour()))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = _say
    threading.excepthook = _say_of_thread
    sys.unraisablehook = _say_of_ignored


def style_logs(style: Literal["text", "json"], where: Where) -> None:
    """From now on lines look so, and say where they come from. Handlers of others stay as they are."""
    formatter = _Json(where) if style == "json" else _Text(where, in_colour=_in_colour())
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, (_Text, _Json)):
            handler.setFormatter(formatter)


def extras_of(record: logging.LogRecord) -> dict[str, Value]:
    """What was given as `extra`, masked; what is no plain value as its repr."""
    return {
        name: _extra(name, value)
        for name, value in vars(record).items()
        if name not in _USUAL and not name.startswith("borough_")
    }


def _extra(name: str, value: object) -> Value:
    if isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):  # a card's number may be one, a count of tokens is no secret
        text = str(value)
        hidden = masked(text)
        return value if hidden == text else hidden
    return masked_value(name, value if isinstance(value, str) else repr(value))


def _in_colour() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def _nowhere() -> None:
    return None


class _Handler(logging.StreamHandler[TextIO]):
    """Says so where no line can be made, as `logging` does, but masked: the arguments may be secret."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not logging.raiseExceptions:
            return
        with suppress(Exception):  # nobody hears it any more, or what was to be said cannot be
            _say(*sys.exc_info())
            said = f"{record.msg!r} with {record.args!r}, {record.pathname}, line {record.lineno}"
            print(f"No log line could be made of {masked(said)}", file=sys.stderr)


class _Text(MaskingFormatter):
    """A line for people."""

    def __init__(self, where: Where, *, in_colour: bool) -> None:
        super().__init__(_FORMAT)
        self._where = where
        self._in_colour = in_colour

    def format(self, record: logging.LogRecord) -> str:
        here = self._where()
        record.borough_where = "" if here is None or not here[0] else _said(*here)
        record.exc_text = None  # a text that another formatter has made is whole
        line = "\n".join(map(printable, super().format(record).split("\n")))
        record.exc_text = None
        colour = _COLOURS.get(record.levelname) if self._in_colour else None
        return line if colour is None else f"\x1b[{colour}m{line}\x1b[0m"

    def formatMessage(self, record: logging.LogRecord) -> str:
        # Whoever chose what is said begins no line of the log: what follows the first is moved in.
        record.message = "\n    ".join(record.message.splitlines())
        return super().formatMessage(record)

    def formatException(self, ei: ExcInfo) -> str:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            return super().formatException(ei)
        return own_frames(ei)


def _said(service: str, trace: TraceContext | None) -> str:
    return f" [{service}]" if trace is None else f" [{service} trace={trace.trace_id}]"


class _Json(logging.Formatter):
    """A line for machines."""

    def __init__(self, where: Where) -> None:
        super().__init__()
        self._where = where

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        here = self._where()
        if here is not None:
            service, trace = here
            if service:
                line["service"] = service
            if trace is not None:
                line |= {"trace_id": trace.trace_id, "span_id": trace.span_id}
        if record.exc_info:
            line["exception"] = masked(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = masked(record.stack_info)
        for name, value in extras_of(record).items():
            line.setdefault(name, value)
        return _encode(line).decode()


def _say(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    print(masked(text), file=sys.stderr, end="")


def _say_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread is not None else "a thread that has gone"
        print(f"Exception in {masked(name)}:", file=sys.stderr)
        _say(args.exc_type, args.exc_value, args.exc_traceback)


def _say_of_ignored(args: sys.UnraisableHookArgs) -> None:
    print(f"{args.err_msg or 'Exception ignored in'}: {masked(repr(args.object))}", file=sys.stderr)
    _say(args.exc_type, args.exc_value, args.exc_traceback)
