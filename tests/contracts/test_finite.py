"""Numbers without an end are found wherever a type can hold them; other types have no look."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import pytest

from borough import Meta, Struct
from borough.contracts.finite import find_endless, find_unfit


class Leaf(Struct, rename="camel"):
    name: str
    how_wide: float = 0.0


class Tree(Struct):
    leaf: Leaf | None = None
    price: Decimal = Decimal(0)
    trees: "tuple[Tree, ...]" = ()
    by_name: Mapping[str, Leaf] = {}


class Bare(Struct):
    name: str
    below: "tuple[Bare, ...]" = ()


FINITE = "not a finite number"


@pytest.mark.parametrize("kind", [int, str, Bare, tuple[Bare, ...], Mapping[str, int | None]])
def test_a_type_without_such_numbers_has_no_look(kind: Any) -> None:
    assert find_endless(kind) is None


@pytest.mark.parametrize(
    ("kind", "value", "pointer"),
    [
        (float, math.nan, ""),
        (float | None, -math.inf, ""),
        (Annotated[float, Meta(ge=0)], math.inf, ""),
        (Decimal, Decimal("NaN"), ""),
        (Decimal, Decimal("sNaN"), ""),
        (Decimal | None, Decimal("-Infinity"), ""),
        (list[float], [1.0, math.nan], "/1"),
        (tuple[str, float], ("a", math.nan), "/1"),
        (Mapping[str, float], {"a/b~c": math.nan}, "/a~1b~0c"),
        (Tree, Tree(leaf=Leaf(name="a", how_wide=math.inf)), "/leaf/howWide"),
        (Tree, Tree(trees=(Tree(), Tree(price=Decimal("NaN")))), "/trees/1/price"),
        (Tree, Tree(by_name={"a": Leaf(name="a", how_wide=math.nan)}), "/by_name/a/howWide"),
    ],
)
def test_a_number_that_is_not_finite_is_found_with_its_place(
    kind: Any, value: Any, pointer: str
) -> None:
    look = find_endless(kind)
    assert look is not None
    assert look(value) == (FINITE, pointer)


@pytest.mark.parametrize("text", ["1E6145", "1E-6145", "-1E999999999", "0E999999999"])
def test_a_decimal_with_an_exponent_without_end_is_found(text: str) -> None:
    look = find_endless(Decimal)
    assert look is not None
    assert look(Decimal(text)) == ("the exponent is beyond 6144", "")


@pytest.mark.parametrize("text", ["0." + "1" * 6143, "1" * 6145, "1." + "1" * 20_000 + "E-6144"])
def test_a_decimal_that_is_written_without_end_is_found(text: str) -> None:
    look = find_endless(Decimal)
    assert look is not None
    assert look(Decimal(text)) == ("it is written with more than 6144 characters", "")


EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))


class Visit(Struct):
    at: datetime | None = None
    visits: "tuple[Visit, ...]" = ()


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (Visit(at=datetime(1, 1, 1, tzinfo=EAST)), "/at"),
        (
            Visit(visits=(Visit(), Visit(at=datetime(9999, 12, 31, 23, tzinfo=WEST)))),
            "/visits/1/at",
        ),
    ],
)
def test_an_instant_of_an_argument_that_utc_has_not_is_found(value: Visit, pointer: str) -> None:
    look = find_unfit(Visit)
    assert look is not None
    assert look(value) == ("no time in UTC, which has the years 1 to 9999", pointer)
    assert find_endless(Visit) is None


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        (None, "without a time zone"),
        (timezone(timedelta(hours=5, seconds=30)), "its offset has seconds"),
        (timezone(timedelta(microseconds=1)), "its offset has seconds"),
    ],
)
def test_an_instant_that_cannot_be_written_as_itself_is_found(
    zone: timezone | None, words: str
) -> None:
    look = find_unfit(Visit)
    assert look is not None
    found = look(Visit(at=datetime(1890, 1, 1, tzinfo=zone)))
    assert found is not None
    assert words in found[0]


@pytest.mark.parametrize(
    "at",
    [
        datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=WEST), datetime(9999, 12, 31, tzinfo=EAST),
        datetime(2030, 1, 1, tzinfo=EAST), datetime(1, 1, 2, tzinfo=EAST), None,
    ],
)  # fmt: skip
def test_any_other_instant_passes(at: datetime | None) -> None:
    look = find_unfit(Visit)
    assert look is not None
    assert look(Visit(at=at)) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (float, 1.7976931348623157e308), (Decimal, Decimal("1E6144")), (Decimal, Decimal("1E-6144")),
        (Decimal, Decimal("1" * 6144)),
        (float | None, None), (Tree, Tree(leaf=Leaf(name="a"), trees=(Tree(),))),
        (tuple[str, float], ("a", 1.0)), (Mapping[str, float], {"a": 0.0}),
    ],
)  # fmt: skip
def test_any_other_number_passes(kind: Any, value: Any) -> None:
    look = find_endless(kind)
    assert look is not None
    assert look(value) is None
