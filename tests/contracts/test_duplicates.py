"""A key that is there twice is found wherever it stands; so is what is nested too deeply."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.contracts.duplicates import MOST_LEVELS, find_twice, is_too_deep
from borough.contracts.strict import find_oversight


class Money(msgspec.Struct):
    cents: int
    currency: str = "EUR"


class Line(msgspec.Struct, kw_only=True):
    sku: str = ""
    price: Money | None = None
    tags: tuple[str, ...] = ()
    notes: dict[str, str] = {}


class Order(msgspec.Struct):
    id: str
    lines: tuple[Line, ...] = ()


class Card(msgspec.Struct, tag="card"):
    number: str


class Transfer(msgspec.Struct, tag="transfer"):
    iban: str


class Tree(msgspec.Struct):
    size: int = 0
    leaves: tuple[Tree, ...] = ()


def look(kind: Any, body: str) -> tuple[str, str] | None:
    text = body.encode()
    msgspec.json.decode(text, type=kind)  # the lenient decoder takes it
    found = find_oversight(kind)
    assert found is not None
    return found(text)


@pytest.mark.parametrize(
    ("kind", "body", "key", "pointer"),
    [
        (Order, '{"id":"a","id":"a"}', "id", ""),
        (Order, '{"id":"a","\\u0069d":"b"}', "id", ""),
        (Order, '{"id" : "a" ,\n"id"\t:\r"b"}', "id", ""),
        (Order, '{"id":"a:b","lines":[{},{"sku":"x","price":{"cents":1},"sku":"x"}]}', "sku", "/lines/1"),
        (Order, '{"id":"","lines":[{"price":{"cents":1,"cents":2}}]}', "cents", "/lines/0/price"),
        (Order, '{"id":"","lines":[{"notes":{"a/b":"x","a/b":"y"}}]}', "a/b", "/lines/0/notes"),
        (Order, '{"id":"","lines":[{"notes":{"a:":"x","a\\u003a":"y"}}]}', "a:", "/lines/0/notes"),
        (Order, '{"id":"","lines":[{"notes":{"\\u003A":"","\\u003a":""}}]}', ":", "/lines/0/notes"),
        (Card | Transfer, '{"type":"card","type":"card","number":"1"}', "type", ""),
        (Tree, '{"leaves":[{"leaves":[{"size":1,"size":2}]}]}', "size", "/leaves/0/leaves/0"),
        (dict[str, int], '{"a":1,"a":1}', "a", ""),
        (dict[str, str], '{"a":"1","b":"2","a":"1"}', "a", ""),
        (dict[str, Any], '{"x":{"a":1000000000000000000000,"a":1}}', "a", "/x"),
        (tuple[dict[str, str], int], '[{"a":"","a":""},1]', "a", "/0"),
    ],
)  # fmt: skip
def test_a_key_that_is_there_twice_is_told_with_its_place(
    kind: Any, body: str, key: str, pointer: str
) -> None:
    assert look(kind, body) == (f"The key {key!r} is there twice", pointer)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Order, '{"id":"\\"id\\":1,\\"id\\":2","lines":[]}'),
        (Order, '{"id":"\\u003a:","lines":[{"notes":{"a":"b:","c\\u003a":":::"}}]}'),
        (Order, ' { "id" : "12:30" , "lines" : [ { } , { "sku" : "id" } ] } '),
        (Tree, '{"leaves":[{"size":1},{"size":1}]}'),
        (dict[str, str], '{"a":"a","b":"a"}'),
        (dict[str, Any], '{"x":{"x":1e3},"y":[{"x":1},{"x":null}]}'),
    ],
)
def test_keys_that_differ_are_taken(kind: Any, body: str) -> None:
    assert look(kind, body) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", ":", '":"', "\\", "é", "{[", "]}"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "b", ":", "\\u003a", '"', "é"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from("xy"), _json), st.randoms())
def test_wherever_a_key_is_repeated_it_is_found(
    value: dict[str, Any], random: random.Random
) -> None:
    repeated = 0

    def written(value: Any) -> str:
        nonlocal repeated
        if isinstance(value, dict):
            pairs = [f"{json.dumps(key)}:{written(each)}" for key, each in value.items()]
            if pairs and random.random() < 0.2:
                pairs.insert(random.randrange(len(pairs) + 1), random.choice(pairs))
                repeated += 1
            return "{" + ",".join(pairs) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(written, value)) + "]"
        return json.dumps(value)

    found = look(dict[str, Any], written(value))
    assert (found is not None) == bool(repeated)


@given(st.integers(0, 5), st.integers(0, 2 * MOST_LEVELS))
def test_depth_is_counted_and_not_brackets(others: int, levels: int) -> None:
    text = b'"]]]]\\"[[[[{{{{"'
    inner = b",".join([text, b"[{},[]]", *[b"[]"] * others * 20])
    body = b"[" * levels + inner + b"]" * levels
    assert is_too_deep(body) == (levels + 2 > MOST_LEVELS)


def test_texts_that_close_what_they_do_not_close_deceive_nobody() -> None:
    assert is_too_deep(b'["]",' * 100 + b"1" + b"]" * 100)
    assert not is_too_deep(b'["[[[[[[[[[[",' + b'"]",' * 100 + b"1]")


@pytest.mark.parametrize("text", [b'\\"', b'"', b"\\\\", b'"\\', b'"[', b"[", b"[]", b"]"])
def test_a_text_without_an_end_is_looked_at_once(text: bytes) -> None:
    """Were it again from each of its quotes, this would take an hour."""
    is_too_deep(b"[" * 65 + b'"' + text * 500_000)
    assert not is_too_deep(b"[" * 64 + b'"' + b"[" * 500_000)


@pytest.mark.parametrize(("trees", "is_taken"), [(32, True), (33, False), (200, False)])
def test_a_body_that_is_too_deep_is_told(trees: int, is_taken: bool) -> None:
    found = look(Tree, '{"leaves":[' * trees + "]}" * trees)  # each tree is two levels
    assert found == (None if is_taken else ("There are more than 64 levels", ""))


def test_json_that_names_no_key_twice_has_none_to_find() -> None:
    assert find_twice(b'{"a":[{"b":1},{"b":1}]}') is None


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0." + "9" * 5000, "1e99999"])
def test_a_number_of_many_digits_hides_no_key(number: str) -> None:
    assert find_twice(f'{{"a":[{{"b":{number},"b":1}}]}}'.encode()) == ("b", ("a", 0))
    assert find_twice(f'{{"a":{number}}}'.encode()) is None
