"""A conversion that is kept gives, and refuses in the same words, what `msgspec.convert` does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from itertools import product
from typing import Annotated, Any, Literal

import msgspec
import pytest

from borough import Meta, Struct
from borough.contracts.conversion import conversion


class Colour(Enum):
    """A choice."""

    RED = "red"


class Item(Struct):
    """A thing with a rule."""

    name: Annotated[str, Meta(max_length=3)]
    paid: bool = False


KINDS = [
    int,
    bool,
    str | None,
    int | None,
    Annotated[int, Meta(ge=1, le=9)],
    Annotated[str, Meta(pattern="^a")],
    Literal["a", "b"],
    Colour,
    Colour | None,
    Item,
    Item | None,
    list[int],
    list[Item],
    tuple[int, str],
    Mapping[str, Annotated[int, Meta(ge=1)]],
    Mapping[str, Mapping[Annotated[str, Meta(max_length=3)], int]],
    Decimal,
    datetime,
    Any,
]
VALUES: list[Any] = [
    "4",
    "400",
    4,
    4.0,
    "a",
    "red",
    "true",
    "null",
    None,
    b"x",
    [1, "2"],
    [],
    (1, "a"),
    {"name": "abc"},
    {"name": "abcd"},
    [{"name": "abc"}, {"name": 1}],
    {"a": 0},
    {"value": 1},
    {1: {}},
    {"value": {"abcd": 1}},
    "2026-01-31T10:00:00Z",
]


def outcome(made: Any) -> tuple[bool, object]:
    """What came of it: a value and its type, or the words of the refusal."""
    try:
        value = made()
    except msgspec.ValidationError as error:
        return False, str(error)
    return True, (type(value), value)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_gives_and_refuses_what_msgspec_does(kind: Any, strict: bool) -> None:
    kept, anew = conversion(kind, strict=strict), partial(msgspec.convert, type=kind, strict=strict)
    for value in VALUES:
        assert outcome(partial(kept, value)) == outcome(partial(anew, value))


def test_values_and_types_fit_and_miss_one_another() -> None:
    pairs = product(VALUES, KINDS)
    fits = [outcome(partial(msgspec.convert, value, kind))[0] for value, kind in pairs]
    assert 30 < sum(fits) < len(fits) - 30
