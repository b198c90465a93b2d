"""Real files, opened and closed around each test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.ports import Migration
from borough.stores.sqlite import SqliteOptions, SqliteStore

SCHEMA = Migration(
    "0001_shop.sql",
    """
    create table item (id integer primary key, name text not null unique, stock integer,
        constraint some_stock check (stock >= 0)) strict;
    create table line (id integer primary key, item_id integer not null
        references item (id) deferrable initially deferred) strict;
    """,
)
Opener = Callable[..., Awaitable[SqliteStore]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database stands."""
    return tmp_path / "shop.db"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[Opener]:
    """Open stores with options; all are closed in the end."""
    stores: list[SqliteStore] = []

    async def open_store(
        deadline: Callable[[], float | None] = lambda: None, **options: object
    ) -> SqliteStore:
        chosen = SqliteOptions(**options)  # type: ignore[arg-type]
        store = SqliteStore(path, clock=SystemClock(), deadline=deadline, options=chosen)
        stores.append(store)
        await store.open()
        await store.migrate("service", [SCHEMA])
        return store

    yield open_store
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened: Opener) -> SqliteStore:
    """One store with `item` and `line`; its times are wide, for a busy machine."""
    return await opened(body_s=30.0, wait_s=60.0)
