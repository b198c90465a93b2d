"""An answer of another class than the contract's is refused, in the process and at the edge as between processes."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from borough import ANYONE, Database, Reply, Service, Struct, System, contract, get, post
from borough.contracts.answer import find_fit
from borough.contracts.reading import read_contract
from borough.errors import ServiceFailure
from borough.runtime.mocks import mock_of
from borough.testing import MODES, fake, start
from tests.calls.booth import ask


class Book(Struct):
    title: str
    copies: int = 1


class Paperback(Book):
    pass


class Weighed(Struct):
    grams: float


@contract("shelf", version="1.0")
class Shelf(Protocol):
    """Answers what it was told to."""

    @get("/books/{title}", allow=ANYONE)
    async def book(self, title: str) -> Book: ...

    @get("/found", allow=ANYONE)
    async def found(self) -> Book | None: ...

    @get("/weighed", allow=ANYONE)
    async def weighed(self) -> Weighed: ...

    @get("/all", allow=ANYONE)
    def all(self) -> AsyncIterator[Book]: ...

    @get("/replied/{title}", allow=ANYONE)
    async def replied(self, title: str) -> Reply[Book]: ...

    @get("/tagged", allow=ANYONE)
    async def tagged(self) -> Reply[str]: ...

    @post("/lent", allow=ANYONE, idempotent_by="title")
    async def lend(self, title: str) -> Book: ...


class ShelfService(Service, Shelf):
    db: Database
    answer: Any = 5

    async def book(self, title: str) -> Book:
        return cast(Book, self.answer)

    async def found(self) -> Book | None:
        return cast(Book, self.answer)

    async def weighed(self) -> Weighed:
        return cast(Weighed, self.answer)

    async def all(self) -> AsyncIterator[Book]:
        yield cast(Book, self.answer)

    async def replied(self, title: str) -> Reply[Book]:
        return Reply(value=cast(Book, self.answer))

    async def tagged(self) -> Reply[str]:
        return Reply(value="a", etag='"v1"')

    async def lend(self, title: str) -> Book:
        async with self.db.transaction() as tx:
            return await tx.answer(cast(Book, self.answer))


IN_ONE_PROCESS = [mode for mode in MODES if mode != "processes"]


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_a_service_is_refused_what_its_contract_does_not_promise(mode: Any) -> None:
    async with start(System([ShelfService]), mode=mode) as running:
        shelf = running.client(Shelf)
        calls = (
            shelf.book("a"),
            shelf.found(),
            shelf.weighed(),
            shelf.replied("a"),
            shelf.lend("a"),
        )
        for call in calls:
            with pytest.raises(ServiceFailure, match="answered out of contract"):
                await call
        with pytest.raises(ServiceFailure, match="answered out of contract"):
            [each async for each in shelf.all()]


@contract("counter", version="1.0")
class Counter(Protocol):
    """Hands books out."""

    @get("/shown", allow=ANYONE)
    async def shown(self) -> Reply[Book]: ...

    @get("/kept", allow=ANYONE)
    async def kept(self) -> Reply[None]: ...

    @get("/plain", allow=ANYONE)
    async def plain(self) -> Book: ...

    @get("/bare", allow=ANYONE)
    async def bare(self) -> None: ...

    @post("/sold", allow=ANYONE, idempotent_by="title")
    async def sell(self, title: str) -> Reply[Book]: ...


class CounterService(Service, Counter):
    """Answers a value where its contract says `Reply`, and the other way round."""

    db: Database

    async def shown(self) -> Any:
        return Book(title="a")

    async def kept(self) -> Any:
        return 5

    async def bare(self) -> Any:
        return Reply(value=None, cookies={"session": "s3cret"})

    async def plain(self) -> Any:
        return Reply(value=Book(title="a"), etag="1")

    async def sell(self, title: str) -> Any:
        async with self.db.transaction() as tx:
            await tx.execute("create table if not exists sales (title text)")
            await tx.execute("insert into sales values ($1)", title)
            headers = {"x-title": title} if "\n" in title else {}
            return await tx.answer(
                Reply(value=Book(title=title), headers=headers) if headers else Book(title=title)
            )


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_a_value_in_place_of_a_reply_with_it_reads_as_that_reply(mode: Any) -> None:
    async with start(System([CounterService]), mode=mode) as running:
        counter = running.client(Counter)
        assert await counter.shown() == Reply(value=Book(title="a"))
        assert await counter.kept() == Reply(value=None)
        for _ in ("first", "from the store"):
            assert await counter.sell("b") == Reply(value=Book(title="b"))


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_a_reply_that_the_contract_does_not_promise_is_refused(mode: Any) -> None:
    async with start(System([CounterService]), mode=mode) as running:
        with pytest.raises(ServiceFailure, match=r"Reply in place of Book .*does not say"):
            await running.client(Counter).plain()
        with pytest.raises(ServiceFailure, match=r"Reply in place of NoneType .*does not say"):
            await running.client(Counter).bare()


async def test_what_no_header_can_carry_is_not_stored_under_a_key() -> None:
    async with start(System([CounterService])) as running:
        counter = running.client(Counter)
        await counter.sell("a")
        with pytest.raises(ServiceFailure):
            await counter.sell("b\nc")
        assert await running.database("counter").all(str, "select title from sales") == ["a"]


async def test_what_an_earlier_version_has_stored_in_place_of_a_reply_is_given_again() -> None:
    async with start(System([CounterService])) as running:
        await running.client(Counter).sell("a")
        async with running.database("counter").transaction() as tx:
            await tx.execute("update borough_answers set answer = $1", b'{"title":"a"}')
        assert await running.client(Counter).sell("a") == Reply(value=Book(title="a"))


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_a_caller_finds_the_headers_of_a_reply_by_names_in_lower_case(mode: Any) -> None:
    told = fake(
        Counter,
        shown=Reply(value=Book(title="a"), headers={"X-Shelf": "3", "x-shelf": "4"}, etag="v1"),
    )
    async with start(System([CounterService]), mode=mode, fakes={Counter: told}) as running:
        reply = await running.client(Counter).shown()
        assert (reply.headers, reply.etag) == ({"x-shelf": "3, 4"}, "v1")


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
@pytest.mark.parametrize(
    "fields",
    [{"headers": {"a b": "c"}}, {"cookies": {"a b": "c"}}, {"cookies": {"a": 1}}, {"etag": '"v1"'}],
)
async def test_what_no_header_can_carry_is_refused_in_every_mode(mode: Any, fields: Any) -> None:
    told = fake(Counter, shown=Reply(value=Book(title="a"), **fields))
    async with start(System([CounterService]), mode=mode, fakes={Counter: told}) as running:
        with pytest.raises(
            ServiceFailure, match=r"cannot be answered|no header can carry|is no text"
        ):
            await running.client(Counter).shown()


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_a_mock_answers_a_reply_where_the_contract_says_so(mode: Any) -> None:
    mock = mock_of(read_contract(Counter))
    async with start(System([CounterService]), mode=mode, fakes={Counter: mock}) as running:
        assert isinstance((await running.client(Counter).shown()).value, Book)


async def test_the_edge_answers_500_and_tells_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(System([ShelfService]), edge=True) as running:
        for method, target in (("GET", "books/a"), ("GET", "found"), ("GET", "replied/a")):
            answer = await asyncio.to_thread(ask, running.edge_url, method, f"/shelf/{target}")
            assert (answer.status, answer.value["code"]) == (500, "service-failure")
        body = b'{"title": "a"}'
        answer = await asyncio.to_thread(ask, running.edge_url, "POST", "/shelf/lent", body)
        assert answer.status == 500
    told = "shelf.Shelf.book answered out of contract: int in place of Book"
    assert any(told in record.getMessage() for record in caplog.records)


async def test_the_log_tells_of_a_reply_whose_headers_cannot_be_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(System([ShelfService]), edge=True) as running:
        answer = await asyncio.to_thread(ask, running.edge_url, "GET", "/shelf/tagged")
        assert (answer.status, answer.value["code"]) == (500, "service-failure")
    told = "shelf.Shelf.tagged: The ETag '\"v1\"' cannot be answered: it is a text without quotes and spaces"
    assert told in [record.getMessage() for record in caplog.records]


async def test_what_reads_as_the_promised_class_on_the_other_side_is_one() -> None:
    async with start(System([ShelfService])) as running:
        service, shelf = cast(Any, running.service("shelf")), running.client(Shelf)
        service.answer = {"title": "a", "copies": 3}
        assert await shelf.book("a") == await shelf.found() == Book(title="a", copies=3)
        service.answer = Paperback(title="b")
        assert await shelf.book("b") is await shelf.found() is service.answer
        service.answer = None
        assert await shelf.found() is None


@contract("kinds", version="1.0")
class Kinds(Protocol):
    """One answer of each kind."""

    @get("/count")
    async def count(self) -> int: ...

    @get("/share")
    async def share(self) -> float: ...

    @get("/day")
    async def day(self) -> datetime.date: ...

    @get("/books")
    async def books(self) -> tuple[Book, ...]: ...

    @get("/name")
    async def name(self) -> str: ...

    @get("/nothing")
    async def nothing(self) -> None: ...


class Odd(str):
    """A text of a library of its own."""


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("count", 5, True),
        ("share", 5, "5"),
        ("day", datetime.date(2026, 1, 2), 5),
        ("day", datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
        ("books", (Book(title="a"),), Book(title="a")),
        ("name", "a", Odd("a")),
    ],
)
def test_a_value_is_looked_at_by_its_class(name: str, right: Any, wrong: Any) -> None:
    fit = find_fit(read_contract(Kinds).operations[name])
    assert fit is not None
    assert fit.fitted(right) == right
    with pytest.raises(ServiceFailure, match=f"kinds.Kinds.{name} answered out of contract"):
        fit.fitted(wrong)


def test_a_list_in_place_of_a_tuple_is_answered_as_a_tuple() -> None:
    fit = find_fit(read_contract(Kinds).operations["books"])
    assert fit.fitted([Book(title="a")]) == (Book(title="a"),)


def test_an_operation_without_an_answer_answers_nothing_whatever_it_is_given() -> None:
    assert find_fit(read_contract(Kinds).operations["nothing"]).answered(5) is None
