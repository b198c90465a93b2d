"""Events of old versions are read as if they had been published by the code of today."""

import json
import types
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough import Event, Key, contract, upcast
from borough.contracts.descriptor import describe, fingerprint, from_json, to_json
from borough.contracts.operation import BoundEvent
from borough.contracts.reading import read_contract
from borough.contracts.upcasting import upcasts_of, version_of
from borough.runtime.envelope import EventReader, EventUnreadable, EventWriter

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Priced(Event, version=4):
    """The price of an item was changed."""

    item: Key[str]
    price: Decimal
    currency: str
    steps: tuple[int, ...] = ()

    @staticmethod
    @upcast(1)
    def _of_euros(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "cents": data.pop("euros") * 100, "steps": [1]}

    @upcast(3)
    @staticmethod
    def _as_decimal(data: dict[str, Any]) -> dict[str, Any]:
        data["price"] = Decimal(data.pop("cents")) / 100
        data["steps"] = (*data.get("steps", ()), 3)
        return data

    @staticmethod
    @upcast(2)
    def _with_currency(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "currency": "EUR", "steps": [*data.get("steps", []), 2]}


class Plain(Event):
    """An event that is as it was at first."""

    item: Key[str]


class Later(Priced, version=1):
    """A version and its upcasts are the class's own."""


def bound(kind: type[Event]) -> BoundEvent:
    return BoundEvent(kind, f"shop.Shop.{kind.__name__}", "shop.Shop", "item")


def document(version: Any, data: Any) -> bytes:
    envelope = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": data}
    if version is not None:
        envelope["eventversion"] = version
    return json.dumps(envelope).encode()


READER = EventReader(bound(Priced))
OLD = [
    (None, {"item": "nut", "euros": 3}, (1, 2, 3)),
    (1, {"item": "nut", "euros": 3}, (1, 2, 3)),
    (2, {"item": "nut", "cents": 300}, (2, 3)),
    (3, {"item": "nut", "cents": 300, "currency": "EUR"}, (3,)),
    (4, {"item": "nut", "price": "3", "currency": "EUR"}, ()),
    (5, {"item": "nut", "price": "3", "currency": "EUR", "colour": "red"}, ()),
    ("1.0", {"item": "nut", "euros": 3}, (1, 2, 3)),
    (0, {"item": "nut", "euros": 3}, (1, 2, 3)),
]


@pytest.mark.parametrize(("version", "data", "steps"), OLD)
def test_every_version_becomes_the_present_one(
    version: Any, data: dict[str, Any], steps: tuple[int, ...]
) -> None:
    _, event = READER.read(document(version, data))
    assert event == Priced(item="nut", price=Decimal(3), currency="EUR", steps=steps)


def test_a_version_above_one_is_written_and_read() -> None:
    event = Priced(item="nut", price=Decimal("1.10"), currency="EUR")
    key, body = EventWriter(bound(Priced), "/shop").write(event, "1", NOW, None)
    assert (key, json.loads(body)["eventversion"]) == ("nut", 4)
    assert READER.read(body)[1] == event
    _, body = EventWriter(bound(Plain), "/shop").write(Plain(item="nut"), "1", NOW, None)
    assert b"eventversion" not in body


def test_a_version_and_its_upcasts_are_not_inherited() -> None:
    assert (version_of(Priced), version_of(Later), version_of(Plain)) == (4, 1, 1)
    assert sorted(upcasts_of(Priced)) == [1, 2, 3]
    assert upcasts_of(Later) == {}
    assert Priced._of_euros({"euros": 2})["cents"] == 200


WRONG: list[tuple[Any, Any, str]] = [
    (1, {"item": "nut"}, r"Priced: _of_euros, from version 1, failed: KeyError\('euros'\)"),
    (1, [1, 2], "Priced: _of_euros, from version 1, failed: TypeError"),
    (3, {"item": "nut", "cents": "x"}, "Priced: _as_decimal, from version 3, failed"),
    (2, {"item": 7, "cents": 1}, r"Priced: Expected `str`, got `int` - at `\$.item`"),
]


@pytest.mark.parametrize(("version", "data", "expected"), WRONG)
def test_what_cannot_be_upcast_is_unreadable_with_its_cause(
    version: int, data: Any, expected: str
) -> None:
    with pytest.raises(EventUnreadable, match=expected) as caught:
        READER.read(document(version, data))
    assert caught.value.__cause__ is not None


class Odd(Event, version=2):
    """Its upcast makes no JSON."""

    item: Key[str]

    @staticmethod
    @upcast(1)
    def _oddly(data: dict[str, Any]) -> dict[str, Any]:
        return {"item": object()}


def test_an_upcast_that_makes_no_json_is_unreadable() -> None:
    with pytest.raises(EventUnreadable, match="Odd: the upcasts made something that no JSON"):
        EventReader(bound(Odd)).read(document(1, {}))


def made(version: int) -> type[Event]:
    """An event of this version each of whose upcasts says that it has been."""

    def step(number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def apply(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "way": [*data["way"], number], f"field{number}": number}

        return upcast(number)(apply)

    namespace: dict[str, Any] = {f"_step{n}": step(n) for n in range(version - 1, 0, -1)}
    namespace["__annotations__"] = {"way": tuple[int, ...], "text": str}
    namespace["__module__"] = __name__
    found: type[Event] = types.new_class(
        "Walked", (Event,), {"version": version}, lambda body: body.update(namespace)
    )
    return found


@given(st.integers(1, 8), st.integers(-1, 10), st.text(), st.booleans())
def test_the_way_from_a_version_goes_through_each_between(
    present: int, published: int, text: str, is_said: bool
) -> None:
    reader = EventReader(bound(made(present)))
    body = document(published if is_said else None, {"way": [], "text": text})
    _, event = reader.read(body)
    first = published if is_said and published > 0 else 1
    found: Any = event
    assert (found.way, found.text) == (tuple(range(first, present)), text)


@contract("shop", version="1.0", publishes=[Plain])
class Shop(Protocol):
    """A shop."""


@contract("shop", version="1.0", publishes=[Priced])
class PricedShop(Protocol):
    """A shop with prices."""


def test_the_descriptor_tells_a_version_above_one() -> None:
    plain, priced = describe(read_contract(Shop)), describe(read_contract(PricedShop))
    assert b'"version":4' in to_json(priced)
    assert from_json(to_json(priced)).events[0].version == 4
    assert b"version" not in to_json(plain).replace(b'"version":"1.0"', b"")
    assert fingerprint(plain) != fingerprint(priced)
