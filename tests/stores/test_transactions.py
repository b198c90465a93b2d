"""What a body may do, and what ends it."""

# the body of a transaction stands inside `raises`
# ruff: noqa: PT012

import asyncio
from typing import Any

import pytest

from borough.errors import (
    ConstraintViolated,
    StoreError,
    StoreUnavailable,
    TransactionMisuse,
    WrongRowCount,
)
from borough.stores.sqlite import SqliteStore
from tests.stores.bodies import ADD, SLOW, add, names, outcome
from tests.stores.conftest import Opener


async def test_a_statement_gives_the_number_of_rows_that_it_changed(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        assert await tx.execute(ADD, "a", 1) == 1
        assert await tx.many(ADD, [("b", 1), ("c", 2), ("d", 3)]) == 3
        assert await tx.execute("update item set stock = 0 where stock < $1", 3) == 3
        assert await tx.execute("select 1") == 0
        assert await tx.execute("create table other (id integer)") == 0
        assert await tx.execute("update item set stock = 1 where id > 1 returning id") == 3


async def test_the_loop_turns_while_thousands_of_rows_are_written(opened: Opener) -> None:
    store = await opened(body_s=30)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.ensure_future(turn())
    async with store.transaction() as tx:
        assert await tx.many(ADD, [(f"item {n}", n) for n in range(20_000)]) == 20_000
        while_written = turns
    turning.cancel()
    assert while_written >= 5
    assert await store.one(int, "select count(*) from item") == 20_000


async def test_a_transaction_reads_its_own_writes(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
        assert await tx.one(str, "select name from item") == "a"
        assert await store.all(str, "select name from item") == []


async def test_parameters_are_bound_by_number(store: SqliteStore) -> None:
    row = await store.one(tuple[str, str, str], "select $2, $1, $2", "one", "two")
    assert row == ("two", "one", "two")


@pytest.mark.parametrize("args", [(), (1, 2, 3)])
async def test_a_wrong_number_of_values_is_refused(store: SqliteStore, args: Any) -> None:
    with pytest.raises(StoreError, match=r"2 parameters and \d values"):
        await store.one(int, "select $1 + $2", *args)


async def test_a_value_that_no_parameter_takes_is_refused_as_on_postgres(
    store: SqliteStore,
) -> None:
    with pytest.raises(StoreError, match=r"\$2 is not used, and \$4 is, in: select"):
        await store.one(int, "select $1 + $4 + $3", 1, 2, 3, 4)


REFUSED = [
    "begin",
    "commit",
    "end",
    "rollback",
    "savepoint x",
    "release borough_body",
    " /* harmless */ rollback to borough_body",
    "-- a comment\ncommit",
    "attach 'other.db' as other",
    "detach main",
    "vacuum",
    "pragma synchronous = 0",
    "pragma foreign_keys = off",
    "pragma journal_mode",
    "select 1; commit",
    "create table a (b); commit",
    "insert or rollback into item (name) values ('a')",
    "update or  /* */ ROLLBACK item set name = 'a'",
    "create table a (b unique on conflict rollback)",
    "create trigger t before insert on item begin select raise(rollback, 'x'); end",
]


@pytest.mark.parametrize("sql", REFUSED)
async def test_transaction_control_in_a_statement_is_refused(store: SqliteStore, sql: str) -> None:
    await add(store, "before")
    with pytest.raises(TransactionMisuse):
        async with store.transaction() as tx:
            await tx.execute(ADD, "a", 1)
            await tx.execute(sql)
    await add(store, "after")
    assert await names(store) == ["after", "before"]


async def test_a_refused_statement_fails_only_its_body(store: SqliteStore) -> None:
    async def commit() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "x", 1)
            await tx.execute("commit")

    results = await asyncio.gather(
        add(store, "a"), commit(), add(store, "b"), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), TransactionMisuse, type(None)]
    assert await names(store) == ["a", "b"]


@pytest.mark.parametrize(
    "sql",
    [
        "select 'commit; rollback', \"name\" from item",
        'select name as "begin" from item -- ; commit',
        "select [name] from item;",
        "select name from item where name = 'or rollback'",
        "pragma table_info(item)",
        "select count(*) from pragma_foreign_key_list('line')",
    ],
)
async def test_words_in_quotes_and_comments_are_only_text(store: SqliteStore, sql: str) -> None:
    await add(store, "a")
    await store.all(tuple, sql)


