"""Every limit of the PostgreSQL store, with its default."""

from __future__ import annotations

import msgspec

__all__ = ["PostgresLimits"]


class PostgresLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one store. Times are in seconds."""

    connections: int = 16
    """Connections of one process to one service's database, at most; they are made when needed."""
    wait_s: float = 10.0
    """How long a call without a deadline waits for a connection, and for each statement."""
    waiting: int = 10_000
    """Who waits for a connection, at most; one more is refused at once."""
    connect_s: float = 5.0
    """How long making one connection may take."""
    body_s: float = 30.0
    """How long a transaction may be open, and half as long without a statement."""
    lock_s: float = 5.0
    """How long a statement waits for another transaction's lock."""
    rollback_s: float = 2.0
    """How long a rollback may take before its connection is given up instead."""
    commit_known_s: float = 10.0
    """How long is looked for what became of a COMMIT whose answer never came."""
    row_limit: int = 100_000
    """Rows that one `all` returns, at most."""
    statements: int = 500
    """Prepared statements kept per connection."""
