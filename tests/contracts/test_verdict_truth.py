"""A verdict is true: what it calls compatible is read, whatever was written; for the rest there is a witness.

The witness is a real value, written by one side's codec and refused by the other's.
"""

import enum
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough import Instant, Meta, OpenEnum, Struct
from borough.contracts.change import Change, Flow
from borough.contracts.difference import changes
from borough.contracts.examples import NoExample, example_of
from borough.contracts.fit import misfit
from borough.contracts.shape_difference import ShapeDifference
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
    DecimalShape,
    EnumMember,
    EnumShape,
    FieldShape,
    FloatShape,
    IntShape,
    LiteralShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    TupleShape,
    UnionShape,
    UuidShape,
)
from borough.contracts.verdict import judge
from borough.errors import InvalidRequest, ServiceFailure
from tests.contracts.evolving import Side, ask_side, box_side


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Sizes(enum.Enum):
    SMALL = "S"
    LARGE = "L"
    HUGE = "XL"


class State(OpenEnum):
    NEW = "new"
    SMALL = "S"
    UNKNOWN = "unknown"


class Rank(enum.IntEnum):
    FIRST = 1
    SECOND = 2


class Cat(Struct, tag="cat"):
    lives: int = 9


class Dog(Struct, tag="dog"):
    barks: bool = True


class Bird(Struct, tag="bird"):
    sings: bool


class Hound(Struct, tag="dog"):
    barks: bool = True
    hunts: bool = False


class Horse(Struct, tag="cat", tag_field="animal"):
    lives: int = 9


class Plain(Struct):
    lives: int = 9


class More(Struct):
    lives: int = 9
    note: str = ""


class Demanding(Struct):
    lives: int


class DemandingMore(Struct):
    lives: int
    note: str


class Typed(Struct):
    lives: int = 9
    type: int = 0


class Tree(Struct):
    children: tuple["Tree", ...] = ()


class Tree2(Struct):
    children: "tuple[Tree2, ...]" = ()
    name: str = ""


class Tree3(Struct):
    children: "tuple[Tree3, ...]" = ()
    name: str | None


KINDS: dict[str, Any] = {
    "int": int,
    "int>0": Annotated[int, Meta(gt=0)],
    "int>=1": Annotated[int, Meta(ge=1)],
    "int 0-99": Annotated[int, Meta(ge=0, le=99)],
    "int 0-100": Annotated[int, Meta(ge=0, lt=101)],
    "int*5": Annotated[int, Meta(multiple_of=5)],
    "int*10": Annotated[int, Meta(multiple_of=10)],
    "int*4": Annotated[int, Meta(multiple_of=4)],
    "float": float,
    "float>0": Annotated[float, Meta(gt=0)],
    "float>=0": Annotated[float, Meta(ge=0)],
    "str": str,
    "str<=3": Annotated[str, Meta(max_length=3)],
    "str 1-5": Annotated[str, Meta(min_length=1, max_length=5)],
    "str~a": Annotated[str, Meta(pattern="^a")],
    "str~b": Annotated[str, Meta(pattern="^b")],
    "bool": bool,
    "bytes": bytes,
    "bytes>=2": Annotated[bytes, Meta(min_length=2)],
    "Decimal": Decimal,
    "UUID": UUID,
    "Instant": Instant,
    "date": date,
    "Size": Size,
    "Sizes": Sizes,
    "State": State,
    "Rank": Rank,
    "'S'": Literal["S"],
    "'S' or 'L'": Literal["S", "L"],
    "'new'": Literal["new"],
    "1 or 2": Literal[1, 2],
    "int?": int | None,
    "str?": str | None,
    "Cat?": Cat | None,
    "int...": tuple[int, ...],
    "int... <=1": Annotated[tuple[int, ...], Meta(max_length=1)],
    "int?...": list[int | None],
    "(int, str)": tuple[int, str],
    "(int, str?)": tuple[int, str | None],
    "(int, int)": tuple[int, int],
    "{int}": dict[str, int],
    "{aaaa: int}": dict[Annotated[str, Meta(pattern="^a[a-z]{3}")], int],
    "{float}": dict[str, float],
    "Cat": Cat,
    "Horse": Horse,
    "Hound": Hound,
    "Cat | Dog": Cat | Dog,
    "Cat | Hound": Cat | Hound,
    "Cat | Dog | Bird": Cat | Dog | Bird,
    "Plain": Plain,
    "More": More,
    "Demanding": Demanding,
    "DemandingMore": DemandingMore,
    "Typed": Typed,
    "Tree": Tree,
    "Tree2": Tree2,
    "Tree3": Tree3,
}

