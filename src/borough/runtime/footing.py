"""What a process that serves asks of the machine and of Python: open files, a calm collector."""

from __future__ import annotations

import gc
import resource

__all__ = ["allow_many_files", "settle_memory"]

# Requests in flight are many and short-lived: the default of 700 looks at them while they live.
_COLLECTED_EACH = (10_000, 20, 20)
_FILES = 65_536


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
