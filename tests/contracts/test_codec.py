"""What one end writes, the other end reads: arguments, answers, replies and problems."""

from __future__ import annotations

import base64
import enum
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Protocol
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from borough import (
    UNSET,
    Cookie,
    Header,
    Instant,
    Problem,
    Reply,
    Struct,
    Unset,
    contract,
    get,
    post,
    put,
)
from borough.contracts.codec import JSON, Codec, _pairs, problem_document, reply_fields
from borough.contracts.reading import read_contract
from borough.errors import InvalidRequest, ServiceFailure
from borough.transports.http.router import Router, split_target


class Colour(enum.Enum):
    RED = "red"
    BLUE = "dark blue/ü"


class Dog(Struct, tag="dog"):
    barks: bool = True


class Cat(Struct, tag="cat"):
    lives: int = 9


class Lot(Struct):
    number: int
    share: float
    text: str
    flag: bool
    data: bytes
    price: Decimal
    id: UUID
    at: Instant
    day: date
    colour: Colour
    names: tuple[str, ...]
    by_name: Mapping[str, tuple[int, ...]]
    maybe: str | None
    pet: Dog | Cat
    absent: int | Unset = UNSET
    inner: Lot | None = None


class Spoilt(Problem, status=409):
    """It is spoilt."""

    what: str
    lots: tuple[int, ...] = ()


@contract("yard", version="1.0")
class Yard(Protocol):
    """Every way in which a value travels."""

    @post("/lots")
    async def body(self, lot: Lot) -> Lot: ...

    @post("/fields/{key}")
    async def fields(
        self,
        key: str,
        lot: Lot,
        count: int,
        note: str | None = None,
        size: int | Unset = UNSET,
        pets: tuple[Dog | Cat, ...] = (),
    ) -> None: ...

    @get("/query/{number}/{id}/{colour}")
    async def query(
        self,
        number: int,
        id: UUID,
        colour: Colour,
        text: str,
        share: float,
        flag: bool,
        maybe: str | None = None,
        numbers: tuple[int, ...] = (),
        words: tuple[str, ...] = (),
    ) -> Mapping[str, Lot]: ...

    @get("/times")
    async def times(self, at: Instant, day: date, price: Decimal) -> None: ...

    @get("/parts")
    async def parts(
        self, part: bytes | None = None, until: Instant | None = None, at: tuple[Instant, ...] = ()
    ) -> None: ...

    @put("/marks")
    async def marks(
        self,
        source: Annotated[str, Header("X-Source")],
        number: Annotated[int | None, Header("X-Number")] = None,
        seat: Annotated[str, Cookie("seat")] = "",
        row: Annotated[int | None, Cookie("row")] = None,
    ) -> Reply[str]: ...

    @post("/spoil", raises=[Spoilt])
    async def spoil(self) -> None: ...


CONTRACT = read_contract(Yard)
CODECS = {name: Codec(operation) for name, operation in CONTRACT.operations.items()}
PLACE = re.compile(r"\{\w+\}")

numbers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
shares = st.floats(allow_nan=False, allow_infinity=False)
prices = st.decimals(allow_nan=False, allow_infinity=False, places=3)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.one_of(st.just(UTC), zones)
)
pets = st.one_of(st.builds(Dog), st.builds(Cat, lives=numbers))
lots = st.builds(
    Lot,
    number=numbers,
    share=shares,
    text=texts,
    flag=st.booleans(),
    data=st.binary(max_size=9),
    price=prices,
    id=st.uuids(),
    at=moments,
    day=st.dates(),
    colour=st.sampled_from(Colour),
    names=st.lists(texts, max_size=3).map(tuple),
    by_name=st.dictionaries(texts, st.lists(numbers, max_size=2).map(tuple), max_size=2),
    maybe=st.none() | texts,
    pet=pets,
    absent=st.just(UNSET) | numbers,
    inner=st.none(),
)
nested = st.one_of(lots, st.tuples(lots, lots).map(lambda two: _within(*two)))
segments = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.strip)


