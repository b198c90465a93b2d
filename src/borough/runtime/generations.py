"""Generations of projections: each begins with empty tables and the earliest event.

One transaction empties the tables, raises the generation, and removes the position and all that was
put aside. It also raises the epoch of the projection's roles: whoever consumes for the generation
before is fenced, and takes the role anew for the new one. The inbox knows the generation of each row, so
what was handled before is handled again; housekeeping removes the old rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from borough.errors import ConfigurationError, StoreError, StoreUnavailable, TransactionConflict
from borough.ports import Store, StoreTransaction
from borough.reliability.lease import Lease
from borough.runtime.leases import hold_lease
from borough.runtime.reruns import rerun

__all__ = ["Generation", "generation_of", "rebuild", "start_generation", "take_over"]

_READ = "select generation, declared, made_of from borough_generations where handler = $1"
_WRITE = """
insert into borough_generations (handler, generation, declared, made_of) values ($1, $2, $3, $4)
on conflict (handler) do update
set generation = excluded.generation, declared = excluded.declared, made_of = excluded.made_of
"""
_HEARD = "select 1 from borough_inbox where handler = $1 limit 1"
_FORGOTTEN = (
    "borough_positions",
    "borough_former_positions",
    "borough_parked",
    "borough_dead",
    "borough_attempts",
)
_CONSUMED = """
select 1 from borough_leases where substr(role, 1, length($1)) = $1 and until > $2 limit 1
"""
_FENCE = """
update borough_leases set epoch = epoch + 1, until = 0.0 where substr(role, 1, length($1)) = $1
"""


class Generation(msgspec.Struct, frozen=True):
    """The generation in force, and the one that the code named when it began.

    `made_of` are its tables and events in the code that started last, by name; empty where that is not known.
    """

    generation: int
    declared: int
    made_of: str = ""


async def generation_of(store: Store, projection: str) -> Generation | None:
    """The generation in force, None before the first."""
    return await store.maybe(Generation, _READ, projection)


async def start_generation(
    store: Store,
    projection: str,
    tables: Sequence[str],
    events: Sequence[str],
    declared: int,
    now: float,
) -> str | None:
    """Begin a generation where the code names another one than that in force, or it is the first.

    A lower one waits while somebody consumes for the higher one: that is an older release in a rollout. Returns
    what is to be said where the one in force goes on with tables or events that it was not begun with.

    Raises `ConfigurationError` for tables that do not exist, and for a new projection whose tables
    are not empty: what is in them may be somebody's.
    """
    full = [table for table in tables if await _has_rows(store, projection, table)]
    made_of = _made_of(tables, events)
    return await rerun(lambda: _start(store, projection, tables, full, made_of, declared, now))


async def _start(
    store: Store,
    projection: str,
    tables: Sequence[str],
    full: Sequence[str],
    made_of: str,
    declared: int,
    now: float,
) -> str | None:
    async with store.transaction() as tx:
        found = await tx.maybe(Generation, _READ, projection)
        if found is not None and found.declared == declared:
            return await _go_on(tx, projection, found, made_of)
        if (
            found is not None
            and found.declared > declared
            and await tx.maybe(bool, _CONSUMED, f"consume {projection} ", now)
        ):
            return None
        if found is None and full:
            raise ConfigurationError(
                f"{projection} is a new projection, and its table {full[0]} is not empty; only a "
                "projection writes its tables: empty it in a migration, or name another"
            )
        before = found.generation if found is not None else await tx.maybe(int, _HEARD, projection)
        await _begin(tx, projection, tables, Generation((before or 0) + 1, declared, made_of))
    return None


async def _go_on(
    tx: StoreTransaction, projection: str, found: Generation, made_of: str
) -> str | None:
    """Note what it is made of now. What has come to it begins empty, which is said once."""
    if found.made_of == made_of:
        return None
    await tx.execute(_WRITE, projection, found.generation, found.declared, made_of)
    added = sorted(set(made_of.split()) - set(found.made_of.split()))
    if not found.made_of or not added:
        return None
    return (
        f"{projection} is made of more than it was ({', '.join(added)}), and goes on where it is: what was published "
        f"before is not in that; write generation={found.declared + 1} in its mark to make it anew"
    )


async def take_over(
    store: Store,
    projection: str,
    tables: Sequence[str],
    events: Sequence[str],
    declared: int,
    lease: Lease,
) -> None:
    """Begin the generation of this code in place of another one, for which nobody consumes any more.

    Raises `LeaseLost`, `ConfigurationError` for tables that cannot be emptied.
    """

    async def begin() -> None:
        async with store.transaction() as tx:
            await hold_lease(tx, lease)
            found = await tx.maybe(Generation, _READ, projection)
            if found is not None and found.declared != declared:
                own = Generation(found.generation + 1, declared, _made_of(tables, events))
                await _begin(tx, projection, tables, own)

    await rerun(begin)


def _made_of(tables: Sequence[str], events: Sequence[str]) -> str:
    return " ".join(sorted((*tables, *events)))


async def rebuild(store: Store, projection: str, tables: Sequence[str]) -> int:
    """Begin a new generation now; returns its number. A running consumer goes on with it.

    Raises `ConfigurationError` for a projection that has never run.
    """

    async def begin() -> int:
        async with store.transaction() as tx:
            found = await tx.maybe(Generation, _READ, projection)
            if found is None:
                raise ConfigurationError(f"{projection} has never run; there is nothing to rebuild")
            again = Generation(found.generation + 1, found.declared, found.made_of)
            await _begin(tx, projection, tables, again)
        return found.generation + 1

    return await rerun(begin)


async def _has_rows(store: Store, projection: str, table: str) -> bool:
    try:
        found: Any = await store.maybe(int, f'select 1 from "{table}" limit 1')
    except StoreError as error:
        raise ConfigurationError(
            f"the table {table} of the projection {projection} cannot be read ({error}); create it "
            "in a migration"
        ) from error
    return found is not None


async def _begin(
    tx: StoreTransaction, projection: str, tables: Sequence[str], new: Generation
) -> None:
    for table in tables:
        try:
            await tx.execute(f'delete from "{table}"')
        except (StoreUnavailable, TransactionConflict):
            raise
        except StoreError as error:
            raise ConfigurationError(
                f"the table {table} of the projection {projection} cannot be emptied ({error}); "
                "empty it in a migration, which has all the time that it needs"
            ) from error
    for table in _FORGOTTEN:
        await tx.execute(f"delete from {table} where handler = $1", projection)
    await tx.execute(_FENCE, f"consume {projection} ")
    await tx.execute(_WRITE, projection, new.generation, new.declared, new.made_of)
