"""NaN, infinity, endless decimals and instants without UTC are refused alike in every mode, on the way in and out."""

import math
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Protocol, final

import pytest

from borough import Instant, Reply, Service, Struct, System, contract, get, post
from borough.errors import InvalidRequest, ServiceFailure
from borough.testing import Mode, Running, start
from tests.modes import IN_ONE_PROCESS


class Reading(Struct):
    heat: float = 0.0
    cost: Decimal | None = None


class Timed(Struct):
    """What was read, and when."""

    heat: float
    at: Instant


ANSWERS: dict[str, Reading] = {
    "nan": Reading(heat=math.nan),
    "infinite": Reading(heat=math.inf),
    "decimal": Reading(cost=Decimal("sNaN")),
    "endless": Reading(cost=Decimal("1E999999")),
}
WHOLE = {
    "whole": Reading(heat=3),
    "whole and endless": Reading(heat=3, cost=Decimal("NaN")),
}


INSTANTS = {
    "without a zone": datetime(2026, 1, 1),
    "with seconds off": datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=9, seconds=21))),
    "before UTC": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))),
}


@contract("meter", version="1.0")
class Meter(Protocol):
    """Takes and gives numbers."""

    @post("/scalars")
    async def scalars(self, heat: float, cost: Decimal) -> int: ...

    @post("/readings")
    async def put(self, reading: Reading) -> int: ...

    @post("/lists")
    async def lists(self, heats: list[float], costs: Mapping[str, Decimal]) -> int: ...

    @get("/heats/{cost}")
    async def find(self, cost: Decimal, heat: float | None = None) -> int: ...

    @get("/answers/{how}")
    async def answer(self, how: str) -> Reading: ...

    @get("/replies/{how}")
    async def reply(self, how: str) -> Reply[float]: ...

    @get("/streams/{how}")
    def stream(self, how: str) -> AsyncIterator[Reading]: ...

    @post("/times")
    async def read_at(self, at: Instant) -> Instant: ...

    @get("/times/{at}")
    async def found_at(self, at: Instant) -> Instant: ...

    @post("/echoes")
    async def echo(self, reading: Reading) -> Reading: ...

    @post("/echoed")
    def echoes(self, reading: Reading) -> AsyncIterator[Reading]: ...

    @post("/heats")
    async def heats(
        self, one: float, some: tuple[float, ...], last: float | None
    ) -> tuple[float, ...]: ...

    @get("/heat")
    async def heat(self) -> float: ...

    @post("/timed")
    async def put_timed(self, timed: Timed) -> Instant: ...

    @get("/instants/{how}")
    async def instant(self, how: str, heat: int) -> Timed: ...

    @get("/kept/{how}")
    async def kept(self, how: str) -> Reply[tuple[Instant, ...]]: ...

    @get("/ticks/{how}")
    def ticks(self, how: str) -> AsyncIterator[Instant]: ...

    @get("/watched")
    def watch(self, heat: float) -> AsyncIterator[int]: ...


@final
class MeterService(Service, Meter):
    async def scalars(self, heat: float, cost: Decimal) -> int:
        return 1

    async def put(self, reading: Reading) -> int:
        return 1

    async def lists(self, heats: list[float], costs: Mapping[str, Decimal]) -> int:
        return 1

    async def find(self, cost: Decimal, heat: float | None = None) -> int:
        return 1

    async def answer(self, how: str) -> Reading:
        return (ANSWERS | WHOLE).get(how, Reading(heat=1.5, cost=Decimal("1.50")))

    async def reply(self, how: str) -> Reply[float]:
        return Reply(value=(ANSWERS | WHOLE)[how].heat)

    async def stream(self, how: str) -> AsyncIterator[Reading]:
        yield Reading()
        yield (ANSWERS | WHOLE)[how]

    async def read_at(self, at: Instant) -> Instant:
        return at

    async def found_at(self, at: Instant) -> Instant:
        return at

    async def echo(self, reading: Reading) -> Reading:
        assert type(reading.heat) is float
        return reading

    async def echoes(self, reading: Reading) -> AsyncIterator[Reading]:
        assert type(reading.heat) is float
        yield reading

    async def heats(
        self, one: float, some: tuple[float, ...], last: float | None
    ) -> tuple[float, ...]:
        assert all(type(heat) is float for heat in (one, *some, last))
        return one, *some, last or 0

    async def heat(self) -> float:
        return 3

    async def put_timed(self, timed: Timed) -> Instant:
        return timed.at

    async def instant(self, how: str, heat: int) -> Timed:
        return Timed(heat=heat if heat else 0.5, at=INSTANTS[how])

    async def kept(self, how: str) -> Reply[tuple[Instant, ...]]:
        return Reply(value=(INSTANTS[how],))

    async def ticks(self, how: str) -> AsyncIterator[Instant]:
        yield datetime(2026, 1, 1, tzinfo=UTC)
        yield INSTANTS[how]

    async def watch(self, heat: float) -> AsyncIterator[int]:
        yield 1


@pytest.fixture(params=IN_ONE_PROCESS)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    mode: Mode = request.param
    async with start(System([MeterService]), mode=mode) as found:
        yield found