async def test_a_trigger_may_be_created(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(
            "create trigger t after insert on item begin update item set stock = 5; select 1; end"
        )
        await tx.execute(ADD, "a", 1)
        assert await tx.one(int, "select stock from item") == 5


async def test_a_transaction_inside_a_transaction_is_refused(store: SqliteStore) -> None:
    with pytest.raises(TransactionMisuse, match=r"Pass the `tx` on, or use tx\.savepoint"):
        async with store.transaction(), store.transaction():
            pass
    await add(store, "a")


async def test_a_task_started_inside_a_transaction_cannot_open_another(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
        result = await asyncio.ensure_future(outcome(add(store, "b")))
    assert isinstance(result, TransactionMisuse)
    assert await names(store) == ["a"]


async def test_a_task_that_outlives_the_transaction_may_open_its_own(store: SqliteStore) -> None:
    left = asyncio.Event()

    async def later() -> None:
        await left.wait()
        await add(store, "later")

    async with store.transaction():
        task = asyncio.ensure_future(later())
    left.set()
    await task
    assert await names(store) == ["later"]


async def test_one_transaction_after_another_in_a_task_is_fine(store: SqliteStore) -> None:
    await add(store, "a")
    await add(store, "b")
    assert await names(store) == ["a", "b"]


async def test_a_transaction_is_entered_once(store: SqliteStore) -> None:
    transaction = store.transaction()
    async with transaction:
        pass
    with pytest.raises(TransactionMisuse):
        async with transaction:
            pass


async def test_a_transaction_that_is_over_takes_no_statement(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        pass
    with pytest.raises(TransactionMisuse, match="over"):
        await tx.execute(ADD, "a", 1)
    with pytest.raises(TransactionMisuse, match="over"):
        await tx.one(int, "select 1")


async def test_a_failed_statement_dooms_the_transaction(store: SqliteStore) -> None:
    with pytest.raises(ConstraintViolated):
        async with store.transaction() as tx:
            await tx.execute(ADD, "a", 1)
            with pytest.raises(ConstraintViolated):
                await tx.execute(ADD, "a", 1)
            with pytest.raises(TransactionMisuse, match="has failed"):
                await tx.execute(ADD, "b", 1)
    assert await names(store) == []


async def test_swallowing_a_failed_statement_does_not_commit(store: SqliteStore) -> None:
    with pytest.raises(TransactionMisuse, match="nothing of the transaction is kept"):
        async with store.transaction() as tx:
            await tx.execute(ADD, "a", 1)
            with pytest.raises(StoreError):
                await tx.execute("insert into nowhere values (1)")
    assert await names(store) == []


async def test_a_wrong_row_count_does_not_doom(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        with pytest.raises(WrongRowCount):
            await tx.one(int, "select id from item")
        await tx.execute(ADD, "a", 1)
    assert await names(store) == ["a"]


async def test_a_savepoint_fails_alone(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
        with pytest.raises(ConstraintViolated):
            async with tx.savepoint():
                await tx.execute(ADD, "b", 1)
                await tx.execute(ADD, "a", 1)
        await tx.execute(ADD, "c", 1)
    assert await names(store) == ["a", "c"]


async def test_savepoints_nest(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        async with tx.savepoint():
            await tx.execute(ADD, "a", 1)
            with pytest.raises(KeyError):
                async with tx.savepoint():
                    await tx.execute(ADD, "b", 1)
                    async with tx.savepoint():
                        await tx.execute(ADD, "c", 1)
                    raise KeyError
            async with tx.savepoint():
                await tx.execute(ADD, "d", 1)
        with pytest.raises(KeyError):
            async with tx.savepoint():
                async with tx.savepoint():
                    await tx.execute(ADD, "e", 1)
                raise KeyError
    assert await names(store) == ["a", "d"]


async def test_swallowing_a_failure_inside_a_savepoint_undoes_the_savepoint(
    store: SqliteStore,
) -> None:
    async with store.transaction() as tx:
        with pytest.raises(TransactionMisuse, match="leave the savepoint"):
            async with tx.savepoint():
                await tx.execute(ADD, "a", 1)
                with pytest.raises(ConstraintViolated):
                    await tx.execute(ADD, "b", -1)
        await tx.execute(ADD, "c", 1)
    assert await names(store) == ["c"]


async def test_a_failure_before_a_savepoint_is_not_cleared_by_it(store: SqliteStore) -> None:
    with pytest.raises(TransactionMisuse):
        async with store.transaction() as tx:
            with pytest.raises(ConstraintViolated):
                await tx.execute(ADD, "a", -1)
            async with tx.savepoint():
                pass
    assert await names(store) == []


async def test_savepoints_end_in_their_order(store: SqliteStore) -> None:
    with pytest.raises(TransactionMisuse):
        async with store.transaction() as tx:
            await tx.execute(ADD, "a", 1)
            outer, inner = tx.savepoint(), tx.savepoint()
            await outer.__aenter__()
            await inner.__aenter__()
            await outer.__aexit__(None, None, None)
    assert await names(store) == []


async def test_a_body_that_ends_inside_a_savepoint_is_undone(store: SqliteStore) -> None:
    with pytest.raises(TransactionMisuse, match="inside a savepoint"):
        async with store.transaction() as tx:
            await tx.savepoint().__aenter__()
            await tx.execute(ADD, "a", 1)
    assert await names(store) == []
    await add(store, "b")


async def test_a_body_holds_the_writer_for_a_bounded_time(opened: Opener) -> None:
    store = await opened(body_s=0.05)
    gone_on = asyncio.Event()

    async def idle() -> None:
        async with store.transaction() as tx:
            await tx.execute(ADD, "idle", 1)
            await gone_on.wait()
            with pytest.raises(TransactionMisuse, match=r"more than 0\.05 s"):
                await tx.execute(ADD, "too late", 1)

    idling = asyncio.ensure_future(outcome(idle()))
    await asyncio.sleep(0)
    await add(store, "other")  # gets its turn although the first body has not ended
    gone_on.set()
    assert "more than 0.05 s" in str(await idling)
    assert await names(store) == ["other"]


async def test_an_expired_body_inside_a_savepoint_harms_nobody(opened: Opener) -> None:
    store = await opened(body_s=0.3)
    gone_on = asyncio.Event()

    async def idle() -> None:
        async with store.transaction() as tx, tx.savepoint():
            await tx.execute(ADD, "idle", 1)
            await gone_on.wait()

    idling = asyncio.ensure_future(outcome(idle()))
    await asyncio.sleep(0)
    async with store.transaction() as tx, tx.savepoint():
        gone_on.set()
        await idling
        await tx.execute(ADD, "other", 1)
    assert isinstance(await idling, TransactionMisuse)
    assert await names(store) == ["other"]


async def test_a_busy_writer_is_given_up_at_the_deadline(opened: Opener) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(deadline=lambda: loop.time() + 0.05)
    ended = asyncio.Event()

    async def hold() -> None:
        async with store.transaction():
            await ended.wait()

    holding = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="could not be had in time"):
        await add(store, "late")
    ended.set()
    await holding
    await add(store, "a")
    assert await names(store) == ["a"]


async def test_a_passed_deadline_begins_nothing(opened: Opener) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    store = await opened(deadline=lambda: deadline)
    deadline = 0.0
    with pytest.raises(StoreUnavailable, match="has not begun"):
        await add(store, "a")


async def test_the_line_of_waiting_bodies_is_bounded(opened: Opener) -> None:
    store = await opened(waiting_bodies=3)
    ended = asyncio.Event()

    async def hold() -> None:
        async with store.transaction():
            await ended.wait()

    holding = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(add(store, name)) for name in "abc"]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="3 transactions wait"):
        await add(store, "d")
    ended.set()
    await asyncio.gather(holding, *waiting)
    assert await names(store) == ["a", "b", "c"]


async def test_a_slow_read_in_a_transaction_leaves_the_loop(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.execute(ADD, "a", 1)
        for _ in range(2):  # interrupted and begun again, then at once in the worker
            turns = 0

            async def turn() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            turning = asyncio.ensure_future(turn())
            assert await tx.one(int, SLOW, 300_000) == 300_000
            turning.cancel()
            assert turns > 10
        assert await tx.one(str, "select name from item") == "a"
    assert await names(store) == ["a"]


async def test_two_tasks_cannot_run_statements_of_one_body_at_once(store: SqliteStore) -> None:
    with pytest.raises(TransactionMisuse, match="another statement"):
        async with store.transaction() as tx:
            slow, second = await asyncio.gather(
                tx.one(int, SLOW, 300_000), tx.execute(ADD, "b", 1), return_exceptions=True
            )
            assert slow == 300_000
            assert isinstance(second, TransactionMisuse)
            raise second
    assert await names(store) == []


async def test_a_body_that_leaves_a_statement_running_is_undone(store: SqliteStore) -> None:
    running: list[asyncio.Future[Any]] = []
    with pytest.raises(TransactionMisuse, match="while one of its statements was running"):
        async with store.transaction() as tx:
            await tx.execute(ADD, "a", 1)
            running.append(asyncio.ensure_future(outcome(tx.one(int, SLOW, 300_000))))
            await asyncio.sleep(0)
    await running[0]
    await add(store, "b")
    assert await names(store) == ["b"]


async def test_a_limit_of_the_last_read_does_not_interrupt_the_end_of_its_body(
    store: SqliteStore,
) -> None:
    for number in range(500):  # the engine looks at the clock each thousand steps of a text
        async with store.transaction() as tx:
            await tx.execute(ADD, f"item {number}", 1)
            await tx.one(int, "select 1")
            await asyncio.sleep(0.0025)  # longer than a read may take on the loop
    assert await store.one(int, "select count(*) from item") == 500
