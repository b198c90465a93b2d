"""A whole number is whole however it is written; everything else is refused as before."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough import Meta, Struct, contract, post
from borough.contracts.codec import Codec
from borough.contracts.reading import read_contract
from borough.contracts.whole import written_whole
from borough.errors import InvalidRequest

Small = Annotated[int, Meta(ge=0, le=99)]


class Crate(Struct):
    count: Small
    share: float = 0.0
    inside: "tuple[Crate, ...]" = ()
    by_name: Mapping[str, int] = {}


@contract("yard", version="1.0")
class Yard(Protocol):
    """Counts."""

    @post("/crates")
    async def add(self, crate: Crate) -> None: ...


CODEC = Codec(read_contract(Yard).operations["add"])


def read(body: str, *, strict: bool = True) -> Crate:
    (crate,) = CODEC.read_arguments({}, "", lambda _: None, body.encode(), strict=strict)
    assert isinstance(crate, Crate)
    return crate


@pytest.mark.parametrize("number", ["43", "43.0", "4.3e1", "430E-1", "43.000"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_whole_number_is_whole_however_it_is_written(number: str, strict: bool) -> None:
    body = f'{{"count": {number}, "inside": [{{"count": 1.0}}], "by_name": {{"a": 2.0}}}}'
    crate = read(body, strict=strict)
    assert crate == Crate(count=43, inside=(Crate(count=1),), by_name={"a": 2})
    assert type(crate.count) is type(crate.by_name["a"]) is int


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("43.5", "got `float`"),
        ("1e-1", "got `float`"),
        ("1e300", "got `float`"),
        ("100.0", "<= 99"),
        ("-1.0", ">= 0"),
        ("1.0, \"extra\": 1", "Unknown field 'extra'"),
        ("1.0, \"by_name\": {\"a\": 9223372036854775808}", "beyond 64 bits"),
        ("1.0, \"by_name\": {\"a\": 123456789012345678901234567890}", "beyond 64 bits"),
        ("1.0, \"share\": 1e999", "out of range"),
        ("1.0, ", "not valid JSON"),
    ],
)  # fmt: skip
def test_what_is_no_whole_number_or_wrong_besides_is_refused(number: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        read(f'{{"count": {number}}}')


def test_a_large_body_must_write_its_whole_numbers_as_such() -> None:
    items = ",".join(['{"count": 1}'] * 2000)
    assert len(read(f'{{"count": 1, "inside": [{items}]}}').inside) == 2000
    with pytest.raises(InvalidRequest, match="got `float`"):
        read(f'{{"count": 1.0, "inside": [{items}]}}')


def test_the_place_is_told_of_the_number_that_is_not_whole() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read('{"count": 1.0, "inside": [{"count": 2.0}, {"count": 2.5}]}')
    assert refused.value.errors[0]["pointer"] == "#/inside/1/count"


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.text()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(-(2.0**53), 2.0**53),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(_json)
def test_nothing_changes_but_how_numbers_are_written(value: Any) -> None:
    again = msgspec.json.decode(written_whole(msgspec.json.encode(value)))
    assert again == value


def test_a_whole_number_beyond_what_a_float_can_hold_stays_itself() -> None:
    assert written_whole(b"9007199254740993.0") == b"9007199254740993"