POOL: list[Any] = [
    None, True, -5, 0, 1, 2, 4, 5, 10, 20, 99, 100, 101, 2**53, 2**53 + 1, -(2**63), 0.5, -0.5, 1e300,
    "", "a", "b", "ab", "abcd", "a" * 9, "b" * 9, "S", "L", "XL", "new", "unknown", "YQ==", "YWJj", "1.5", "-3",
    "2026-01-01", "2026-01-01T10:00:00Z", "0b4e29d5-9f0b-4f4e-8f3e-0a2d1b3c4d5e",
    [], [1], [None], [1, None], [1, 2], [1, "a"], [1, "b", 2], {}, {"a": 1}, {"b": 1}, {"abcd": 1}, {"a": 0.5},
    {"type": "cat"}, {"type": "cat", "lives": 3}, {"type": "dog"}, {"type": "dog", "hunts": True},
    {"type": "bird", "sings": True}, {"lives": 5}, {"lives": 5, "note": "n"}, {"type": 5},
    {"animal": "cat"}, {"animal": "cat", "lives": 1}, {"children": [{"children": []}]},
    {"children": [], "name": "root"}, {"children": [{"name": None}], "name": None},
]  # fmt: skip


@cache
def side(kind: str) -> Side:
    return box_side(KINDS[kind])


@cache
def written(kind: str) -> tuple[tuple[Any, bytes], ...]:
    """Values of a kind, and bodies in which a Borough side writes them."""
    made, types = side(kind), side(kind).descriptor.types
    box = types["Box"]
    assert isinstance(box, StructShape)
    shape = box.fields[0].shape
    values = [value for value in POOL if misfit(value, shape, types) is None]
    values += [example_of(shape, types, seed) for seed in range(6)]
    found: list[tuple[Any, bytes]] = []
    for value in values:
        body = json.dumps({"value": value}).encode()
        try:  # strictly, for a writer writes no field that it does not know
            argument = made.codec.read_arguments({}, "", lambda _: None, body, strict=True)
        except InvalidRequest:
            continue
        # As Borough writes it, with its defaults, and as any other language may.
        full = made.codec.write_arguments(argument).body or b""
        found.append((value, full))
        if leaves_out(value, json.loads(full)["value"]):
            found.append((value, body))
    return tuple(found)


def leaves_out(value: Any, full: Any) -> bool:
    """Whether a value says less than the full one, and has its tag."""
    if not isinstance(value, dict) or value == full:
        return False
    tags = [name for name in ("type", "animal") if isinstance(full.get(name), str)]
    return value.items() <= full.items() and value.keys() >= set(tags)


@cache
def between(old: str, new: str) -> tuple[Change, ...]:
    return changes(side(old).descriptor, side(new).descriptor)


def breaks(found: tuple[Change, ...], flow: Flow, reader: str) -> set[str]:
    """Kinds of changes that the verdict lets break for this reader."""
    user = reader if flow == "answer" else "new" if reader == "old" else "old"
    judged = judge(found, user)  # type: ignore[arg-type]
    return {breach.change.kind for breach in judged if breach.change.flow == flow}


def refused(reader: Side, body: bytes, flow: Flow) -> bool:
    try:
        if flow == "answer":
            reader.codec.read_result(body)
        else:
            reader.codec.read_arguments({}, "", lambda _: None, body, strict=False)
    except (InvalidRequest, ServiceFailure):
        return True
    return False


BY_CHANCE = {"type-changed", "type-widened", "type-narrowed", "tag-changed"}
"""What breaks although all values may be read: as something else (a whole number that is no longer exact,
a map as a struct of defaults, any text as UNKNOWN), or under a tag that nobody looks at."""


def pairs() -> Iterator[tuple[str, str]]:
    return ((old, new) for old in KINDS for new in KINDS)


