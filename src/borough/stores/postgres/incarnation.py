"""Which life of a server it is that a connection is to: from one recovery after a crash to the next.

A server that has crashed gives the ids of transactions once more of which its log had nothing. It need not be started
anew for that: where one of its processes is killed, it ends all others and recovers under the same start. What every
recovery certainly takes away is what stands in an unlogged table; so does the promotion of a standby, and a base
backup has nothing of it. Whoever finds the table empty puts in a mark that nobody else has made. The time of the start
stands beside it, for a dump takes the table along.

Each recovery ends all connections, so what one was told when it was made holds as long as it.
"""

from __future__ import annotations

from typing import Any

from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import is_lost

__all__ = ["read_incarnation"]

_READ = "select mark || ' ' || pg_postmaster_start_time()::text from borough_incarnation"
_PUT = """
begin read write;
insert into borough_incarnation values (1, gen_random_uuid()::text) on conflict do nothing;
commit
"""


async def read_incarnation(inner: Any) -> str | None:
    """That of a driver's connection. None where nobody can tell: before there is the table, and on a standby."""
    try:
        found = await inner.fetchval(_READ)
        if found is None:
            await inner.execute(_PUT)
            found = await inner.fetchval(_READ)
    except asyncpg.PostgresError as error:
        if is_lost(error):
            raise
        if inner.is_in_transaction():
            await inner.execute("rollback")
        return None
    return str(found)
