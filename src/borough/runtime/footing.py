"""What a process that serves asks of the machine and of Python: a loop, open files, a calm collector, an end."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

__all__ = [
    "LEFT_BEHIND",
    "allow_many_files",
    "give_large_blocks_back",
    "run_to_the_end",
    "settle_memory",
]

LEFT_BEHIND = 70  # EX_SOFTWARE of sysexits.h
"""The exit status of a process that something in it did not let stop."""

# Requests in flight are many and short-lived: the default of 700 looks at them while they live.
_COLLECTED_EACH = (10_000, 20, 20)
_FILES = 65_536
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE = 1024 * 1024


def allow_many_files() -> None:
    """Every connection is an open file, and shells hand down a limit of 1,024: raise it where allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def settle_memory() -> None:
    """What was made at the start stays; the collector need not look at it again, nor look so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_EACH)


def give_large_blocks_back() -> None:
    """A block of a MiB or more goes back to the system when it is free, where C's library is glibc.

    By itself it keeps, for each thread that has once had such a block, the memory for the next: 19 MiB for
    a password's hash.
    """
    with suppress(ImportError, AttributeError, OSError):  # a Python may be built without ctypes
        import ctypes

        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def run_to_the_end(
    serving: Coroutine[Any, Any, int], settle: Callable[[], None] = lambda: None
) -> int:
    """Run this in an event loop of its own; returns its exit status.

    A thread cannot be stopped, and Python would wait for it: where one is left, the process exits
    here, after `settle`. Everything is closed by then. Raises `ConfigurationError` where uvloop is broken.
    """
    try:
        import uvloop
    except ImportError as error:
        from borough.errors import ConfigurationError

        serving.close()
        raise ConfigurationError(
            f"uvloop cannot be imported: {error}; install it anew: pip install --force-reinstall uvloop"
        ) from None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(serving)
        if any(not thread.daemon for thread in threading.enumerate()[1:]):
            settle()
            os._exit(status)
    return status
