"""Free loopback ports below the ephemeral range, which no outgoing connection takes meanwhile.

Each process takes its ports one after another from a place of its own, so that test processes side
by side do not find the same port free at the same moment.
"""

from __future__ import annotations

import itertools
import os
import socket

__all__ = ["free_port"]

_LOW, _HIGH = 10_000, 32_000
_APART = 251
_offsets = itertools.count()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    first = os.getpid() * _APART
    while True:
        port = _LOW + (first + next(_offsets)) % (_HIGH - _LOW)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