@pytest.mark.parametrize("heat", [math.nan, math.inf, -math.inf])
async def test_a_float_that_is_not_finite_is_refused_as_an_argument(
    running: Running, heat: float
) -> None:
    meter = running.client(Meter)
    for call in (
        meter.scalars(heat, Decimal(1)),
        meter.put(Reading(heat=heat)),
        meter.lists([1.0, heat], {}),
        meter.find(Decimal(1), heat),
        anext(meter.watch(heat)),
    ):
        with pytest.raises(InvalidRequest, match="not a finite number at #"):
            await call


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "finite"),
        ("sNaN", "finite"),
        ("Infinity", "finite"),
        ("1E999999", "beyond 6144"),
        ("0." + "1" * 7000, "more than 6144 characters"),
    ],
)
async def test_a_decimal_without_an_end_is_refused_as_an_argument(
    running: Running, text: str, words: str
) -> None:
    meter, cost = running.client(Meter), Decimal(text)
    for call in (
        meter.scalars(1.0, cost),
        meter.put(Reading(cost=cost)),
        meter.lists([], {"a": cost}),
        meter.find(cost),
    ):
        with pytest.raises(InvalidRequest, match=words):
            await call


@pytest.mark.parametrize(("year", "hours"), [(1, 14), (9999, -14)])
async def test_an_instant_that_utc_has_not_is_refused_as_an_argument(
    running: Running, year: int, hours: int
) -> None:
    meter, zone = running.client(Meter), timezone(timedelta(hours=hours))
    at = datetime(year, 1 if year == 1 else 12, 1 if year == 1 else 31, 12, tzinfo=zone)
    for call in (meter.read_at(at), meter.found_at(at)):
        with pytest.raises(InvalidRequest, match="no time in UTC"):
            await call
    inner = datetime(year, 6, 1, tzinfo=zone)
    assert await meter.read_at(inner) == await meter.found_at(inner) == inner


@pytest.mark.parametrize("zone", [None, timezone(timedelta(minutes=9, seconds=21))])
async def test_an_instant_that_no_wire_can_carry_is_refused_as_an_argument(
    running: Running, zone: timezone | None
) -> None:
    meter, at = running.client(Meter), datetime(1890, 1, 1, tzinfo=zone)
    for call in (meter.read_at(at), meter.found_at(at)):
        with pytest.raises(InvalidRequest, match=r"time ?zone|offset has seconds"):
            await call


async def test_the_place_of_such_a_number_is_named_alike(running: Running) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await running.client(Meter).lists([1.0, math.nan], {})
    assert caught.value.errors == (
        {"detail": "not a finite number", "pointer": "#/1", "parameter": "heats"},
    )
    assert caught.value.about == "meter.Meter.lists"


@pytest.mark.parametrize("how", sorted(ANSWERS))
async def test_an_answer_with_such_a_number_is_a_failure_of_the_service(
    running: Running, how: str
) -> None:
    with pytest.raises(ServiceFailure):
        await running.client(Meter).answer(how)
    items = running.client(Meter).stream(how)
    assert await anext(items) == Reading()
    with pytest.raises(ServiceFailure):
        await anext(items)


async def test_a_reply_with_such_a_number_is_a_failure_of_the_service(running: Running) -> None:
    with pytest.raises(ServiceFailure):
        await running.client(Meter).reply("nan")


@pytest.mark.parametrize("how", sorted(INSTANTS))
async def test_an_answer_with_an_instant_that_no_wire_can_carry_is_a_failure_of_the_service(
    running: Running, how: str
) -> None:
    meter = running.client(Meter)
    # A whole number in place of a float has the answer rebuilt, which must not hide it.
    for call in (meter.instant(how, 0), meter.instant(how, 3), meter.kept(how)):
        with pytest.raises(
            ServiceFailure, match=r"time zone|offset has seconds|no time in UTC"
        ) as failed:
            await call
        assert str(failed.value.about).startswith("meter.Meter.")
    ticks = meter.ticks(how)
    assert await anext(ticks) == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ServiceFailure):
        await anext(ticks)


async def test_a_whole_number_in_place_of_a_float_arrives_as_a_float(running: Running) -> None:
    meter = running.client(Meter)
    given = [
        await meter.echo(Reading(heat=3)),
        *[item async for item in meter.echoes(Reading(heat=3))],
        await meter.answer("whole"),
        *[item async for item in meter.stream("whole")],
    ]
    assert [type(reading.heat) for reading in given] == [float] * len(given)
    assert [type(heat) for heat in await meter.heats(3, (3, 0.5), 3)] == [float] * 4
    assert type((await meter.reply("whole")).value) is float
    assert type(await meter.heat()) is float


class Odd(float):
    """A number of a library of its own."""


@pytest.mark.parametrize("heat", [Odd(1.5), True, "1.5"])
async def test_what_no_wire_carries_as_a_float_is_refused_as_an_argument(
    running: Running, heat: Any
) -> None:
    meter = running.client(Meter)
    for call in (meter.scalars(heat, Decimal(1)), meter.put(Reading(heat=heat))):
        with pytest.raises(InvalidRequest):
            await call


async def test_a_whole_number_hides_nothing_behind_it(running: Running) -> None:
    meter = running.client(Meter)
    with pytest.raises(InvalidRequest, match="not a finite number at #/1"):
        await meter.heats(1.0, (3, math.nan), None)
    with pytest.raises(ServiceFailure):
        await meter.answer("whole and endless")


async def test_a_whole_number_lets_no_instant_pass_that_it_stands_beside(running: Running) -> None:
    odd = datetime(1900, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28)))
    for heat in (3, 3.0):
        with pytest.raises(InvalidRequest, match="its offset has seconds"):
            await running.client(Meter).put_timed(Timed(heat=heat, at=odd))


async def test_finite_numbers_pass(running: Running) -> None:
    meter = running.client(Meter)
    assert await meter.scalars(1e308, Decimal("1E6144")) == 1
    assert await meter.find(Decimal("-0.50"), 0.0) == 1
    assert await meter.answer("well") == Reading(heat=1.5, cost=Decimal("1.50"))
