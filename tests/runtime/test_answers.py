"""A key is answered once: repeats get the stored answer, a crash frees the key."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from borough.contracts.codec import Codec
from borough.contracts.marks import IDEMPOTENCY_KEY, Reply, contract, post
from borough.contracts.problem import Problem
from borough.contracts.reading import read_contract
from borough.contracts.struct import UNSET, Instant, Struct, Unset, field
from borough.errors import (
    KeyInUse,
    KeyReused,
    TransactionConflict,
    TransactionMisuse,
)
from borough.ports import StoreTransaction
from borough.runtime.answers import KeyedCalls, KeyedOperation, Mark
from borough.services.context import CURRENT, Call, Principal
from borough.testing.clock import ManualClock
from tests.runtime.stage import Place, files_with, staged
from tests.stores.bodies import Stepped, outcome


class Receipt(Struct):
    """What a charge answers."""

    number: int


class Dated(Struct):
    """A time."""

    at: Instant


class CardDeclined(Problem, status=402):
    """The issuer refused."""

    reason: str = field(name="theReason")
    until: int | Unset = UNSET


class Unknown(Problem):
    """A problem that the contract does not raise."""


@contract("orders", version="1.0")
class Charges(Protocol):
    """Charges cards."""

    @post("/charges", idempotent_by="order", raises=[CardDeclined])
    async def charge(self, order: str, cents: int) -> Receipt:
        """Charge once per order."""
        ...

    @post("/dates", idempotent_by=IDEMPOTENCY_KEY)
    async def date(self, cents: int) -> Reply[Dated]:
        """Tell when."""
        ...

    @post("/gifts", idempotent_by=IDEMPOTENCY_KEY)
    async def gift(self, cents: int) -> Reply[Receipt]:
        """Give once per key."""
        ...


OPERATIONS = read_contract(Charges).operations
Body = Callable[[StoreTransaction], Awaitable[Any]]


class Till:
    """Runs keyed operations as the callee's end of a call does."""

    def __init__(self, place: Place, clock: ManualClock) -> None:
        self.place = place
        self.clock = clock
        self.calls = KeyedCalls(place.store, clock)
        self.runs = 0

    async def run(
        self,
        body: Body,
        *arguments: Any,
        operation: str = "charge",
        key: str = "order-1",
        user: str | None = None,
        caller: str | None = None,
        before: Callable[[], Awaitable[object]] | None = None,
    ) -> Any:
        """`before` is awaited when the call has its mark, before its transaction."""
        bound = OPERATIONS[operation]
        principal = None if user is None else Principal(user)
        deadline = self.clock.monotonic() + 10
        call = Call(bound.wire_name, "orders", caller, principal, deadline, None, key)
        keyed = KeyedOperation(self.calls, Codec(bound))

        async def proceed() -> Any:
            self.runs += 1
            if before is not None:
                await before()
            token = CURRENT.set(call)
            try:
                async with self.place.db.transaction() as tx:
                    answer = await body(tx)
            finally:
                CURRENT.reset(token)
            if isinstance(answer, Problem):
                raise answer
            return answer

        return await keyed(arguments or ("order-1", 100), call, proceed)

    async def rows(self, table: str) -> int:
        return await self.place.store.one(int, f"select count(*) from {table}")


def answering(number: int) -> Body:
    async def body(tx: StoreTransaction) -> Any:
        await tx.execute("insert into placed values ($1, 'ann')", number)
        return await tx.answer(Receipt(number=number))

    return body


async def test_a_repeat_gets_the_stored_answer_and_runs_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        assert await till.run(answering(1)) == Receipt(number=1)
        assert await till.run(answering(2)) == Receipt(number=1)
        assert till.runs == 1
        assert (await till.rows("borough_marks"), await till.rows("borough_answers")) == (0, 1)


