"""What a command says, on streams that may be full: a disk without space never ends what runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from borough.errors import ConfigurationError
from borough.telemetry.plain import printable

__all__ = ["complain", "open_closed_streams", "results", "settle_output"]


def open_closed_streams() -> None:
    """Give a command that was started without some of its streams empty ones.

    What it opens first would be numbered as they are: a database would be where Python, or a library, complains.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            void = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(void, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - open to the end, as Python's own
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def complain(sentence: str) -> None:
    """Say something to whoever watches standard error, if it takes it."""
    with suppress(OSError):  # a sentence may hold what others have written
        print("\n".join(map(printable, sentence.split("\n"))), file=sys.stderr, flush=True)


def results(say: Callable[[], None]) -> None:
    """Let `say` print to standard output. Raises `ConfigurationError` where that takes nothing."""
    try:
        say()
        sys.stdout.flush()
    except BrokenPipeError:  # a reader that has left is no fault
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"standard output takes nothing: {reason}; send it elsewhere"
        ) from error


def settle_output() -> None:
    """Write out what is still kept; Python would complain, at its end, of what cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            void = os.open(os.devnull, os.O_WRONLY)
            os.dup2(void, stream.fileno())
            os.close(void)
