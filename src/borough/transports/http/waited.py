"""How long the bytes of a request lay in the kernel, while the loop was busy with something else.

They count: who sent them has been waiting since. Linux tells, to within some milliseconds; elsewhere
the time is not known and counts from when the loop comes to read.
"""

from __future__ import annotations

import asyncio
import socket
import struct

__all__ = ["waited_s"]

_TCP_INFO = getattr(socket, "TCP_INFO", None)
_LAST_DATA_RECEIVED = struct.Struct("52xI")  # tcpi_last_data_recv, in milliseconds


def waited_s(transport: asyncio.Transport) -> float:
    """Seconds since the last bytes of this connection came; nothing of one that is gone."""
    connected = transport.get_extra_info("socket")
    if _TCP_INFO is None or connected is None:
        return 0.0
    try:
        told = connected.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LAST_DATA_RECEIVED.size)
        (milliseconds,) = _LAST_DATA_RECEIVED.unpack(told)
    except (OSError, struct.error):
        return 0.0
    return float(milliseconds) / 1000
