"""What became of a transaction whose COMMIT was not confirmed, as another connection tells.

The server knows it by the transaction's id, and is believed in the same incarnation only: in another one the id may
have been given once more, or there is another server. The row of the transaction's own event tells it everywhere,
but only that it is kept, and only until the relay has taken it away.

Kept is what the server's copies have, too, where COMMIT is to wait for some (`synchronous_standby_names`). Its
waiting may have been ended, by a request to cancel it or with its process, and the transaction is there all the same.
So the question writes into the log: its own end waits for the copies, which have then all that was written before.
"""

from __future__ import annotations

import msgspec

from borough.clock import Clock
from borough.errors import ConfigurationError, StoreError
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST, is_lost
from borough.stores.postgres.numbers import transaction_of
from borough.stores.postgres.pool import Pool

__all__ = ["Unconfirmed", "is_kept"]

_ASK = """
select pg_xact_status($1::text::xid8),
 exists (select from borough_outbox where sequence = $2 and id = $3),
 pg_logical_emit_message(true, 'borough', '')::text
"""
_ASK_S = 1.0
_ASK_AGAIN_S = 0.1

_Found = tuple[str | None, bool, str]


class Unconfirmed(msgspec.Struct, frozen=True):
    """A COMMIT: to which incarnation it was said, and the last event of its transaction (0 and "" without)."""

    incarnation: str | None
    sequence: int
    event_id: str
    is_answered: bool
    """It was told to be kept there, but by its copies."""


async def is_kept(commit: Unconfirmed, pool: Pool, clock: Clock, within_s: float) -> bool | None:
    """Whether it is; None where that cannot be found out in time."""
    until = clock.monotonic() + within_s
    transaction = str(transaction_of(commit.sequence)) if commit.sequence else None
    while (left_s := until - clock.monotonic()) > 0:
        try:
            connection = await pool.take(until)
        except (StoreError, ConfigurationError):
            return None
        is_same = commit.incarnation is not None and connection.incarnation == commit.incarnation
        values = (transaction if is_same else None, commit.sequence, commit.event_id)
        try:
            found: list[_Found] = await connection.rows(
                _Found, _ASK, values, 1, min(_ASK_S, left_s)
            )
        except (*LOST, asyncpg.PostgresError, StoreError) as error:
            pool.lose(connection)
            if not is_lost(error):  # a standby, which will be promoted
                await clock.sleep(_ASK_AGAIN_S)
            continue
        except BaseException:
            pool.lose(connection)
            raise
        if connection.is_alone:
            pool.lose(connection)
            continue
        pool.give_back(connection)
        status, is_there, _ = found[0]
        if is_there or (is_same and (commit.is_answered or status == "committed")):
            return True
        if not is_same:
            return None
        if status != "in progress":
            return False if status == "aborted" else None
        await clock.sleep(_ASK_AGAIN_S)
    return None
