"""SQLite keeps what every store promises."""

from pathlib import Path

from borough.clock import SystemClock
from borough.ports import Store
from borough.stores.sqlite import SqliteOptions, SqliteStore
from borough.testing.conformance import StoreConformance


class TestSqliteStore(StoreConformance):
    """Its times are wide, for a busy machine."""

    async def make_store(self, folder: Path) -> Store:
        options = SqliteOptions(body_s=30.0, wait_s=60.0)
        return SqliteStore(folder / "shop.db", clock=SystemClock(), options=options)
