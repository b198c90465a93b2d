"""Values are of the same classes, and nobody else's, wherever the callee runs: arguments, answers and problems."""

from __future__ import annotations

import copy
import enum
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol, cast, final
from uuid import UUID

import pytest

from borough import Problem, Service, Struct, System, contract, get, post
from borough.errors import InvalidRequest, TooLarge
from borough.testing import Running, start
from tests.modes import IN_ONE_PROCESS


class Ending(enum.Enum):
    """How it ends."""

    NULL = "null"
    WELL = "well"


class Cover(Struct):
    """What is around it."""

    colour: str


class Spilt(Problem, status=422):
    """It was spilt on."""

    stains: list[str]
    share: float

    def __init__(self, stains: list[str]) -> None:
        super().__init__(stains=stains, share=len(stains))


@contract("shelf", version="1.0")
class Shelf(Protocol):
    """Tells what came to it."""

    @post("/kinds")
    async def kinds(
        self,
        day: date,
        number: UUID | None = None,
        price: Decimal = Decimal(0),
        weight: float = 0.0,
        titles: tuple[str, ...] = (),
        ending: Ending = Ending.WELL,
    ) -> tuple[str, ...]: ...

    @post("/days")
    async def day_of(self, day: date) -> str: ...

    @get("/books/{title}")
    async def look(
        self,
        title: str,
        day: date | None = None,
        price: Decimal = Decimal(0),
        word: Literal["a", "b"] = "a",
    ) -> tuple[str, ...]: ...

    @post("/choices")
    async def choose(self, word: Literal["a", "b"]) -> None: ...

    @post("/spills", raises=[Spilt])
    async def spill(self) -> None: ...

    @get("/spills", raises=[Spilt])
    def spills(self) -> AsyncIterator[tuple[str, ...]]: ...

    @get("/stains")
    async def stains(self) -> tuple[str, ...]: ...


@final
class ShelfService(Service, Shelf):
    """Tells it by names."""

    def __init__(self) -> None:
        self.own = ["tea"]

    async def kinds(
        self,
        day: date,
        number: UUID | None = None,
        price: Decimal = Decimal(0),
        weight: float = 0.0,
        titles: tuple[str, ...] = (),
        ending: Ending = Ending.WELL,
    ) -> tuple[str, ...]:
        given = (day, number, price, weight, titles, ending)
        return tuple(type(each).__name__ for each in given)

    async def day_of(self, day: date) -> str:
        return type(day).__name__

    async def look(
        self,
        title: str,
        day: date | None = None,
        price: Decimal = Decimal(0),
        word: Literal["a", "b"] = "a",
    ) -> tuple[str, ...]:
        return title, str(price), type(day).__name__

    async def choose(self, word: Literal["a", "b"]) -> None:
        return None

    async def spill(self) -> None:
        raise Spilt(self.own)

    async def spills(self) -> AsyncIterator[tuple[str, ...]]:
        yield cast("Any", self.own)
        raise Spilt(self.own)

    async def stains(self) -> tuple[str, ...]:
        stains: Any = self.own
        return stains  # type: ignore[no-any-return]


@pytest.fixture(params=IN_ONE_PROCESS)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with start(System([ShelfService]), mode=request.param) as found:
        yield found


GIVEN: dict[str, tuple[Any, Any]] = {
    "day": (date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC)),
    "number": (UUID(int=1), 5),
    "price": (Decimal("1.5"), Ending.WELL),
    "weight": (1.5, "heavy"),
    "titles": (("a",), {"a": 1}),
    "ending": (Ending.NULL, "badly"),
}


@pytest.mark.parametrize("name", GIVEN)
async def test_an_argument_of_another_class_is_refused(running: Running, name: str) -> None:
    shelf: Any = running.client(Shelf)
    day = {"day": date(2026, 1, 2)}
    right, wrong = GIVEN[name]
    assert type(right).__name__ in await shelf.kinds(**{**day, name: right})
    for other in (wrong,) if name == "number" else (wrong, None):
        with pytest.raises(InvalidRequest, match=name):
            await shelf.kinds(**{**day, name: other})
        with pytest.raises(InvalidRequest):
            await shelf.day_of(other)


async def test_an_argument_that_is_read_as_its_class_over_a_wire_is_one(running: Running) -> None:
    given: dict[str, Any] = {
        "day": "2026-01-02",
        "number": str(UUID(int=1)),
        "price": "1.5",
        "weight": 1,
        "titles": ["a"],
        "ending": "null",
    }
    kinds = await running.client(Shelf).kinds(**given)
    assert kinds == ("date", "UUID", "Decimal", "float", "tuple", "Ending")
    assert await running.client(Shelf).day_of(given["day"]) == "date"


@pytest.mark.parametrize(
    "given",
    [
        {"title": 5}, {"title": ["a"]}, {"title": Cover(colour="red")}, {"day": 5},
        {"price": Cover(colour="red")}, {"word": Ending.NULL}, {"word": 1},
        {"title": None}, {"price": None}, {"word": None},
    ],
)  # fmt: skip
async def test_what_is_written_as_a_text_is_of_its_class_before(
    running: Running, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(given))):
        await running.client(Shelf).look(**{"title": "a", **given})


@pytest.mark.parametrize("text", ["-0", "-0.00", "1.50", "100", "1E+2"])
async def test_a_decimal_in_a_query_keeps_its_sign_and_its_places(
    running: Running, text: str
) -> None:
    assert (await running.client(Shelf).look("a", price=Decimal(text)))[1] == text


async def test_a_text_that_is_no_unicode_is_no_choice(running: Running) -> None:
    with pytest.raises(InvalidRequest):
        await running.client(Shelf).look("a", word=cast("Any", "\ud800"))
    with pytest.raises(InvalidRequest):
        await running.client(Shelf).choose(cast("Any", "\ud800"))


async def test_a_problem_arrives_with_values_of_its_own_whatever_its_constructor_takes(
    running: Running,
) -> None:
    own = cast("Any", running.service("shelf")).own
    with pytest.raises(Spilt) as raised:
        await running.client(Shelf).spill()
    assert raised.value.values == {"stains": ["tea"], "share": 1.0}
    assert type(raised.value.share) is float
    assert raised.value.stains is not own
    assert copy.copy(raised.value) == raised.value
    spills = running.client(Shelf).spills()
    assert await anext(spills) == ("tea",)
    with pytest.raises(Spilt):
        await anext(spills)


async def test_a_list_in_place_of_a_tuple_stays_with_who_answers(running: Running) -> None:
    stains = await running.client(Shelf).stains()
    cast("Any", running.service("shelf")).own.append("ink")
    assert stains == ("tea",)


async def test_an_address_that_is_too_long_is_too_large() -> None:
    async with start(System([ShelfService]), mode="wire") as running:
        with pytest.raises(TooLarge):
            await running.client(Shelf).look("a" * 20_000)
