"""Every limit of the SQLite store, with its default."""

from __future__ import annotations

import msgspec

__all__ = ["SqliteOptions"]

MIB = 1 << 20


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one store. Times are in seconds."""

    wait_s: float = 10.0
    """How long a call without a deadline waits for the writer, a reader or the baton."""
    group_size: int = 256
    """Bodies in one COMMIT, at most."""
    group_age_s: float = 0.02
    """After that long a group takes no new body, so that finished ones are not kept waiting."""
    body_s: float = 1.0
    """How long one body holds the writer, at most."""
    waiting_bodies: int = 10_000
    """Bodies waiting for the writer, at most; one more is refused at once."""
    slow_s: float = 0.002
    """A statement above this leaves the event loop."""
    reader_threads: int = 4
    """Threads, each with a connection, for slow reads and snapshots."""
    waiting_reads: int = 1_000
    """Slow reads waiting for a thread, at most; one more is refused at once."""
    snapshot_s: float = 10.0
    """How long a snapshot is kept, at most: an old one keeps the WAL from shrinking."""
    row_limit: int = 100_000
    """Rows that one `all` returns, at most."""
    checkpoint_bytes: int = 8 * MIB
    """From this size of the WAL on, a checkpoint follows the group."""
    wal_bytes: int = 64 * MIB
    """At this size of the WAL no group begins before a checkpoint has emptied it."""
    statements: int = 200
    """Prepared statements kept per connection."""
