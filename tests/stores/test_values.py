"""Values come back as they went in, and sort as they should."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from borough import Meta, OpenEnum, Struct
from borough.errors import StoreError
from borough.stores.sqlite import SqliteStore
from borough.stores.values import compare_decimals


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Word(StrEnum):
    YES = "yes"


class Mood(OpenEnum):
    FINE = "fine"
    UNKNOWN = "unknown"


class Point(Struct):
    x: int
    when: datetime
    price: Decimal


class Round(Struct, tag=True):
    radius: int


class Square(Struct, tag=True):
    side: int


class Row(Struct):
    flag: bool
    number: int
    ratio: float
    text: str
    blob: bytes
    price: Decimal
    code: UUID
    moment: datetime
    day: date
    colour: Colour
    size: Size
    word: Word
    point: Point
    points: tuple[Point, ...]
    tags: list[str]
    counts: Mapping[str, int]
    shape: Round | Square
    perhaps: datetime | None
    perhaps_point: Point | None
    short: Annotated[str, Meta(max_length=1000)]


INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
POINTS = st.builds(Point, x=INT64, when=MOMENTS, price=DECIMALS)
ROWS = st.builds(
    Row,
    flag=st.booleans(),
    number=INT64,
    ratio=st.floats(allow_nan=False),
    text=TEXT,
    blob=st.binary(),
    price=DECIMALS,
    code=st.uuids(),
    moment=MOMENTS,
    day=st.dates(),
    colour=st.sampled_from(Colour),
    size=st.sampled_from(Size),
    word=st.sampled_from(Word),
    point=POINTS,
    points=st.lists(POINTS, max_size=3).map(tuple),
    tags=st.lists(TEXT, max_size=3),
    counts=st.dictionaries(TEXT, INT64, max_size=3),
    shape=st.builds(Round, radius=INT64) | st.builds(Square, side=INT64),
    perhaps=st.none() | MOMENTS,
    perhaps_point=st.none() | POINTS,
    short=TEXT,
)
FIELDS = Row.__struct_fields__


@given(rows=st.lists(ROWS, min_size=1, max_size=3))
@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_every_portable_type_comes_back_equal(store: SqliteStore, rows: list[Row]) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(FIELDS) + 1))
    async with store.transaction() as tx:
        await tx.execute("drop table if exists kept")
        await tx.execute(f"create table kept ({', '.join(FIELDS)})")
        for row in rows:
            values = [getattr(row, name) for name in FIELDS]
            await tx.execute(f"insert into kept values ({places})", *values)
        assert await tx.all(Row, "select * from kept order by rowid") == rows


@given(moments=st.lists(MOMENTS, min_size=2, max_size=20))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_times_sort_as_they_passed(store: SqliteStore, moments: list[datetime]) -> None:
    async with store.transaction() as tx:
        await tx.execute("drop table if exists kept")
        await tx.execute("create table kept (moment text not null) strict")
        await tx.many("insert into kept values ($1)", [(moment,) for moment in moments])
        found = await tx.all(datetime, "select moment from kept order by moment")
        assert found == sorted(moments)
        later = await tx.all(datetime, "select moment from kept where moment > $1", moments[0])
        assert sorted(later) == sorted(moment for moment in moments if moment > moments[0])


@given(prices=st.lists(DECIMALS, min_size=2, max_size=20))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_decimals_sort_by_value_in_a_decimal_column(
    store: SqliteStore, prices: list[Decimal]
) -> None:
    async with store.transaction() as tx:
        await tx.execute("drop table if exists kept")
        await tx.execute("create table kept (price text collate decimal not null) strict")
        await tx.many("insert into kept values ($1)", [(price,) for price in prices])
        assert await tx.all(Decimal, "select price from kept order by price") == sorted(prices)


@given(left=st.text(), middle=st.text() | DECIMALS.map(str), right=st.text())
@settings(max_examples=200)
def test_the_decimal_collation_is_an_order_for_any_text(left: str, middle: str, right: str) -> None:
    assert compare_decimals(left, right) == -compare_decimals(right, left)
    if compare_decimals(left, middle) <= 0 and compare_decimals(middle, right) <= 0:
        assert compare_decimals(left, right) <= 0


STORED = [
    (True, "integer", 1),
    (False, "integer", 0),
    (7, "integer", 7),
    (0.5, "real", 0.5),
    ("a", "text", "a"),
    (b"a", "blob", b"a"),
    (bytearray(b"a"), "blob", b"a"),
    (Decimal("1.10"), "text", "1.10"),
    (Decimal("1E+3"), "text", "1000"),
    (UUID(int=1), "text", "00000000-0000-0000-0000-000000000001"),
    (datetime(2025, 1, 31, 12, tzinfo=UTC), "text", "2025-01-31T12:00:00.000000Z"),
    (
        datetime(2025, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
        "text",
        "2025-01-31T10:00:00.000000Z",
    ),
    (date(2025, 1, 31), "text", "2025-01-31"),
    (Colour.RED, "text", "red"),
    (Size.SMALL, "integer", 1),
    (Word.YES, "text", "yes"),
    ((1, 2), "text", "[1,2]"),
    ([1, 2], "text", "[1,2]"),
    ({"b": 1, "a": 2}, "text", '{"a":2,"b":1}'),
    (Round(radius=1), "text", '{"type":"Round","radius":1}'),
    (None, "null", None),
]


@pytest.mark.parametrize(("value", "kind", "stored"), STORED)
async def test_a_value_is_stored_as_the_table_says(
    store: SqliteStore, value: Any, kind: str, stored: Any
) -> None:
    assert await store.one(tuple, "select typeof($1), $1", value) == (kind, stored)


def test_the_reference_names_every_stored_form() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "sqlite.md"
    text = page.read_text(encoding="utf-8")
    for _, kind, stored in STORED[9:14]:
        assert kind in text
        assert str(stored) in text or stored == "2025-01-31T10:00:00.000000Z"


REFUSED = [
    (math.nan, "NaN"),
    (2**63, "64 bits"),
    (-(2**63) - 1, "64 bits"),
    (datetime(2025, 1, 1), "no time zone"),
    (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "no time in UTC"),
    (Decimal("NaN"), "no number"),
    (Decimal("Infinity"), "no number"),
    (object(), "cannot be stored"),
    (timedelta(1), "cannot be stored"),
    ("\ud800", "cannot be stored"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED)
async def test_a_value_that_would_change_is_refused(
    store: SqliteStore, value: Any, said: str
) -> None:
    with pytest.raises(StoreError, match=said):
        await store.one(tuple, "select $1", value)
    with pytest.raises(StoreError, match=said):
        async with store.transaction() as tx:
            await tx.many("insert into item (name) values ($1)", [("a",), (value,)])


UNREADABLE = [
    (bool, "select 2", "0 or 1"),
    (bytes, "select 'YWJj'", "not bytes"),
    (Decimal, "select 1.5", "collate decimal"),
    (datetime, "select current_timestamp", "without a zone"),
    (datetime, "select 'soon'", "no time"),
    (datetime, "select 5", "no time"),
    (list[int], "select '[1,'", "no JSON"),
    (list[int], "select 5", "no JSON"),
    (Colour, "select 'green'", "does not fit"),
    (int | list[int], "select 5", "neither a plain value nor JSON"),
]


@pytest.mark.parametrize(("kind", "sql", "said"), UNREADABLE)
async def test_a_stored_value_of_another_form_is_refused(
    store: SqliteStore, kind: Any, sql: str, said: str
) -> None:
    with pytest.raises(StoreError, match=said):
        await store.one(kind, sql)


async def test_an_unknown_value_of_an_open_enum_is_read_as_unknown(store: SqliteStore) -> None:
    assert await store.one(Mood, "select 'grumpy'") is Mood.UNKNOWN


async def test_an_int_in_a_decimal_column_is_read_as_decimal(store: SqliteStore) -> None:
    assert await store.one(Decimal, "select 5") == Decimal(5)
