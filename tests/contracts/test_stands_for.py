"""A value of a subclass will do in the process where it can be read as the base over a wire, and nowhere else."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from borough.contracts.classes import stands_for


class Plain(msgspec.Struct):
    text: str = "a"
    size: int = 1


class PlainTagged(Plain, tag="tagged"): ...


class Tagged(msgspec.Struct, tag="note"):
    text: str = "a"


class TaggedAnew(Tagged, tag="scribble"): ...


class Untagged(Tagged, tag=False): ...


class Row(msgspec.Struct, array_like=True):
    text: str = "a"
    size: int = 1


class LongRow(Row):
    more: int = 2


class RowTagged(Row, tag="row"): ...


class TaggedRow(msgspec.Struct, array_like=True, tag="row"):
    size: int = 1


class UntaggedRow(TaggedRow, tag=False): ...


class Odd(str):
    """A text of a library of its own."""


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (PlainTagged(), Plain),
        (TaggedAnew(), Tagged),
        (Untagged(), Tagged),
        (LongRow(), Row),
        (RowTagged(), Row),
        (UntaggedRow(), TaggedRow),
        (True, int),
        (True, bool),
        (1, bool),
        (datetime(2026, 1, 1, tzinfo=UTC), date),
        (Odd("a"), str),
    ],
)
def test_it_will_do_where_a_wire_carries_it(value: object, kind: type) -> None:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except (msgspec.ValidationError, TypeError):
        is_read = False
    else:
        is_read = True
    assert stands_for(value, kind) is is_read