async def test_another_request_under_an_answered_key_is_refused(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        await till.run(answering(1), "order-1", 100)
        with pytest.raises(KeyReused):
            await till.run(answering(1), "order-1", 101)


async def test_what_a_request_holds_is_not_stored_with_its_answer(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        await till.run(answering(1), "order-1", 987_654_321)
        assert await till.rows("borough_answers") == 1
    assert await asyncio.to_thread(files_with, tmp_path, b"order-1")
    assert not await asyncio.to_thread(files_with, tmp_path, b"987654321")


async def test_a_repeat_during_the_first_run_is_refused_and_later_answered(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        mark = await till.calls.begin("x", "", "k", b"f", clock.monotonic() + 5, lambda v: v)
        assert isinstance(mark, Mark)
        with pytest.raises(KeyInUse) as refused:
            await till.calls.begin("x", "", "k", b"f", clock.monotonic() + 5, lambda v: v)
        assert refused.value.retry_after_s == 5
        await till.calls.release(mark)
        again = await till.calls.begin("x", "", "k", b"f", clock.monotonic() + 5, lambda v: v)
        assert isinstance(again, Mark)


async def test_a_mark_left_by_a_crash_runs_out_with_its_deadline(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        bound = OPERATIONS["charge"].wire_name
        await till.calls.begin(bound, "", "order-1", b"f", clock.monotonic() + 5, lambda v: v)
        with pytest.raises(KeyInUse):
            await till.run(answering(1))
        clock.advance(5)
        assert await till.run(answering(1)) == Receipt(number=1)


async def test_an_answer_whose_key_was_taken_over_commits_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def slow(tx: StoreTransaction) -> Any:
            await tx.execute("update borough_marks set owner = 'another run'")
            return await answering(1)(tx)

        with pytest.raises(KeyInUse) as refused:
            await till.run(slow)
        assert refused.value.retry_after_s == 1
        assert await till.rows("placed") == 0
        assert await till.rows("borough_answers") == 0


@pytest.mark.parametrize("is_part", [False, True])
async def test_a_run_that_hides_that_its_key_was_taken_over_commits_nothing(
    tmp_path: Path, is_part: bool
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def deaf(tx: StoreTransaction) -> Any:
            await tx.execute("update borough_marks set owner = 'another run'")
            await tx.execute("insert into placed values (7, 'bob')")
            with suppress(KeyInUse):
                async with tx.savepoint() if is_part else nullcontext():
                    await answering(1)(tx)
            with suppress(KeyInUse):  # and whatever comes next says so again
                await tx.execute("insert into placed values (8, 'eve')")
            return Receipt(number=1)

        with pytest.raises(KeyInUse, match="taken this idempotency key over"):
            await till.run(deaf)
        assert await till.rows("placed") == 0


async def test_what_is_sent_is_what_was_stored_also_where_another_transaction_answers_in_vain(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        bound = OPERATIONS["charge"]
        call = Call(bound.wire_name, "orders", None, None, 10, None, "order-1")

        async def answer(number: int) -> Any:
            async with till.place.db.transaction() as tx:
                return await answering(number)(tx)

        async def both() -> Any:
            answers = await asyncio.gather(answer(1), answer(2), return_exceptions=True)
            return next(each for each in answers if isinstance(each, Receipt))

        token = CURRENT.set(call)
        sent = await KeyedOperation(till.calls, Codec(bound))(("order-1", 100), call, both)
        CURRENT.reset(token)
        assert await till.place.store.all(int, "select number from placed") == [sent.number]
        assert await till.run(answering(3)) == sent


async def test_a_raised_problem_stores_nothing_so_that_another_card_may_follow(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def decline(tx: StoreTransaction) -> Any:
            raise CardDeclined(reason="empty")

        with pytest.raises(CardDeclined):
            await till.run(decline, "order-1", 1)
        assert await till.rows("borough_marks") == 0
        assert await till.run(answering(1), "order-1", 2) == Receipt(number=1)


async def test_an_answered_problem_is_raised_again_with_its_fields(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def decline(tx: StoreTransaction) -> Any:
            return await tx.answer(CardDeclined(reason="stolen"))

        for _ in range(2):
            with pytest.raises(CardDeclined) as declined:
                await till.run(decline)
            assert declined.value.reason == "stolen"
        assert till.runs == 1


async def test_an_answer_out_of_contract_is_the_authors_fault(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def strange(tx: StoreTransaction) -> Any:
            return await tx.answer(Unknown())

        with pytest.raises(TransactionMisuse, match="which its contract does not raise"):
            await till.run(strange)


async def test_a_reply_is_replayed_with_its_headers(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        reply = Reply(value=Receipt(number=1), headers={"x-a": "b"}, cookies={"c": "d"}, etag="e")

        async def give(tx: StoreTransaction) -> Any:
            return await tx.answer(reply)

        for _ in range(2):
            assert await till.run(give, 5, operation="gift", user="ann") == reply
        assert till.runs == 1


async def test_a_clients_key_is_its_own_and_a_business_fact_is_everybodys(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        def give(number: int) -> Body:
            async def body(tx: StoreTransaction) -> Any:
                return await tx.answer(Reply(value=Receipt(number=number)))

            return body

        for number, user, caller in [(1, "ann", None), (2, "bob", None), (3, None, "mail")]:
            reply = await till.run(give(number), 5, operation="gift", user=user, caller=caller)
            assert reply.value.number == number
        assert await till.run(answering(4), user="ann") == Receipt(number=4)
        assert await till.run(answering(5), user="bob") == Receipt(number=4)


async def test_a_conflict_reruns_until_there_is_an_answer(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def contested(tx: StoreTransaction) -> Any:
            if till.runs < 3:
                raise TransactionConflict("another was first")
            return await answering(1)(tx)

        assert await till.run(contested) == Receipt(number=1)
        assert till.runs == 3


async def test_a_cancelled_run_gives_its_key_back(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        begun = asyncio.Event()

        async def stuck(tx: StoreTransaction) -> Any:
            begun.set()
            await asyncio.Event().wait()

        run = asyncio.create_task(till.run(stuck))
        await begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await till.run(answering(1)) == Receipt(number=1)


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("early", [True, False])
async def test_a_call_that_is_cancelled_at_any_await_leaves_its_key_to_the_next_one(
    tmp_path: Path, early: bool, turns: int
) -> None:
    async def before() -> None:
        for _ in range(turns):  # meanwhile its key commits
            await asyncio.sleep(0)

    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        step, went_on = 0, True
        while went_on:
            step += 1
            key = f"order-{step}"
            run = till.run(answering(2 * step), key=key, before=before)
            stepped = Stepped(run, step, early=early)

            async def drive(stepped: Stepped = stepped) -> Any:
                return await stepped

            first = await outcome(asyncio.create_task(drive()))
            again = await till.run(answering(2 * step + 1), key=key)
            assert again in (Receipt(number=2 * step), Receipt(number=2 * step + 1)), step
            assert first == again or isinstance(first, asyncio.CancelledError), step
            went_on = stepped.reached >= step
        assert step > 1 + turns
        assert await till.rows("placed") == step
        assert await till.rows("borough_marks") == 0


async def test_a_second_answer_is_refused_and_a_rolled_back_one_is_none(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def twice(tx: StoreTransaction) -> Any:
            with pytest.raises(RuntimeError):  # noqa: PT012
                async with tx.savepoint():
                    await tx.answer(Receipt(number=1))
                    raise RuntimeError
            await tx.answer(Receipt(number=2))
            with pytest.raises(TransactionMisuse, match="answered already"):
                await tx.answer(Receipt(number=3))
            return Receipt(number=2)

        assert await till.run(twice) == Receipt(number=2)
        assert await till.run(twice) == Receipt(number=2)
        assert till.runs == 1


async def test_an_answer_outside_of_a_keyed_call_is_only_returned(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            assert await tx.answer(7) == 7
        assert await orders.store.one(int, "select count(*) from borough_answers") == 0


async def test_of_many_at_once_one_runs(tmp_path: Path) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)
        found = await asyncio.gather(
            *(till.run(answering(n)) for n in range(20)), return_exceptions=True
        )
        answers = [answer for answer in found if isinstance(answer, Receipt)]
        assert len(set(map(str, answers))) == 1
        assert all(isinstance(other, (Receipt, KeyInUse)) for other in found)
        assert (till.runs, await till.rows("placed")) == (1, 1)


def _order_of(version: int) -> Any:
    """A keyed operation whose request has a member more, with a default, in its second version."""

    class Line(Struct):
        sku: str

    class NewLine(Struct):
        sku: str
        gift: bool = False

    class Basket(Struct):
        lines: tuple[Line, ...]

    class NewBasket(Struct):
        lines: tuple[NewLine, ...]
        note: str = ""

    @contract("orders", version="1.0")
    class Old(Protocol):
        """Takes orders."""

        @post("/baskets", idempotent_by=IDEMPOTENCY_KEY)
        async def charge(self, basket: Basket, shop: str) -> Receipt:
            """Order once per key."""
            ...

    @contract("orders", version="1.1")
    class New(Protocol):
        """Takes orders."""

        @post("/baskets", idempotent_by=IDEMPOTENCY_KEY)
        async def charge(self, basket: NewBasket, shop: str, fast: bool = False) -> Receipt:
            """Order once per key."""
            ...

    if version == 1:
        Old.charge.__annotations__["basket"] = Basket
        codec = Codec(read_contract(Old).operations["charge"])
        return codec.canonical((Basket(lines=(Line(sku="a"),)), "x"))
    New.charge.__annotations__["basket"] = NewBasket
    codec = Codec(read_contract(New).operations["charge"])
    same = codec.canonical((NewBasket(lines=(NewLine(sku="a"),)), "x", False))
    other = codec.canonical((NewBasket(lines=(NewLine(sku="a", gift=True),)), "x", False))
    assert same != other
    return same


def test_a_member_added_with_a_default_leaves_a_request_as_it_was() -> None:
    assert _order_of(1) == _order_of(2)


async def test_what_is_sent_is_what_was_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def differing(tx: StoreTransaction) -> Any:
            await tx.answer(Receipt(number=1))
            return Receipt(number=1001)

        assert await till.run(differing) == Receipt(number=1)
        assert await till.run(differing) == Receipt(number=1)
        assert "stored one answer and gave another" in caplog.text


async def test_a_keyed_handler_that_stores_no_answer_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path, clock := ManualClock()) as stage:
        till = Till(await stage.place("orders"), clock)

        async def silent(tx: StoreTransaction) -> Any:
            return Receipt(number=2)

        assert await till.run(silent) == Receipt(number=2)
        assert "charge returned without tx.answer(...)" in caplog.text
