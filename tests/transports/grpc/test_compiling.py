"""Every portable value survives protobuf, and what protobuf cannot mean is refused with its place."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from keyword import kwlist
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough import UNSET
from borough.contracts.descriptor import describe
from borough.contracts.examples import example_arguments, example_result
from borough.contracts.proto import (
    RESULT,
    ProtoField,
    ProtoFile,
    ProtoMessage,
    proto_file,
)
from borough.contracts.proto_lock import ProtoLock, numbered
from borough.contracts.reading import read_contract
from borough.transports.grpc.compiling import Converters
from borough.transports.grpc.pool import MessagePool
from shop.orders.contract import Orders
from tests.contracts.bazaar import Bazaar, Bottle, Crate, Everything

FILES = {}
for _cls in (Bazaar, Orders):
    _contract = read_contract(_cls)
    _descriptor = describe(_contract)
    _file = numbered(proto_file(_descriptor), ProtoLock(), "")[0]
    FILES[_cls] = (_contract, _descriptor, _file, Converters(_file), MessagePool([_file]))
SEEDS = st.integers(0, 2**32)


def survives(cls: type[Any], name: str, fields: Any, kinds: dict[str, Any]) -> None:
    """Write the attributes of `fields` into the message, and read them again."""
    _, _, file, converters, pool = FILES[cls]
    make = pool.message(file, name)
    data = make(**converters.write(name)(fields)).SerializeToString()
    again = converters.read(name)(make.FromString(data))
    for wire, kind in kinds.items():
        value = getattr(fields, wire)
        if value is not UNSET and not (value is None and wire not in again):
            assert msgspec.convert(again[wire], kind) == value
        else:
            assert wire not in again


@given(SEEDS)
def test_what_an_operation_answers_survives(seed: int) -> None:
    for cls, (read, descriptor, file, _, _) in FILES.items():
        for method in file.methods:
            operation = read.operations[method.operation.name]
            if operation.result is not type(None):
                value = example_result(method.operation, descriptor, seed)
                typed = msgspec.convert(value, operation.result)
                answer = type("Answer", (), {RESULT: typed})()
                survives(cls, method.response, answer, {RESULT: operation.result})


@given(SEEDS)
def test_what_an_operation_is_asked_survives(seed: int) -> None:
    for cls, (read, descriptor, file, _, _) in FILES.items():
        for method in file.methods:
            operation = read.operations[method.operation.name]
            given_values = example_arguments(method.operation, descriptor, seed)
            kinds = {p.name: p.kind for p in operation.parameters if p.name in given_values}
            typed = {
                name: msgspec.convert(given_values[name], kind) for name, kind in kinds.items()
            }
            absent = {p.name: UNSET for p in operation.parameters if p.name not in typed}
            asked = type("Asked", (), {**absent, **typed})()
            survives(cls, method.request, asked, kinds)


EVERYTHING: dict[str, Any] = {
    "whole": -(2**63),
    "broken": 0.1,
    "text": "ü ✓",
    "yes": False,
    "raw": b"\x00\xff\x80",
    "exact": Decimal("1.10"),
    "id": "7c6e1d5e-5b1c-4c53-9d2a-0d1e3f1f7a55",
    "at": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "day": "2024-02-29",
    "size": "L",
    "rank": 2,
    "state": "sold",
    "word": "b",
    "number": None,
    "goods": Crate(weight_g=5, inside=(Bottle(litres=1.5), Crate(weight_g=10))),
    "more_goods": None,
    "skus": ("ABC-1234",),
    "pair": (0, ""),
    "numbers": [-1, -2],
    "prices": {"a": Decimal("2.50"), "": Decimal(0)},
    "by_sku": {"ABC-1234": "S", "ABC-1235": "L"},
}


@pytest.mark.parametrize("note", [UNSET, None, "", "x"])
def test_absent_null_and_a_value_stay_three_things(note: Any) -> None:
    thing = msgspec.convert(EVERYTHING, Everything)
    whole = msgspec.structs.replace(thing, note=note, again=thing)
    _, _, file, converters, pool = FILES[Bazaar]
    make = pool.message(file, "Everything")
    data = make(**converters.write("Everything")(whole)).SerializeToString()
    assert (
        msgspec.convert(converters.read("Everything")(make.FromString(data)), Everything) == whole
    )


def test_what_protobuf_cannot_mean_is_refused_with_its_place() -> None:
    _, _, file, converters, pool = FILES[Bazaar]
    make = pool.message(file, "Everything")
    thing = msgspec.convert(EVERYTHING, Everything)
    fields = converters.write("Everything")(thing)
    for name, value, words in (
        ("size", 0, "missing required field `size`"),
        ("rank", 77, r"number 77|got `str`"),
        ("at", {"seconds": 2**60}, r"datetime.*\$\.at"),
        ("by_sku", {"ABC-1234": 0, "ABC-1235": 1}, r"got `null`"),
        ("goods", {}, "missing required field `type`"),
        ("more_goods", {}, "missing required field `type`"),
        ("text", "x", ""),
    ):
        read = converters.read("Everything")(make(**{**fields, name: value}))
        if words:
            with pytest.raises(msgspec.ValidationError, match=words):
                msgspec.convert(read, Everything)
        else:
            assert msgspec.convert(read, Everything).text == value


def test_a_value_that_only_others_know_is_not_taken_for_null() -> None:
    contract, _, file, converters, pool = FILES[Bazaar]
    read = converters.read("ManyRequest")(pool.message(file, "ManyRequest")(size=99))
    size = next(each for each in contract.operations["many"].parameters if each.name == "size")
    assert msgspec.convert(None, size.kind) is None
    with pytest.raises(msgspec.ValidationError, match="'number 99'"):
        msgspec.convert(read["size"], size.kind)


def test_a_value_that_only_others_know_is_unknown_in_an_open_enum() -> None:
    _, _, file, converters, pool = FILES[Bazaar]
    make = pool.message(file, "Everything")
    thing = msgspec.convert(EVERYTHING, Everything)
    message = make(**{**converters.write("Everything")(thing), "state": 99})
    read = msgspec.convert(converters.read("Everything")(message), Everything)
    assert read.state.name == "UNKNOWN"


@pytest.mark.parametrize("label", ["", "optional", "repeated"])
def test_a_field_may_have_any_keyword_of_python_as_its_name(label: Any) -> None:
    words = [word for word in kwlist if word.islower()]
    fields = tuple(
        ProtoField(
            name=word,
            type="int64",
            label=label,
            number=number,
            wire=f"{word}_",
            attribute=f"{word}_",
        )
        for number, word in enumerate(words, 1)
    )
    value: Any = [7] if label == "repeated" else 7
    messages = {"Words": ProtoMessage(name="Words", fields=fields)}
    file = ProtoFile(
        package="words",
        service="Telling",
        contract="words.Telling",
        methods=(),
        messages=messages,
        enums={},
        problems={},
    )
    converters = Converters(file)
    said = SimpleNamespace(**{f"{word}_": value for word in words})
    data = MessagePool([file]).message(file, "Words")(**converters.write("Words")(said))
    assert converters.read("Words")(data) == vars(said)
