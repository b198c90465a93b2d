"""Examples fit their types: as data, and as Python values; the same ones for the same seed."""

import enum
import json
import re
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough import Meta, Struct
from borough.contracts.catalog import Catalog
from borough.contracts.descriptor import describe
from borough.contracts.examples import (
    NoExample,
    example_arguments,
    example_event,
    example_of,
    example_problem,
    example_result,
)
from borough.contracts.fit import misfit
from borough.contracts.patterns import text_for
from borough.contracts.reading import read_contract
from borough.contracts.shapes import (
    ArrayShape,
    BytesShape,
    FloatShape,
    IntShape,
    MapShape,
    RefShape,
    StrShape,
)
from tests.contracts.bazaar import Bazaar, Bottle, Crate, Everything

CONTRACT = read_contract(Bazaar)
DESCRIPTOR = describe(CONTRACT)
SEEDS = st.integers(0, 2**32)


def decode(value: Any, kind: Any) -> Any:
    """Read a JSON value as the wire does."""
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)


@given(SEEDS)
def test_every_example_decodes_into_its_python_type(seed: int) -> None:
    for operation in DESCRIPTOR.operations:
        bound = CONTRACT.operations[operation.name]
        arguments = example_arguments(operation, DESCRIPTOR, seed)
        for parameter in bound.parameters:
            decode(arguments[parameter.name], parameter.kind)
        result = example_result(operation, DESCRIPTOR, seed)
        assert (
            result is None
            if bound.result is type(None)
            else decode(result, bound.result) is not None
        )
    for event in DESCRIPTOR.events:
        decode(example_event(event, DESCRIPTOR, seed), CONTRACT.events[event.wire_name].kind)
    for problem in DESCRIPTOR.problems:
        document = example_problem(problem, DESCRIPTOR, seed)
        kinds = {c: p for o in CONTRACT.operations.values() for c, p in o.problems.items()}
        decode(document, kinds[problem.code].payload)


limits = st.one_of(st.none(), st.integers(-(10**6), 10**6))


@given(limits, limits, limits, limits, st.one_of(st.none(), st.integers(1, 50)), SEEDS)
def test_bounds_of_whole_numbers_are_kept(
    ge: int | None, gt: int | None, le: int | None, lt: int | None, step: int | None, seed: int
) -> None:
    names = {"ge": ge, "le": le, "multiple_of": step}
    names |= {"gt": gt if ge is None else None, "lt": lt if le is None else None}
    bounds: dict[str, Any] = {name: bound for name, bound in names.items() if bound is not None}
    kind = Annotated[int, Meta(**bounds)]
    catalog = Catalog()
    shape = catalog.add(kind)
    low = ge if ge is not None else gt + 1 if gt is not None else None
    high = le if le is not None else lt - 1 if lt is not None else None
    if low is not None and high is not None and -(-low // (step or 1)) * (step or 1) > high:
        with pytest.raises(NoExample):
            example_of(shape, {}, seed)
        return
    decode(example_of(shape, {}, seed), kind)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), SEEDS)
def test_bounds_of_broken_numbers_are_kept(low: float, width: float, seed: int) -> None:
    kind = Annotated[float, Meta(gt=low, lt=low + width)]
    decode(example_of(Catalog().add(kind), {}, seed), kind)


@given(st.integers(0, 60), st.integers(0, 60), SEEDS)
def test_lengths_are_kept(low: int, more: int, seed: int) -> None:
    meta = Meta(min_length=low, max_length=low + more)
    kinds: list[Any] = [Annotated[str, meta], Annotated[bytes, meta]]
    kinds += [Annotated[tuple[int, ...], meta], Annotated[dict[str, bool], meta]]
    for kind in kinds:
        decode(example_of(Catalog().add(kind), {}, seed), kind)


PATTERNS = [
    r"^[A-Z]{3}-\d{4}$",
    r"^[0-9]{12,19}$",
    r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
    r"^(?:EUR|USD|GBP)$",
    r"^\+?[1-9]\d{1,14}\Z",
    r"\Aa*b+c?(d|ef){2}\.\/\-[\w.-]{3}$",
    r"^#(?P<rgb>[0-9a-fA-F]{6}|[0-9a-fA-F]{3})$",
    r"abc",
    r"",
    r"^(?=.*\d)[a-z0-9]{8}$",
    r"^\x41\u0042[\]\\^-]$",
    r"^[\d.]+?[]a]$",
]


@given(st.sampled_from(PATTERNS), SEEDS)
def test_texts_match_their_pattern(pattern: str, seed: int) -> None:
    kind = Annotated[str, Meta(pattern=pattern)]
    assert re.search(pattern, decode(example_of(Catalog().add(kind), {}, seed), kind))


