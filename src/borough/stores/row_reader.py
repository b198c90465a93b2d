"""What a store, a snapshot and a transaction answer alike: one row, one or none, all of them.

They differ in how they read rows, which is `_read`. `services/data.py` has these questions as a protocol.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from borough.errors import WrongRowCount
from borough.stores.rows import only_row, within_limit

__all__ = ["RowReader"]

T = TypeVar("T")


class RowReader(ABC):
    """Questions to a database."""

    __slots__ = ()

    async def one(self, kind: type[T], sql: str, /, *args: Any) -> T:
        """The only row. Raises `WrongRowCount` on none or several."""
        found = only_row(await self._read(kind, sql, args, 1), sql)
        if not found:
            raise WrongRowCount(f"no row, one was asked for: {sql}")
        row: T = found[0]
        return row

    async def maybe(self, kind: type[T], sql: str, /, *args: Any) -> T | None:
        """The only row or None. Raises `WrongRowCount` on several."""
        found = only_row(await self._read(kind, sql, args, 1), sql)
        return found[0] if found else None

    async def all(self, kind: type[T], sql: str, /, *args: Any) -> list[T]:
        """Every row. Raises `WrongRowCount` above the store's row limit."""
        limit = self._row_limit
        return within_limit(await self._read(kind, sql, args, limit), limit, sql)

    @property
    @abstractmethod
    def _row_limit(self) -> int:
        """How many rows `all` gives at most."""

    @abstractmethod
    async def _read(self, kind: Any, sql: str, args: Sequence[Any], limit: int) -> list[Any]:
        """At most `limit` rows, and one more where there are more, to be counted."""
