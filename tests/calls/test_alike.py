"""What a caller gets does not depend on where the callee runs: in the process, encoded, or over HTTP."""

from __future__ import annotations

import asyncio
import enum
import math
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Literal, Protocol, cast, final

import pytest

from borough import (
    UNSET,
    Instant,
    Meta,
    Problem,
    Service,
    Struct,
    System,
    Unset,
    contract,
    delete,
    field,
    get,
    patch,
    post,
)
from borough.errors import InvalidRequest, ServiceFailure, Unavailable
from borough.testing import Running, start


class Torn(Problem, status=409):
    """It is torn."""

    page: int


class Lost(Problem, status=404):
    """It is lost."""

    last_seen: str = field(name="lastSeen")
    by: str | Unset = UNSET


class Worn(Problem, status=410):
    """It is worn out."""

    share: float
    since: Instant
    by: str = ""


class Ending(enum.Enum):
    """How it ends."""

    NULL = "null"
    WELL = "well"


class Cover(Struct):
    """What is around it."""

    colour: str


class Note(Struct, tag=True):
    """What somebody has written into it."""

    text: str


class Scribble(Note, tag=True):
    """What cannot be read by who knows notes alone."""


class TornInTwo(Torn):
    """It is torn in two, which only its own service knows."""

    where: str


@contract("shelf", version="1.0")
class Shelf(Protocol):
    """Holds books."""

    @get("/books/mine")
    async def mine(self) -> str: ...

    @get("/books/{title}")
    async def find(self, title: str) -> str: ...

    @delete("/books/all")
    async def clear(self) -> None: ...

    @delete("/books/{title}")
    async def remove(self, title: str) -> None: ...

    @post("/reads", raises=[Torn])
    async def read(self) -> None: ...

    @post("/searches", raises=[Lost])
    async def search(self) -> None: ...

    @post("/wears", raises=[Worn])
    async def wear(self, how: str) -> None: ...

    @post("/waits")
    async def wait(self) -> None: ...

    @post("/doors")
    async def unlock(self, how: Literal["wide", "a little"]) -> Literal["open", "ajar"]: ...

    @post("/exits")
    async def exit(self) -> None: ...

    @get("/shelves")
    async def sorted_by(
        self, ending: Ending | None = None, books: tuple[int, ...] = ()
    ) -> Ending | None: ...

    @patch("/books")
    async def edit(
        self,
        title: str | Unset = UNSET,
        pages: Annotated[int, Meta(ge=1)] | Unset = UNSET,
        tags: list[str] | Unset = UNSET,
        cover: Cover | Unset | None = UNSET,
    ) -> tuple[str, ...]: ...

    @post("/notes")
    async def annotate(self, note: Note) -> Note: ...

    @post("/lendings")
    async def lend(self, title: str, days: int) -> str: ...

    @post("/scribbles")
    async def scribble(self) -> Note: ...

    @get("/pages")
    def pages(self) -> AsyncIterator[int]: ...

    @get("/loans")
    def loans(self) -> AsyncIterator[int]: ...


class Threadbare(Worn):
    """It has not even what it declares."""

    def __init__(self) -> None:
        Exception.__init__(self)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORN = {
    "well": Worn(share=0.5, since=NOW, by="time"),
    "not a finite number": Worn(share=math.nan, since=NOW),
    "without a time zone": Worn(share=0.5, since=datetime(2026, 1, 1)),
    "does not tell its offset": Worn(
        share=0.5, since=datetime(2026, 1, 1, tzinfo=cast("Any", tzinfo)())
    ),
    "AttributeError": Threadbare(),
    "Expected `str`, got `int`": Worn(share=0.5, since=NOW, by=cast("Any", 7)),
}


