"""SQLite, the embedded default: group commit, WAL, one file per service."""

from borough.stores.sqlite.options import SqliteOptions
from borough.stores.sqlite.store import SqliteStore

__all__ = ["SqliteOptions", "SqliteStore"]
