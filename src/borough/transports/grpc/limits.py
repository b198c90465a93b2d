"""What callers may ask of a gRPC listener: sizes, counts and times, all on by default."""

from __future__ import annotations

import msgspec

__all__ = ["GrpcLimits"]


class GrpcLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What callers may ask of a gRPC listener; times are kept to within a second."""

    message_bytes: int = 1024 * 1024
    """A message that is received; a larger one is refused (RESOURCE_EXHAUSTED)."""
    metadata_bytes: int = 16 * 1024
    """The metadata of a call; above it the call is refused."""
    streams: int = 128
    """Calls at once on one connection; one more waits at the caller."""
    body_s: float = 10.0
    """How long the message of a call may take to come; then the call is dropped."""
    write_idle_s: float = 30.0
    """An answer, or an item of a stream, may be left unread that long; then the call is dropped, or the
    connection, where nothing of it is read."""
    write_bytes_per_s: int = 1024
    """The rate at which it must be read on average after `write_idle_s`; below it, the same."""
    keep_alive_s: float = 75.0
    """A connection may stay open without a call that long."""
    handshake_s: float = 5.0
    """How long TLS may take."""
    backlog: int = 1_024
    """Connections that the kernel may hold until they are accepted."""
