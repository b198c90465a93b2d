"""What every `Store` promises. SQL is what all engines understand; `$1` is bound by number.

`make_store` is the only thing that an adapter's author writes. Two handles on one folder are two
processes on one database.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from borough.contracts.struct import Event, Struct
from borough.errors import (
    ConstraintViolated,
    MigrationRefused,
    StoreError,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
    WrongRowCount,
)
from borough.ports import Migration, Store, StoreTransaction
from borough.stores.schema import borough_migrations
from borough.testing.conformance.moving import moved_while, schedule, take_back
from borough.testing.conformance.suite import check, equal, raising

__all__ = ["StoreConformance"]

_SCHEMA = Migration(
    "0001_items.sql",
    "create table item (id integer primary key, name text not null unique, stock integer);"
    "create table total (n integer not null); insert into total values (0);",
)
_ADD = "insert into item (id, name, stock) values ($1, $2, $3)"
_AT_ONCE = 30


class Item(Struct):
    """A row."""

    id: int
    name: str
    stock: int | None


class _Planned(Exception):
    """What a body raises to be undone."""


class _Publisher:
    """Puts a row into the outbox for each event, as the runtime's companion does."""

    def __init__(self) -> None:
        self.committed_with: list[int] = []
        self._count = 0

    def publish(self, tx: StoreTransaction, event: Event) -> str:
        self._count += 1
        event_id = f"e{self._count}"
        tx.outbox.append((event_id, "shop.Shop", "shop.Shop.Sold", None, b"{}"))
        return event_id

    def schedule(
        self, tx: StoreTransaction, event: Event, at: datetime | None, after: timedelta | None
    ) -> str:
        raise NotImplementedError

    async def cancel(self, tx: StoreTransaction, event_id: str) -> bool:
        raise NotImplementedError

    async def answer(self, tx: StoreTransaction, value: Any) -> Any:
        raise NotImplementedError

    def committed(self, tx: StoreTransaction) -> None:
        self.committed_with.append(tx.sequence)


class _Sold(Event):
    """Something was sold."""