def _within(outer: Lot, inner: Lot) -> Lot:
    given_fields = {name: getattr(outer, name) for name in outer.__struct_fields__}
    return Lot(**{**given_fields, "inner": inner})


def sent_and_read(name: str, arguments: tuple[Any, ...], *, strict: bool) -> tuple[Any, ...]:
    """The arguments as the other end reads them, found by its router."""
    codec = CODECS[name]
    operation = codec.operation
    sent = codec.write_arguments(arguments)
    path, _, query = sent.target.partition("?")
    router: Router[str] = Router(strict=False)
    router.add(operation.mark.method, operation.path, name)
    found, slots = router.find(operation.mark.method, path)
    assert found == name
    assert slots == split_target(operation.path, sent.target)[0]
    headers = {key.decode(): value.decode("latin-1") for key, value in sent.headers}
    assert len(headers) == len(sent.headers)
    return codec.read_arguments(
        slots, query, lambda key: headers.get(key.lower()), sent.body or b"", strict=strict
    )


@given(nested, st.booleans())
def test_a_body_arrives_equal(lot: Lot, strict: bool) -> None:
    assert sent_and_read("body", (lot,), strict=strict) == (lot,)


@given(
    st.tuples(
        segments,
        lots,
        numbers,
        st.none() | texts,
        st.just(UNSET) | numbers,
        st.lists(pets, max_size=3).map(tuple),
    ),
    st.booleans(),
)
def test_fields_and_a_path_arrive_equal(arguments: tuple[Any, ...], strict: bool) -> None:
    assert sent_and_read("fields", arguments, strict=strict) == arguments


@given(
    st.tuples(
        numbers,
        st.uuids(),
        st.sampled_from(Colour),
        texts,
        shares,
        st.booleans(),
        st.none() | texts,
        st.lists(numbers, max_size=3).map(tuple),
        st.lists(texts, max_size=3).map(tuple),
    ),
    st.booleans(),
)
def test_a_query_arrives_equal(arguments: tuple[Any, ...], strict: bool) -> None:
    assert sent_and_read("query", arguments, strict=strict) == arguments


@given(st.tuples(moments, st.dates(), prices), st.booleans())
def test_times_and_decimals_in_a_query_arrive_equal(
    arguments: tuple[Any, ...], strict: bool
) -> None:
    assert sent_and_read("times", arguments, strict=strict) == arguments


@given(st.tuples(st.none() | st.binary(), st.none() | moments, st.lists(moments).map(tuple)))
@example((base64.b64decode("null"), None, ()))
def test_bytes_and_times_that_may_be_missing_arrive_equal(arguments: tuple[Any, ...]) -> None:
    assert sent_and_read("parts", arguments, strict=True) == arguments


@pytest.mark.parametrize("query", ["until=2026", "until=-1.5", "at=2026-01-01T00:00:00Z&at=1e9"])
def test_a_number_in_a_query_is_no_time_as_it_is_none_in_a_body(query: str) -> None:
    with pytest.raises(InvalidRequest, match="datetime"):
        CODECS["parts"].read_arguments({}, query, lambda _: None, b"", strict=False)


@given(st.tuples(printable, st.none() | numbers, texts, st.none() | numbers))
def test_headers_and_cookies_arrive_equal(arguments: tuple[Any, ...]) -> None:
    assert sent_and_read("marks", arguments, strict=True) == arguments


@given(nested)
def test_an_answer_arrives_equal(lot: Lot) -> None:
    codec = CODECS["body"]
    assert codec.read_result(codec.write_result(lot)) == lot


