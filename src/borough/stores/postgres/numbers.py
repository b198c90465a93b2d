"""The numbers of events: of the transaction that published them, and their place in it.

Transactions commit side by side, so a number drawn while one runs says nothing about the order in which
they become visible. The id of a transaction does: one that has seen another's effects was begun after its
commit and has the higher id, and below the oldest that still runs (`pg_snapshot_xmin`) nothing can appear any
more. So `id * 2^20 + place` is known in the transaction itself, and the relay reads what lies below that line, which
the view `borough_settled` draws.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from borough.errors import TransactionMisuse
from borough.ports import OutboxRow
from borough.stores.postgres.connection import Connection
from borough.stores.schema import PLACES

__all__ = ["INSERT_ONE", "insert_events", "transaction_of"]

_NUMBER = f"(pg_current_xact_id()::text::bigint << {PLACES})"
INSERT_ONE = f"""
insert into borough_outbox (sequence, id, topic, type, key, body)
values ({_NUMBER} + 1, $1, $2, $3, $4, $5) returning sequence
"""
_INSERT = f"""
insert into borough_outbox (sequence, id, topic, type, key, body)
select {_NUMBER} + place, id, topic, type, key, body
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
 with ordinality as events (id, topic, type, key, body, place)
returning sequence
"""


def insert_events(connection: Connection, events: Sequence[OutboxRow]) -> Awaitable[int]:
    """Put a transaction's events into the outbox; gives the number of the last one."""
    if len(events) == 1:
        return connection.value(INSERT_ONE, events[0])
    return _insert_several(connection, events)


async def _insert_several(connection: Connection, events: Sequence[OutboxRow]) -> int:
    if len(events) >> PLACES:
        raise TransactionMisuse(
            f"{len(events)} events of one transaction; at most {(1 << PLACES) - 1} have a number"
        )
    columns = [list(column) for column in zip(*events, strict=True)]
    found: list[int] = await connection.rows(int, _INSERT, columns, len(events))
    return max(found)


def transaction_of(number: int) -> int:
    """The id of the transaction that published an event."""
    return number >> PLACES
