"""A mark that was not written as it is read is refused where it stands, and says how it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from borough import Event, Problem, contract, get, post, projection, scope


class Sold(Event):
    sku: str


class SoldOut(Problem, status=409):
    """There is none left."""


async def buy(self: object) -> None: ...


def unsure(value: Any) -> Any:
    """A value that no type checker looks at."""
    return value


@pytest.mark.parametrize(
    ("mark", "sentence"),
    [
        (lambda: get(unsure(buy)), '@get of buy has no path; write @get("/path")'),
        (
            lambda: get("/a")(post("/a")(unsure(lambda: None))),
            "<lambda> has two routes; an operation has one: write another operation",
        ),
        (
            lambda: post("/a", raises=unsure(SoldOut)),
            "raises=SoldOut is no list; write raises=[SoldOut]",
        ),
        (
            lambda: contract("shop", version="1.0", publishes=unsure(Sold)),
            "publishes=Sold is no list; write publishes=[Sold]",
        ),
        (
            lambda: scope(),
            'scope() asks for nothing; write scope("orders:write"), or USER for every signed-in user',
        ),
        (
            lambda: projection(Sold, tables="sales"),
            'tables="sales" is no list; write tables=["sales"]',
        ),
    ],
)
def test_a_mark_that_is_written_wrongly_says_how_it_is_written(
    mark: Callable[[], object], sentence: str
) -> None:
    with pytest.raises(TypeError) as error:
        mark()
    assert str(error.value) == sentence