class StoreConformance:
    """Subclass it as `Test...`, and say how a store is made."""

    async def make_store(self, folder: Path) -> Store:
        """A store that is not open yet; in the same folder it is the same database again."""
        raise NotImplementedError("a suite says how its store is made")

    @asynccontextmanager
    async def _opened(self, folder: Path) -> AsyncGenerator[Store]:
        store = await self.make_store(folder)
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def _store(self) -> AsyncGenerator[Store]:
        with tempfile.TemporaryDirectory(prefix="borough-store-") as name:
            async with self._opened(Path(name)) as store:
                await store.migrate("service", [_SCHEMA])
                yield store

    @asynccontextmanager
    async def _two(self) -> AsyncGenerator[tuple[Store, Store]]:
        with tempfile.TemporaryDirectory(prefix="borough-store-") as name:
            async with self._opened(Path(name)) as one:
                await one.migrate("service", [_SCHEMA])
                async with self._opened(Path(name)) as other:
                    yield one, other

    @asynccontextmanager
    async def _later(self) -> AsyncGenerator[tuple[Store, Store]]:
        async with self._two() as (one, other):
            await one.migrate("borough", borough_migrations(one.dialect))
            yield one, other

    # --- what a commit is -----------------------------------------------------------------------

    async def test_a_committed_body_is_seen_by_another_process_at_once(self) -> None:
        async with self._two() as (one, other):
            for number in range(20):
                await _add(one, number)
                found = await other.one(int, "select count(*) from item")
                equal(found, number + 1, "rows seen elsewhere after a commit")

    async def test_a_commit_that_is_not_waited_for_comes_before_what_follows(self) -> None:
        lost: list[StoreError] = []
        async with self._two() as (one, other):
            for number in range(20):
                async with one.transaction(serializable=False) as tx:
                    await tx.execute(_ADD, number, str(number), 1)
                    tx.commit_asynchronously(lost.append)
                async with other.transaction(serializable=False) as tx:
                    seen = await tx.one(int, "select count(*) from item")
                equal(seen, number + 1, "rows seen elsewhere by who writes afterwards")
        equal(lost, [], "commits that were told as lost")

    async def test_what_was_committed_is_there_after_closing_and_opening(self) -> None:
        with tempfile.TemporaryDirectory(prefix="borough-store-") as name:
            async with self._opened(Path(name)) as store:
                await store.migrate("service", [_SCHEMA])
                await asyncio.gather(*(_add(store, number) for number in range(_AT_ONCE)))
            async with self._opened(Path(name)) as store:
                equal(await _ids(store), list(range(_AT_ONCE)), "rows after a restart")

    async def test_a_body_that_raises_leaves_nothing(self) -> None:
        async with self._store() as store:
            async with raising(_Planned, "a body"):
                await _add_and_raise(store, 1)
            equal(await _ids(store), [], "rows of a body that raised")
            await _add(store, 2)
            equal(await _ids(store), [2], "rows after the next body")

    async def test_bodies_fail_alone(self) -> None:
        async with self._store() as store:
            bodies = [
                _add_and_raise(store, number) if number % 3 == 0 else _add(store, number)
                for number in range(_AT_ONCE)
            ]
            results = await asyncio.gather(*bodies, return_exceptions=True)
            failed = [n for n, result in enumerate(results) if isinstance(result, _Planned)]
            equal(failed, [n for n in range(_AT_ONCE) if n % 3 == 0], "bodies that raised")
            kept = [n for n in range(_AT_ONCE) if n % 3]
            equal(await _ids(store), kept, "rows of the others")

    async def test_bodies_are_serializable(self) -> None:
        async with self._two() as (one, other):
            stores = [one, other] * (_AT_ONCE // 2)
            await asyncio.gather(*(_count_up(store) for store in stores))
            found = await one.one(int, "select n from total")
            equal(found, _AT_ONCE, "a total that each body read and raised by one")

    async def test_a_body_sees_its_own_writes_and_others_do_not(self) -> None:
        async with self._store() as store, store.transaction() as tx:
            await tx.execute(_ADD, 1, "a", 1)
            equal(await tx.one(int, "select count(*) from item"), 1, "rows inside")
            equal(await store.one(int, "select count(*) from item"), 0, "rows outside")

    async def test_a_cancelled_body_leaves_nothing(self) -> None:
        async with self._store() as store:
            inside = asyncio.Event()

            async def wait() -> None:
                async with store.transaction() as tx:
                    await tx.execute(_ADD, 1, "a", 1)
                    inside.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(wait())
            await inside.wait()
            task.cancel()
            async with raising(asyncio.CancelledError, "a cancelled body"):
                await task
            equal(await _ids(store), [], "rows of a cancelled body")
            await _add(store, 2)

    # --- failing inside --------------------------------------------------------------------------

    async def test_a_broken_constraint_is_told_as_that(self) -> None:
        async with self._store() as store:
            await _add(store, 1)
            async with raising(ConstraintViolated, "a second row of the same key"):
                await _add(store, 1)
            equal(await _ids(store), [1], "rows")

    async def test_a_failed_statement_that_is_swallowed_commits_nothing(self) -> None:
        async with self._store() as store:
            async with (
                raising(StoreError, "leaving a body in which a statement failed"),
                store.transaction() as tx,
            ):
                await tx.execute(_ADD, 1, "a", 1)
                async with raising(StoreError, "a statement of nonsense"):
                    await tx.execute("insert into nowhere values (1)")
            equal(await _ids(store), [], "rows")

    async def test_a_savepoint_fails_alone(self) -> None:
        async with self._store() as store:
            async with store.transaction() as tx:
                await tx.execute(_ADD, 1, "a", 1)
                async with raising(ConstraintViolated, "the inner part"), tx.savepoint():
                    await tx.execute(_ADD, 2, "b", 1)
                    await tx.execute(_ADD, 1, "a", 1)
                async with tx.savepoint():
                    await tx.execute(_ADD, 3, "c", 1)
            equal(await _ids(store), [1, 3], "rows")

    async def test_transaction_control_in_a_statement_is_refused(self) -> None:
        async with self._store() as store:
            for sql in ("commit", "rollback", "begin"):
                async with raising(TransactionMisuse, sql), store.transaction() as tx:
                    await tx.execute(_ADD, 1, "a", 1)
                    await tx.execute(sql)
            equal(await _ids(store), [], "rows")

    async def test_a_transaction_inside_a_transaction_is_refused(self) -> None:
        async with self._store() as store:
            async with (
                raising(TransactionMisuse, "the inner transaction"),
                store.transaction(),
                store.transaction(),
            ):
                _never()
            await _add(store, 1)

    async def test_a_transaction_that_is_over_takes_no_statement(self) -> None:
        async with self._store() as store:
            async with store.transaction() as tx:
                check(tx.is_open, "a transaction inside its block says that it is not open")
            check(not tx.is_open, "a transaction that is over says that it is open")
            async with raising(TransactionMisuse, "a statement after the block"):
                await tx.execute(_ADD, 1, "a", 1)

    # --- events commit with the rows -------------------------------------------------------------

    async def test_events_commit_with_the_body_in_their_order(self) -> None:
        async with self._store() as store:
            await store.migrate("borough", borough_migrations(store.dialect))
            publisher = _Publisher()
            async with store.transaction(publisher) as tx:
                await tx.execute(_ADD, 1, "a", 1)
                tx.publish(_Sold())
                async with raising(_Planned, "a savepoint"), tx.savepoint():
                    tx.publish(_Sold())
                    raise _Planned
                tx.publish(_Sold())
            async with raising(_Planned, "a body"), store.transaction(publisher) as tx:
                tx.publish(_Sold())
                raise _Planned
            query = "select id from borough_outbox order by sequence"
            equal(await store.all(str, query), ["e1", "e3"], "events in the outbox")
            last = await store.one(int, "select max(sequence) from borough_outbox")
            equal(publisher.committed_with, [last], "what the companion was told")

    async def test_an_event_for_later_that_commits_during_a_move_is_not_lost(self) -> None:
        async with self._later() as (one, other):
            await schedule(one, 2.0, "first")
            await moved_while(one, lambda: schedule(other, 1.0, "second"))
            equal(sorted(await _published(one)), ["first", "second"], "events in the outbox")

    async def test_an_event_that_is_taken_back_during_a_move_is_not_published(self) -> None:
        async with self._later() as (one, other):
            await schedule(one, 2.0, "first")
            await schedule(one, 1.0, "kept")
            cancelled = await moved_while(one, lambda: take_back(other, "first"))
            expected = ["kept"] if cancelled else ["first", "kept"]
            equal(sorted(await _published(one)), expected, "events in the outbox")

    async def test_events_for_later_take_their_places_by_their_times(self) -> None:
        async with self._later() as (one, _):
            for number, due in enumerate((3.0, 1.0, 2.0, 1.0)):
                await schedule(one, due, f"e{number}")
            await moved_while(one, None)
            equal(await _published(one), ["e1", "e3", "e2", "e0"], "events in the outbox")

    async def test_without_a_companion_nothing_is_published(self) -> None:
        async with (
            self._store() as store,
            raising(TransactionMisuse, "publish without a companion"),
            store.transaction() as tx,
        ):
            tx.publish(_Sold())

    # --- rows ------------------------------------------------------------------------------------

    async def test_statements_tell_how_many_rows_they_changed(self) -> None:
        async with self._store() as store, store.transaction() as tx:
            rows = [(n, f"item {n}", 5) for n in range(4)]
            equal(await tx.many(_ADD, rows), 4, "rows of many")
            changed = await tx.execute("update item set stock = 1 where id > $1", 1)
            equal(changed, 2, "rows of execute")

    async def test_one_and_maybe_count_their_rows(self) -> None:
        async with self._store() as store:
            await _add(store, 1)
            wanted = Item(id=1, name="item 1", stock=1)
            query = "select id, name, stock from item where id <= $1"
            equal(await store.one(Item, query, 1), wanted, "one")
            equal(await store.maybe(Item, query, 0), None, "maybe of no row")
            async with raising(WrongRowCount, "one of no row"):
                await store.one(Item, query, 0)
            await _add(store, 2)
            async with raising(WrongRowCount, "maybe of two rows"):
                await store.maybe(Item, query, 2)
            equal(await store.all(str, "select name from item order by id desc"),
                  ["item 2", "item 1"], "all")  # fmt: skip

    async def test_parameters_are_bound_by_number(self) -> None:
        async with self._store() as store:
            await _add(store, 7)
            query = "select name from item where stock = $2 and id = $1 and stock = $2"
            equal(await store.one(str, query, 7, 1), "item 7", "the row")

    async def test_values_come_back_equal(self) -> None:
        columns = {
            "n": ("bigint", -(2**63)),
            "f": ("double precision", 0.1),
            "t": ("text", "naïve \N{SNOWMAN} ' \""),
            "u": ("text", UUID(int=7)),
            "m": ("text", Decimal("1.10")),
            "w": ("text", datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
            "d": ("text", date(2030, 1, 2)),
            "x": ("text", None),
        }
        made = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        async with self._store() as store:
            async with store.transaction() as tx:
                await tx.execute(f"create table v ({made})")
                await tx.execute(
                    f"insert into v values ({places})", *(value for _, value in columns.values())
                )
            for name, (_, value) in columns.items():
                kind: Any = tuple[type(value)]  # type: ignore[misc]
                found: Any = await store.one(kind, f"select {name} from v")
                equal(found, (value,), f"the value of {name}")

    async def test_a_snapshot_is_one_state(self) -> None:
        async with self._store() as store:
            await _add(store, 1)
            async with store.snapshot() as snapshot:
                await _add(store, 2)
                seen = await snapshot.all(int, "select id from item")
                equal(seen, [1], "rows that the snapshot sees")
            equal(await _ids(store), [1, 2], "rows")

    # --- migrations, opening, closing ------------------------------------------------------------

    async def test_migrations_are_applied_once_and_in_order(self) -> None:
        second = Migration("0002_more.sql", "insert into item (id, name) values (1, 'a')")
        async with self._store() as store:
            equal(list(await store.migrate("service", [_SCHEMA, second])), [second.name], "applied")
            equal(list(await store.migrate("service", [_SCHEMA, second])), [], "applied again")
            equal(await _ids(store), [1], "rows")

    async def test_a_changed_migration_is_refused(self) -> None:
        async with self._store() as store:
            changed = Migration(_SCHEMA.name, _SCHEMA.sql + " -- other")
            async with raising(MigrationRefused, "a changed migration"):
                await store.migrate("service", [changed])

    async def test_a_failing_migration_leaves_nothing_of_itself(self) -> None:
        bad = Migration(
            "0002_bad.sql", "insert into item (id, name) values (1, 'a'); insert into nowhere (x)"
        )
        async with self._store() as store:
            async with raising(MigrationRefused, "a failing migration"):
                await store.migrate("service", [_SCHEMA, bad])
            equal(await _ids(store), [], "rows")
            good = Migration("0002_good.sql", "insert into item (id, name) values (2, 'b')")
            await store.migrate("service", [_SCHEMA, good])
            equal(await _ids(store), [2], "rows after the mended one")

    async def test_a_closed_store_takes_no_call_and_opens_again(self) -> None:
        async with self._store() as store:
            await _add(store, 1)
            await store.close()
            await store.close()
            async with raising(StoreUnavailable, "a read after close"):
                await store.one(int, "select 1")
            async with raising(StoreUnavailable, "a transaction after close"), store.transaction():
                _never()
            await store.open()
            equal(await _ids(store), [1], "rows")


async def _add(store: Store, number: int) -> None:
    async with store.transaction() as tx:
        await tx.execute(_ADD, number, f"item {number}", 1)


async def _add_and_raise(store: Store, number: int) -> None:
    async with store.transaction() as tx:
        await tx.execute(_ADD, number, f"item {number}", 1)
        raise _Planned


async def _count_up(store: Store) -> None:
    """Read, let others have a turn, write; a conflict is tried again, as the runtime does."""
    while True:
        try:
            async with store.transaction() as tx:
                seen = await tx.one(int, "select n from total")
                await asyncio.sleep(0)
                await tx.execute("update total set n = $1", seen + 1)
            return
        except TransactionConflict:
            continue


async def _ids(store: Store) -> list[int]:
    return list(await store.all(int, "select id from item order by id"))


async def _published(store: Store) -> list[str]:
    return list(await store.all(str, "select id from borough_outbox order by sequence"))


def _never() -> NoReturn:
    raise AssertionError("a block was entered that must not be")