@pytest.mark.parametrize("flow", ["request", "answer"])
@pytest.mark.parametrize("reader", ["old", "new"])
def test_what_is_compatible_is_read_and_what_is_not_has_a_witness(flow: Any, reader: str) -> None:
    wrong: list[str] = []
    for old, new in pairs():
        found = between(old, new)
        broken = breaks(found, flow, reader)
        source, target = (old, new) if reader == "new" else (new, old)
        witness = [v for v, body in written(source) if refused(side(target), body, flow)]
        if bool(broken - BY_CHANCE) > bool(witness) or bool(witness) > bool(broken):
            wrong.append(f"{source} -> {target}: {broken or 'compatible'}, {witness[:1]}")
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.mark.parametrize("reader", ["old", "new"])
def test_whole_numbers_become_broken_ones_only_where_they_stay_exact(reader: str) -> None:
    for kind, is_exact in (("int", False), ("int>0", False), ("int 0-99", True)):
        found = between(kind, "float") if reader == "new" else between("float", kind)
        assert bool(breaks(found, "answer", reader)) != is_exact
    assert float(2**53 + 1) != 2**53 + 1


QUERIES: dict[str, tuple[Any, ...]] = {
    "int": (int,),
    "int=5": (int, 5),
    "int?": (int | None, None),
    "int 0-99": (Annotated[int, Meta(ge=0, le=99)],),
    "float": (float,),
    "str": (str,),
    "str?": (str | None, None),
    "Size": (Size,),
    "Sizes": (Sizes,),
    "State": (State,),
    "Rank": (Rank,),
    "1 or 2": (Literal[1, 2],),
    "int...": (tuple[int, ...], ()),
    "str...": (tuple[str, ...], ()),
    "Decimal": (Decimal,),
    "UUID": (UUID,),
    "date": (date,),
    "bool": (bool,),
}


@cache
def asking(kind: str) -> Side:
    return ask_side(*QUERIES[kind])


@cache
def asked(kind: str) -> tuple[str, ...]:
    """Queries that a caller of this kind writes."""
    made = asking(kind)
    shape = made.descriptor.operations[0].parameters[0].shape
    values = [value for value in POOL if misfit(value, shape, made.descriptor.types) is None]
    found: list[str] = [] if len(QUERIES[kind]) == 1 else [""]
    for value in values:
        argument = msgspec.convert(value, QUERIES[kind][0])
        found.append(made.codec.write_arguments((argument,)).target.partition("?")[2])
    return tuple(found)


def test_a_query_that_is_compatible_is_read() -> None:
    for old in QUERIES:
        for new in QUERIES:
            found = changes(asking(old).descriptor, asking(new).descriptor)
            if not breaks(found, "request", "new"):
                for query in asked(old):
                    asking(new).codec.read_arguments({}, query, lambda _: None, b"", strict=True)
            if not breaks(found, "request", "old"):
                for query in asked(new):
                    asking(old).codec.read_arguments({}, query, lambda _: None, b"", strict=True)


# --- types that are made and bent at random -------------------------------------------------------

SCALARS: list[Shape] = [
    IntShape(), IntShape(ge=0), IntShape(gt=0, le=9), FloatShape(), FloatShape(gt=0), StrShape(),
    StrShape(max_length=4), StrShape(min_length=2), BoolShape(), DecimalShape(), UuidShape(),
    LiteralShape(values=("a", "b")), LiteralShape(values=("a", "b", "c")), LiteralShape(values=(1, 2)),
    RefShape(name="Shut"), RefShape(name="Open"),
]  # fmt: skip
ENUMS: dict[str, NamedShape] = {
    "Shut": EnumShape(members=(EnumMember(name="A", value="a"), EnumMember(name="B", value="b"))),
    "Open": EnumShape(
        members=(EnumMember(name="A", value="a"), EnumMember(name="UNKNOWN", value="?")), open=True
    ),
}
STRUCTS = ("One", "Two", "Three")