def test_a_pattern_and_a_length_are_kept_together() -> None:
    kind = Annotated[str, Meta(pattern="^[a-z]+$", min_length=30, max_length=40)]
    for seed in range(50):
        decode(example_of(Catalog().add(kind), {}, seed), kind)


@pytest.mark.parametrize("pattern", [r"^(a)\1$", r"(?i)abc", r"^(?>a)$"])
def test_an_unknown_pattern_says_what_to_do(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        text_for(pattern, lambda count: 0)
    if pattern != r"^(?>a)$":
        shape = Catalog().add(Annotated[str, Meta(pattern=pattern)])
        with pytest.raises(NoExample, match=r"give one by Meta\(examples=\[...\]\)"):
            example_of(shape, {})


def test_declared_examples_come_first() -> None:
    sell = DESCRIPTOR.operation("sell")
    assert example_arguments(sell, DESCRIPTOR)["buyer"] == "ada"
    assert example_result(sell, DESCRIPTOR) == "9.50"


def test_an_example_is_the_same_for_the_same_seed() -> None:
    shape = RefShape(name="Everything")
    first = example_of(shape, DESCRIPTOR.types, 7)
    assert example_of(shape, DESCRIPTOR.types, 7) == first
    assert example_of(shape, DESCRIPTOR.types, 8) != first


def test_a_field_has_one_example_wherever_it_stands() -> None:
    one = example_arguments(DESCRIPTOR.operation("one"), DESCRIPTOR)
    sold = next(event for event in DESCRIPTOR.events if event.name == "Sold")
    assert one["sku"] == example_event(sold, DESCRIPTOR)["sku"]


class Tree(Struct):
    left: "Tree | None"
    leaves: tuple["Tree", ...]
    by_name: dict[str, "Tree"]


def test_recursive_types_have_examples_with_an_end() -> None:
    catalog = Catalog()
    shape = catalog.add(Tree)
    for seed in range(20):
        decode(example_of(shape, catalog.types, seed), Tree)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4) | st.sampled_from(["S", "L", "crate", "bottle", "2026-01-01", "1.5", "YQ=="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "weight_g", "inside", "litres", "x"]), inner, max_size=4
    ),
    max_leaves=8,
)  # fmt: skip


class Small(enum.Enum):
    S = "S"
    L = "L"


KINDS: list[Any] = [
    int, float, str, bool, bytes, Small, Crate, Bottle, Crate | Bottle, Crate | Bottle | None,
    tuple[int, str], list[bool], dict[str, int | None], Annotated[int, Meta(ge=0, multiple_of=2)],
]  # fmt: skip


@given(st.sampled_from(KINDS), JSON)
def test_the_judge_of_shapes_agrees_with_the_decoder(kind: Any, value: Any) -> None:
    catalog = Catalog()
    wrong = misfit(value, catalog.add(kind), catalog.types)
    text = json.dumps(value).encode()
    try:
        msgspec.json.decode(text, type=kind)
        fits = True
    except msgspec.ValidationError:
        fits = False
    assert (wrong is None) == fits, wrong


def test_a_misfit_names_its_place() -> None:
    value = example_of(RefShape(name="Everything"), DESCRIPTOR.types)
    value["by_sku"] = {"ABC-0001": "S", "ABC-0002": "XL"}
    wrong = misfit(value, RefShape(name="Everything"), DESCRIPTOR.types)
    assert str(wrong) == "Invalid enum value 'XL' at /by_sku/ABC-0002"
    assert decode(value | {"by_sku": {"ABC-0001": "S", "ABC-0002": "L"}}, Everything)


def test_what_asks_for_billions_has_no_example() -> None:
    million = 1_000_000
    for shape in (
        ArrayShape(item=IntShape(), min_length=million),
        MapShape(key=StrShape(), value=IntShape(), min_length=million),
        StrShape(min_length=million),
        BytesShape(min_length=million),
        StrShape(pattern="((a{200}){200}){200}"),
    ):
        with pytest.raises(NoExample):
            example_of(shape, {})


def test_limits_that_no_type_has_leave_a_contract_without_an_example() -> None:
    for shape in (IntShape(multiple_of=-3), FloatShape(multiple_of=0), StrShape(min_length=-5)):
        with pytest.raises(NoExample, match="limits that no type has"):
            example_of(shape, {})


def test_an_example_is_not_held_against_a_pattern_that_may_take_years() -> None:
    assert example_of(StrShape(pattern=r"^(b\.)*(a+)+$"), {}).endswith("a")
    with pytest.raises(NoExample, match="looks ahead or back"):
        example_of(StrShape(pattern=r"^(?!b)(a+)+$"), {})
