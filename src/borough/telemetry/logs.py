"""What a process says on standard error: log lines and last words, all of them masked."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType

from borough.telemetry.masking import MaskingFormatter, masked

__all__ = ["begin_logging"]

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def begin_logging(level: int) -> None:
    """Log to standard error from now on; also what the interpreter says of errors nobody has caught."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter(_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = _say
    threading.excepthook = _say_of_thread
    sys.unraisablehook = _say_of_ignored


def _say(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
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
