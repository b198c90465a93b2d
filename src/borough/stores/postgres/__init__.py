"""PostgreSQL, for production: serializable transactions side by side, one database per service."""

from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.store import PostgresStore

__all__ = ["PostgresLimits", "PostgresStore"]
