"""The place of a text with a zero character is found in arguments, by the names that travel."""

from collections.abc import Mapping
from typing import Any, Protocol

import pytest

from borough import Struct, contract, post
from borough.contracts.reading import read_contract
from borough.contracts.zeros import refused_zero


class Leaf(Struct, rename="camel"):
    full_name: str = ""
    by_name: Mapping[str, str] = {}


@contract("desk", version="1.0")
class Desk(Protocol):
    """Keeps what it is given."""

    @post("/notes")
    async def keep(self, number: int, text: str, leaves: tuple[Leaf, ...]) -> None: ...


PARAMETERS = read_contract(Desk).operations["keep"].parameters


@pytest.mark.parametrize(
    ("text", "leaves", "name", "pointer"),
    [
        ("\0", (), "text", "#"),
        ("a", (Leaf(), Leaf(full_name="a\0")), "leaves", "#/1/fullName"),
        ("a", (Leaf(by_name={"a/b": "\0"}),), "leaves", "#/0/byName/a~1b"),
        ("a", (Leaf(by_name={"\0": "a"}),), "leaves", "#/0/byName"),
    ],
)
def test_the_first_is_named_with_its_place(text: str, leaves: Any, name: str, pointer: str) -> None:
    refusal = refused_zero(PARAMETERS, (1, text, leaves))
    assert refusal is not None
    assert [(error["parameter"], error["pointer"]) for error in refusal.errors] == [(name, pointer)]


def test_arguments_without_one_are_not_refused() -> None:
    assert refused_zero(PARAMETERS, (0, "0 \\u0000", (Leaf(full_name="a"),))) is None
