"""On PostgreSQL what is renewed while housekeeping has chosen it is not deleted."""

import asyncio
from contextvars import Context
from typing import Any, cast

import asyncpg
import pytest

from borough.clock import SystemClock
from borough.ports import Broker
from borough.runtime.housekeeping import Housekeeping
from borough.runtime.leases import Leases
from borough.stores.postgres import PostgresStore
from tests.servers.postgres import postgres_server, postgres_url
from tests.stores.postgres_store import opened

__all__ = ["postgres_server", "postgres_url"]

DAY = 86_400.0
ROWS = {
    "borough_marks": (
        "insert into borough_marks (operation, scope, key, owner, until) values ('o', '', 'k', 'me', $1)",
        "update borough_marks set until = $1",
    ),
    "borough_attempts": (
        "insert into borough_attempts (handler, generation, event_id, attempts, begun_at) "
        "values ('h', 1, 'e', 1, $1)",
        "update borough_attempts set begun_at = $1",
    ),
}


WAIT = """
do $$ begin
    while not exists (select 1 from pg_locks where not granted) loop perform pg_sleep(0.01); end loop;
end $$
"""


async def in_front(url: str) -> None:
    """Until a statement waits for a row that another transaction has changed."""
    connection = await asyncpg.connect(url, server_settings={"statement_timeout": "30s"})
    try:
        await connection.execute(WAIT)
    finally:
        await connection.close()


async def swept(store: PostgresStore) -> None:
    clock = SystemClock()
    leases = Leases(store, clock, "keeper")
    lease = await leases.take("housekeeping")
    assert lease is not None
    await Housekeeping("shop", store, leases, clock, cast(Broker, None), [], {}).sweep(lease)


@pytest.mark.parametrize("table", ROWS)
async def test_what_is_renewed_while_it_is_swept_stays(postgres_url: str, table: str) -> None:
    put, renew = ROWS[table]
    now = SystemClock().epoch_s()
    async with opened(postgres_url) as store:
        async with store.transaction() as tx:
            await tx.execute(put, now - 30 * DAY)
        async with store.transaction() as tx:
            await tx.execute(renew, now)
            sweeping = asyncio.create_task(swept(store), context=Context())
            await in_front(postgres_url)
        await sweeping
        kept: Any = await store.one(int, f"select count(*) from {table}")
        assert kept == 1
