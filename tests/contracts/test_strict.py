"""The second look at a body: what it finds, and where; with a twin of the type and without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import pytest

from borough.contracts.strict import find_oversight

BIG = 2**63


class Leaf(msgspec.Struct):
    size: Annotated[int, msgspec.Meta(ge=0)]
    name: str = ""


class Tree(msgspec.Struct, rename="camel"):
    first_leaf: Leaf
    leaves: list[Leaf] = []
    by_name: dict[str, Leaf] = {}
    pair: tuple[int, Leaf] | None = None
    maybe: Leaf | None = None
    count: int | msgspec.UnsetType | None = msgspec.UNSET


class Knot(msgspec.Struct):
    number: int
    next: Knot | None = None


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    age: int


class Home(msgspec.Struct):
    pet: Cat | Dog
    sizes: Mapping[str, int] = {}


LEAF: dict[str, Any] = {"size": 1, "name": "a"}
TREE: dict[str, Any] = {
    "firstLeaf": LEAF, "leaves": [LEAF, LEAF], "byName": {"a": LEAF}, "maybe": LEAF, "count": None,
}  # fmt: skip

FINE: list[tuple[Any, Any]] = [
    (Leaf, LEAF),
    (Leaf, {"size": BIG - 1}),
    (Tree, TREE),
    (Tree, {"firstLeaf": LEAF, "count": 3}),
    (Tree, TREE | {"pair": [1, LEAF]}),
    (Knot, {"number": 1, "next": {"number": -BIG, "next": None}}),
    (Home, {"pet": {"type": "cat", "lives": 9}, "sizes": {"a": 1}}),
    (list[Leaf], [LEAF]),
    (Mapping[str, int], {"a": 1}),
    (int, 1),
    (int | None, None),
]


@pytest.mark.parametrize(("kind", "value"), FINE)
def test_nothing_is_found_where_nothing_is_hidden(kind: Any, value: Any) -> None:
    look = find_oversight(kind)
    assert look is not None
    assert look(msgspec.json.encode(value)) is None


HIDDEN: list[tuple[Any, Any, str, str]] = [
    (Leaf, LEAF | {"x/y": 1}, "Unknown field 'x/y'", "/x~1y"),
    (Leaf, {"size": BIG}, "beyond 64 bits", "/size"),
    (Tree, TREE | {"first_leaf": LEAF}, "Unknown field 'first_leaf'", "/first_leaf"),
    (Tree, TREE | {"leaves": [LEAF, LEAF | {"x": 1}]}, "'x'", "/leaves/1/x"),
    (Tree, TREE | {"byName": {"k": {"size": BIG}}}, "64 bits", "/byName/k/size"),
    (Tree, TREE | {"maybe": LEAF | {"x": 1}}, "'x'", "/maybe/x"),
    (Tree, TREE | {"count": BIG}, "64 bits", "/count"),
    (Tree, TREE | {"pair": [1, LEAF | {"x": 1}]}, "'x'", "/pair/1/x"),
    (Knot, {"number": 1, "next": {"number": 1, "x": 1}}, "'x'", "/next/x"),
    (Home, {"pet": {"type": "dog", "age": 1, "lives": 2}}, "'lives'", "/pet/lives"),
    (list[Leaf], [LEAF, {"size": 1, "x": 0}], "'x'", "/1/x"),
    (Mapping[str, int], {"a": -BIG - 1}, "64 bits", "/a"),
    (int, BIG, "64 bits", ""),
]


@pytest.mark.parametrize(("kind", "value", "message", "pointer"), HIDDEN)
def test_what_is_hidden_is_found_with_its_place(
    kind: Any, value: Any, message: str, pointer: str
) -> None:
    look = find_oversight(kind)
    assert look is not None
    found = look(msgspec.json.encode(value))
    assert found is not None
    assert message in found[0]
    assert found[1] == pointer


def test_of_a_repeated_key_the_last_one_counts() -> None:
    look = find_oversight(Leaf)
    assert look is not None
    assert look(b'{"size": 9223372036854775808, "size": 1}') is None


@pytest.mark.parametrize("kind", [str, bool, list[str], Mapping[str, str | None]])
def test_types_that_can_hide_nothing_are_not_looked_at(kind: Any) -> None:
    assert find_oversight(kind) is None
