"""A PostgreSQL store with a table of its own, for tests of what is PostgreSQL's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from borough.clock import Clock, SystemClock
from borough.contracts.struct import Event
from borough.ports import Migration, StoreTransaction
from borough.services.settings import Secret
from borough.stores.postgres import PostgresLimits, PostgresStore
from borough.stores.schema import borough_migrations

SCHEMA = Migration(
    "0001_shop.sql",
    """
    create table item (id bigint primary key, name text not null unique,
        stock integer constraint some_stock check (stock >= 0));
    """,
)
PATIENT = PostgresLimits(wait_s=30.0)


class Sold(Event):
    """Something was sold."""


class Publisher:
    """Puts a row into the outbox for each event, as the runtime's companion does."""

    def __init__(self) -> None:
        self.count = 0
        self.told: list[int] = []

    def publish(self, tx: StoreTransaction, event: Event) -> str:
        self.count += 1
        tx.outbox.append((f"e{self.count}", "shop.Shop", "shop.Shop.Sold", None, b"{}"))
        return f"e{self.count}"

    def schedule(
        self, tx: StoreTransaction, event: Event, at: datetime | None, after: timedelta | None
    ) -> str:
        raise NotImplementedError

    async def cancel(self, tx: StoreTransaction, event_id: str) -> bool:
        raise NotImplementedError

    async def answer(self, tx: StoreTransaction, value: Any) -> Any:
        raise NotImplementedError

    def committed(self, tx: StoreTransaction) -> None:
        self.told.append(tx.sequence)


@asynccontextmanager
async def opened(
    url: str,
    limits: PostgresLimits = PATIENT,
    deadline: Callable[[], float | None] = lambda: None,
    clock: Clock | None = None,
) -> AsyncIterator[PostgresStore]:
    """A store with Borough's tables and one of its own."""
    store = PostgresStore(
        Secret(url),
        service="shop",
        clock=clock or SystemClock(),
        deadline=deadline,
        limits=limits,
    )
    await store.open()
    try:
        await store.migrate("borough", borough_migrations("postgres"))
        await store.migrate("service", [SCHEMA])
        yield store
    finally:
        await store.close()


async def add(store: PostgresStore, number: int, publisher: Publisher | None = None) -> None:
    async with store.transaction(publisher) as tx:
        await tx.execute("insert into item values ($1, $2, 1)", number, f"item {number}")
        if publisher is not None:
            tx.publish(Sold())


async def ids(store: PostgresStore) -> list[int]:
    return await store.all(int, "select id from item order by id")