@final
class ShelfService(Service, Shelf):
    """Says which operation was called."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    async def mine(self) -> str:
        return "mine"

    async def find(self, title: str) -> str:
        return f"find {title}"

    async def clear(self) -> None:
        self.removed.append("everything")

    async def remove(self, title: str) -> None:
        self.removed.append(title)

    async def read(self) -> None:
        raise TornInTwo(page=7, where="the middle")

    async def search(self) -> None:
        raise Lost(last_seen="the train")

    async def wear(self, how: str) -> None:
        raise WORN[how]

    async def wait(self) -> None:
        await _cancelled()

    async def unlock(self, how: Literal["wide", "a little"]) -> Literal["open", "ajar"]:
        return "open" if how == "wide" else cast("Any", "half open")

    async def exit(self) -> None:
        sys.exit(3)

    async def sorted_by(
        self, ending: Ending | None = None, books: tuple[int, ...] = ()
    ) -> Ending | None:
        return ending

    async def edit(
        self,
        title: str | Unset = UNSET,
        pages: int | Unset = UNSET,
        tags: list[str] | Unset = UNSET,
        cover: Cover | Unset | None = UNSET,
    ) -> tuple[str, ...]:
        given = {"title": title, "pages": pages, "tags": tags, "cover": cover}
        return tuple(name for name, value in given.items() if value is not UNSET)

    async def annotate(self, note: Note) -> Note:
        return note

    async def lend(self, title: str, days: int) -> str:
        return f"{title} for {days} days"

    async def scribble(self) -> Note:
        return Scribble(text="~~")

    async def pages(self) -> AsyncIterator[int]:
        yield 1
        await _cancelled()

    async def loans(self) -> AsyncIterator[int]:
        yield 1
        raise Unavailable("The register is being bound", retry_after_s=7)


async def _cancelled() -> None:
    """Wait for something that somebody else has cancelled."""
    waited = asyncio.get_running_loop().create_future()
    waited.cancel()
    await waited


@pytest.fixture(params=["local", "honest", "wire"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with start(System([ShelfService]), mode=request.param) as found:
        yield found


@pytest.mark.parametrize(
    "given",
    [{}, {"title": "a"}, {"pages": 3}, {"tags": ["a"]}, {"cover": None}, {"cover": Cover(colour="red")}],
)  # fmt: skip
async def test_what_is_left_out_is_left_out_for_the_handler(
    running: Running, given: dict[str, Any]
) -> None:
    assert await running.client(Shelf).edit(**given) == tuple(given)


@pytest.mark.parametrize("ending", [None, *Ending])
async def test_a_choice_that_reads_like_nothing_is_a_choice(
    running: Running, ending: Ending | None
) -> None:
    assert await running.client(Shelf).sorted_by(ending) is ending


async def test_a_text_that_is_no_unicode_stands_in_no_path(running: Running) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot be '\\ud800'"):
        await running.client(Shelf).find("\ud800")


async def test_a_literal_takes_nothing_but_its_values(running: Running) -> None:
    shelf = running.client(Shelf)
    assert await shelf.unlock("wide") == "open"
    with pytest.raises(InvalidRequest):
        await shelf.unlock(cast("Any", "shut"))
    with pytest.raises(ServiceFailure):
        await shelf.unlock("a little")


async def test_what_does_not_fit_is_refused_where_the_call_is_awaited(running: Running) -> None:
    shelf = running.client(Shelf)
    called = [shelf.unlock(cast("Any", 7)), shelf.lend("mine", cast("Any", "ten"))]
    for each in called:
        with pytest.raises(InvalidRequest):
            await each
    assert await shelf.lend("mine", 10) == "mine for 10 days"


async def test_what_cannot_be_left_out_is_missed(running: Running) -> None:
    with pytest.raises(InvalidRequest):
        await running.client(Shelf).find(cast("Any", UNSET))


@pytest.mark.parametrize("title", ["mine", "%6Dine", "min", "MINE", "a/b", "mine "])
async def test_the_operation_that_is_called_is_the_one_that_runs(
    running: Running, title: str
) -> None:
    assert await running.client(Shelf).find(title) == f"find {title}"


async def test_a_value_does_not_choose_another_operation(running: Running) -> None:
    await running.client(Shelf).remove("all")
    assert running.service("shelf").removed == ["all"]


async def test_a_subclass_that_its_tag_tells_apart_is_another_class(running: Running) -> None:
    shelf, note = running.client(Shelf), Note(text="mine")
    assert await shelf.annotate(note) == note
    with pytest.raises(InvalidRequest):
        await shelf.annotate(Scribble(text="mine"))
    with pytest.raises(ServiceFailure):
        await shelf.scribble()


async def test_a_problem_of_a_class_of_its_own_arrives_as_the_declared_one(
    running: Running,
) -> None:
    with pytest.raises(Torn) as raised:
        await running.client(Shelf).read()
    assert raised.value == Torn(page=7)


async def test_a_problem_keeps_fields_that_have_another_name_on_the_wire_or_are_left_out(
    running: Running,
) -> None:
    with pytest.raises(Lost) as raised:
        await running.client(Shelf).search()
    assert raised.value == Lost(last_seen="the train")


@pytest.mark.parametrize("how", sorted(WORN))
async def test_a_problem_with_other_fields_than_it_declares_is_a_failure_of_the_service(
    running: Running, how: str
) -> None:
    expected, words = (Worn, "worn out") if how == "well" else (ServiceFailure, how)
    with pytest.raises(expected, match=words) as raised:
        await running.client(Shelf).wear(how)
    if expected is Worn:
        assert raised.value == WORN[how]


async def test_a_handler_that_waits_for_what_is_cancelled_has_failed(running: Running) -> None:
    with pytest.raises(ServiceFailure):
        await running.client(Shelf).wait()


async def test_a_handler_that_exits_has_failed_and_the_process_goes_on(running: Running) -> None:
    with pytest.raises(ServiceFailure):
        await running.client(Shelf).exit()
    assert await running.client(Shelf).mine() == "mine"


async def test_a_stream_that_waits_for_what_is_cancelled_has_failed(running: Running) -> None:
    pages = aiter(running.client(Shelf).pages())
    assert await anext(pages) == 1
    with pytest.raises(ServiceFailure):
        await anext(pages)
    assert await running.client(Shelf).mine() == "mine"


async def test_a_stream_that_ends_for_now_says_when_to_come_again(running: Running) -> None:
    loans = aiter(running.client(Shelf).loans())
    assert await anext(loans) == 1
    with pytest.raises(Unavailable, match="bound") as raised:
        await anext(loans)
    assert raised.value.retry_after_s == 7