@st.composite
def shape_of(draw: st.DrawFn, depth: int = 2) -> Shape:
    kind = draw(st.integers(0, 8 if depth else 3))
    if kind <= 3:
        return draw(st.sampled_from(SCALARS))
    if kind == 4:
        item = draw(shape_of(depth - 1))
        return item if isinstance(item, OptionalShape) else OptionalShape(item=item)
    if kind == 5:
        low, high = draw(st.sampled_from([(None, None), (None, 3), (1, None), (1, 3)]))
        return ArrayShape(item=draw(shape_of(depth - 1)), min_length=low, max_length=high)
    if kind == 6:
        return MapShape(key=StrShape(), value=draw(shape_of(depth - 1)))
    if kind == 7:
        return TupleShape(items=(draw(shape_of(depth - 1)), draw(shape_of(depth - 1))))
    members = draw(st.sampled_from([("One",), ("Two",), ("One", "Two"), ("One", "Two", "Three")]))
    if len(members) == 1:
        return RefShape(name=members[0])
    return UnionShape(tag_field="type", members=members)


@st.composite
def types_of(draw: st.DrawFn) -> dict[str, NamedShape]:
    found = dict(ENUMS)
    for name in STRUCTS:
        fields: list[FieldShape] = []
        for wire in draw(st.sets(st.sampled_from("abcd"), min_size=1)):
            required = draw(st.booleans())
            fields.append(FieldShape(name=wire, shape=draw(shape_of(1)), required=required))
        ordered = tuple(sorted(fields, key=lambda field: field.name))
        found[name] = StructShape(fields=ordered, tag_field="type", tag=name)
    return found


@st.composite
def bent(draw: st.DrawFn, types: dict[str, NamedShape]) -> dict[str, NamedShape]:
    """The same types after a few changes, each at a random place."""
    found = dict(types)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(STRUCTS))
        struct = found[name]
        assert isinstance(struct, StructShape)
        fields = list(struct.fields)
        at = draw(st.integers(0, len(fields) - 1))
        act = draw(st.integers(0, 4))
        if act == 0 and len(fields) > 1:
            del fields[at]
        elif act == 1:
            shape = draw(shape_of(1))
            fields.append(FieldShape(name="e", shape=shape, required=draw(st.booleans())))
            fields = list({field.name: field for field in fields}.values())
        elif act == 2:
            fields[at] = msgspec.structs.replace(fields[at], required=not fields[at].required)
        elif act == 3:
            fields[at] = msgspec.structs.replace(fields[at], shape=draw(shape_of(1)))
        else:
            item = fields[at].shape
            item = item.item if isinstance(item, OptionalShape) else OptionalShape(item=item)
            fields[at] = msgspec.structs.replace(fields[at], shape=item)
        found[name] = msgspec.structs.replace(struct, fields=tuple(fields))
    return found


def values_of(shape: Shape, types: dict[str, NamedShape]) -> Iterator[Any]:
    for seed in range(8):
        try:
            yield example_of(shape, types, seed)
        except NoExample:  # a type without end
            return


def without_optional(value: Any, shape: Shape, types: dict[str, NamedShape]) -> Any:
    """The outermost struct without the fields that may be left out."""
    named = types.get(shape.name) if isinstance(shape, RefShape) else None
    if not isinstance(named, StructShape):
        return value
    kept = {field.wire for field in named.fields if field.required} | {named.tag_field}
    return {name: member for name, member in value.items() if name in kept}


@given(st.data())
def test_random_types_that_are_compatible_are_read(data: st.DataObject) -> None:
    old = data.draw(types_of())
    new = data.draw(bent(old))
    shape = data.draw(shape_of())
    other = shape if data.draw(st.booleans()) else data.draw(shape_of())
    difference = ShapeDifference("x", "answer", old, new)
    difference.compare(shape, other, "")
    broken = {side: judge(difference.found, side) for side in ("old", "new")}
    if not broken["old"]:
        for value in values_of(other, new):
            assert misfit(value, shape, old) is None
            assert misfit(without_optional(value, other, new), shape, old) is None
    if not broken["new"]:
        for value in values_of(shape, old):
            assert misfit(value, other, new) is None
            assert misfit(without_optional(value, shape, old), other, new) is None


@given(st.data())
def test_the_same_types_have_no_changes(data: st.DataObject) -> None:
    types = data.draw(types_of())
    shape = data.draw(shape_of())
    difference = ShapeDifference("x", "answer", types, types)
    difference.compare(shape, shape, "")
    assert difference.found == []
