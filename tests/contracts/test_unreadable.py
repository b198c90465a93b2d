"""Where a refused value stands is told as a JSON pointer."""

from typing import Annotated, Any

import msgspec
import pytest

from borough import Meta, Struct
from borough.contracts.unreadable import pointer_of


class Shelf(Struct):
    books: dict[Annotated[str, Meta(max_length=3)], int]


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (Shelf, {"books": {"ab": "x"}}, ("Expected `int`, got `str`", "#/books/...")),
        (Shelf, {"books": {"abcd": 1}}, ("Expected `str` of length <= 3, as a key", "#/books")),
        (dict[str, Shelf], {1: 1}, ("Expected `str`, got `int`, as a key", "#")),
        (Shelf, 1, ("Expected `object`, got `int`", "#")),
    ],
)
def test_the_sentence_and_the_place_are_told_apart(
    kind: Any, value: Any, told: tuple[str, str]
) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(value, kind)
    assert pointer_of(str(refused.value)) == told