@given(
    texts,
    st.dictionaries(st.sampled_from(["x-one", "x-two"]), printable),
    st.dictionaries(st.sampled_from(["a", "b-c"]), texts),
    st.none() | st.text(st.characters(min_codepoint=35, max_codepoint=126), max_size=9),
)
def test_a_reply_arrives_equal(
    value: str, headers: dict[str, str], cookies: dict[str, str], etag: str | None
) -> None:
    codec = CODECS["marks"]
    reply = Reply(value=value, headers=headers, cookies=cookies, etag=etag)
    assert codec.read_result(codec.write_result(reply), reply_fields(reply)) == reply


@pytest.mark.parametrize(
    "reply",
    [
        Reply(value="", headers={"content-length": "5"}),
        Reply(value="", headers={"Transfer-Encoding": "chunked"}),
        Reply(value="", headers={"x y": "1"}),
        Reply(value="", headers={"x": "a\r\nset-cookie: b=1"}),
        Reply(value="", headers={"x": " padded"}),
        Reply(value="", headers={"x": "店"}),
        Reply(value="", cookies={"a;b": "1"}),
        Reply(value="", etag='v"1'),
        Reply(value="", etag="v\n1"),
        Reply(value="", headers={"x": 1}),  # type: ignore[dict-item]
        Reply(value="", etag=3),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_a_reply_that_no_header_can_carry_is_a_failure_of_the_service(reply: Reply[str]) -> None:
    with pytest.raises(ServiceFailure):
        reply_fields(reply)


@given(texts, st.lists(numbers, max_size=3).map(tuple))
def test_a_problem_arrives_equal(what: str, spoilt: tuple[int, ...]) -> None:
    codec, problem = CODECS["spoil"], Spoilt(what=what, lots=spoilt)
    code = codec.code_of(problem)
    assert code == "yard.Spoilt"
    assert codec.read_problem(code, JSON.encode(problem_document(problem, code, None))) == problem


@pytest.mark.parametrize("text", ["\ud800", "\udfff x"])
def test_a_text_that_is_no_unicode_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be"):
        CODECS["fields"].write_arguments((text, None, 1, None, UNSET, ()))
    with pytest.raises(ServiceFailure, match="out of contract"):
        CODECS["marks"].write_result(Reply(value=text))


@pytest.mark.parametrize("value", [object(), {1, object()}, lambda: None])
def test_an_answer_that_is_no_json_is_a_failure_of_the_service(value: object) -> None:
    with pytest.raises(ServiceFailure, match="out of contract"):
        CODECS["body"].write_result(value)


@pytest.mark.parametrize("source", ["a\r\nb", "ü", " padded ", "tab\t"])
def test_what_no_header_can_carry_is_refused(source: str) -> None:
    with pytest.raises(InvalidRequest, match="printable ASCII"):
        CODECS["marks"].write_arguments((source, None, "", None))


@pytest.mark.parametrize("key", ["", ".", "..", "a\nb", "\x7f"])
def test_what_no_path_can_carry_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="path parameter 'key' cannot be"):
        CODECS["fields"].write_arguments((key, None, 1, None, UNSET, ()))


@given(st.text("ab=&+%2é", max_size=12))
def test_a_query_is_read_as_forms_are(query: str) -> None:
    try:
        expected: object = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        expected = None
    try:
        found: object = [*_pairs(query)]
    except InvalidRequest:
        found = None
    assert found == expected


def test_a_query_with_too_many_values_is_told_how_many_it_may_have() -> None:
    codec = CODECS["times"]
    with pytest.raises(InvalidRequest, match="more than 200 values"):
        codec.read_arguments({}, "&".join(["a=b"] * 201), lambda _: None, b"", strict=False)
    with pytest.raises(InvalidRequest, match="percent-encoded UTF-8"):
        codec.read_arguments({}, "at=%ff", lambda _: None, b"", strict=False)


@pytest.mark.parametrize("body", [b'{"a":' * 100_000, b'{"number": "\xff"}', b"<html>"])
def test_an_answer_that_cannot_be_read_is_a_failure_of_who_gave_it(body: bytes) -> None:
    with pytest.raises(ServiceFailure, match="answered out of contract"):
        CODECS["body"].read_result(body)
