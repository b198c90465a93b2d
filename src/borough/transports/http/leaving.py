"""How it is noticed that a client has left, where reading would not tell.

Whoever says goodbye is heard by reading. One that has sent so much ahead that nobody reads on is not, and one that
vanishes says nothing: what it has asked for could go on for ever, a stream that is silent above all.
"""

from __future__ import annotations

import asyncio
import select
import socket

__all__ = ["ask_the_silent", "has_left"]

_END = getattr(select, "POLLRDHUP", 0)  # elsewhere than on Linux only a broken connection is seen
_SILENT_S, _AGAIN_S, _TIMES = 60, 15, 4
_IDLE = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)


def ask_the_silent(listener: socket.socket) -> None:
    """Have the kernel ask on accepted connections whether anybody is there; two minutes without an answer break one."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if _IDLE is not None:
        listener.setsockopt(socket.IPPROTO_TCP, _IDLE, _SILENT_S)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _AGAIN_S)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _TIMES)


def has_left(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer has closed its side, though what it sent before that is still unread."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return False
    look = select.poll()
    look.register(connection.fileno(), _END)
    return bool(look.poll(0))
