"""Free loopback ports below the ephemeral range, which no outgoing connection takes meanwhile.

All processes of a user take them in one row, from a number in the folder for temporary files: of test
processes side by side no two find the same port free at the same moment.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["free_port"]

_LOW, _HIGH = 10_000, 32_000
_APART = 251
_offsets = itertools.count(os.getpid() * _APART)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    while True:
        port = _LOW + _next() % (_HIGH - _LOW)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _next() -> int:
    """The next of all processes; where no such file can be had, of this one."""
    own = next(_offsets)
    place = Path(tempfile.gettempdir()) / f"borough-ports-{os.getuid()}"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError, ValueError):
        file = os.open(place, flags, 0o600)
        try:
            if os.fstat(file).st_uid != os.getuid():
                return own  # whoever laid it there may hold the lock for ever
            fcntl.flock(file, fcntl.LOCK_EX)
            taken = int(os.pread(file, 20, 0) or own) + 1
            os.pwrite(file, b"%020d" % taken, 0)
        finally:
            os.close(file)
        return taken
    return own
