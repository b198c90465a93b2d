"""What the edge overlooks nowhere: for any type and value, the look agrees with a naive one."""

from __future__ import annotations

import json
from typing import Annotated, Any, Union

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from borough.contracts.strict import find_oversight

# A kind is described by plain data, from which the type, values and the naive look are made.
Kind = tuple[Any, ...]
NAMES = ("a", "b_c", "d/e", "f~g", "ü")
_scalars = st.sampled_from([("int",), ("str",), ("float",), ("bool",), ("counted",)])


def _larger(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    fields = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    structs = st.tuples(st.just("struct"), fields)
    return st.one_of(
        structs,
        st.tuples(st.sampled_from(["list", "tuple", "map", "optional"]), inner),
        st.tuples(st.just("pair"), inner, inner),
        st.tuples(st.just("tagged"), fields, fields),
    )


kinds: st.SearchStrategy[Kind] = st.recursive(_scalars, _larger, max_leaves=6)


def type_of(kind: Kind) -> Any:
    match kind:
        case ("counted",):
            return Annotated[int, msgspec.Meta(ge=-5)]
        case ("struct", fields):
            return struct_of(fields)
        case ("list", inner):
            return list[type_of(inner)]  # type: ignore[misc]
        case ("tuple", inner):
            return tuple[type_of(inner), ...]  # type: ignore[misc]
        case ("pair", one, two):
            return tuple[type_of(one), type_of(two)]  # type: ignore[misc]
        case ("map", inner):
            return dict[str, type_of(inner)]  # type: ignore[misc]
        case ("optional", inner):
            return type_of(inner) | None
        case ("tagged", one, two):
            return Union[struct_of(one, tag="one"), struct_of(two, tag="two")]  # noqa: UP007
        case _:
            return {"int": int, "str": str, "float": float, "bool": bool}[kind[0]]


def struct_of(fields: dict[str, Kind], tag: str | None = None) -> Any:
    plain = {f"field_{number}": name for number, name in enumerate(fields)}
    given_fields = [(name, type_of(fields[wire])) for name, wire in plain.items()]
    return msgspec.defstruct("Made", given_fields, rename=plain, tag=tag, kw_only=True)


@st.composite
def values(draw: st.DrawFn, kind: Kind, place: str = "") -> tuple[Any, set[str]]:
    """A value that the lenient decoder takes, and every place where it hides something."""
    places: set[str] = set()

    def inside(inner: Kind, step: str) -> Any:
        value, found = draw(values(inner, f"{place}/{step.replace('~', '~0').replace('/', '~1')}"))
        places.update(found)
        return value

    def struct(fields: dict[str, Kind], tag: str | None) -> dict[str, Any]:
        made = {name: inside(inner, name) for name, inner in fields.items()}
        if tag is not None:
            made["type"] = tag
        if draw(st.booleans()) and draw(st.booleans()):
            made["un/known"] = draw(st.sampled_from([None, 2**70, {"x": 1}]))
            places.add(f"{place}/un~1known")
        return made

    match kind:
        case ("int",):
            number = draw(st.sampled_from([0, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**70]))
            return number, set() if -(2**63) <= number < 2**63 else {place}
        case ("counted",):
            number = draw(st.sampled_from([-5, 7, 2**63 - 1, 2**63]))
            return number, set() if number < 2**63 else {place}
        case ("struct", fields):
            return struct(fields, None), places
        case ("tagged", one, two):
            tag = draw(st.sampled_from(["one", "two"]))
            return struct(one if tag == "one" else two, tag), places
        case ("list" | "tuple", inner):
            count = draw(st.integers(0, 2))
            return [inside(inner, str(index)) for index in range(count)], places
        case ("pair", one, two):
            return [inside(one, "0"), inside(two, "1")], places
        case ("map", inner):
            keys = draw(st.lists(st.sampled_from(["k", "a/b", "~"]), unique=True, max_size=2))
            return {key: inside(inner, key) for key in keys}, places
        case ("optional", inner):
            if draw(st.booleans()):
                return None, set()
            value, found = draw(values(inner, place))
            return value, found
        case _:
            plain = {"str": "x", "float": draw(st.sampled_from([1.5, 2**70])), "bool": True}
            return plain[kind[0]], set()


@given(st.data(), kinds)
def test_the_look_finds_what_a_naive_look_finds(data: st.DataObject, kind: Kind) -> None:
    typed = type_of(kind)
    value, places = data.draw(values(kind))
    body = json.dumps(value).encode()
    msgspec.json.decode(body, type=typed)  # the lenient decoder takes it
    look = find_oversight(typed)
    found = None if look is None else look(body)
    if not places:
        assert found is None
    else:
        assert found is not None
        assert found[1] in places


class Tree(msgspec.Struct):
    name: str
    size: int = 0
    leaves: tuple[Tree, ...] = ()


@given(st.lists(st.integers(0, 3), max_size=5), st.booleans())
@example([], False)
def test_a_type_that_holds_itself_is_looked_at_all_the_way_down(
    path: list[int], hides: bool
) -> None:
    value: dict[str, Any] = {"name": "leaf", "size": 2**63 if hides else 5}
    for index in reversed(path):
        value = {"name": "x", "leaves": [*[{"name": "y"}] * index, value]}
    look = find_oversight(Tree)
    assert look is not None
    found = look(json.dumps(value).encode())
    place = "".join(f"/leaves/{index}" for index in path) + "/size"
    assert found == (("The integer is beyond 64 bits", place) if hides else None)
