"""Free loopback ports below the ephemeral range, which no outgoing connection takes meanwhile."""

from __future__ import annotations

import socket

from borough.clock import SystemClock

__all__ = ["free_port"]

_LOW, _HIGH = 10_000, 32_000


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    random = SystemClock().random
    while True:
        port = random.randrange(_LOW, _HIGH)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
