"""The AsyncAPI document: valid for the official parser, complete, and true about what is published."""

import importlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from borough import Event, Key, contract, upcast
from borough.brokers.rabbitmq.terms import RabbitmqTerms
from borough.brokers.rabbitmq.topology import Topology
from borough.contracts.asyncapi import asyncapi
from borough.contracts.descriptor import describe, from_json, to_json
from borough.contracts.reading import read_contract
from borough.runtime.envelope import EventWriter
from borough.telemetry.trace import TraceContext
from shop.orders.contract import Buyer, Line, OrderPaid, Orders
from tests.contracts.bazaar import Bazaar
from tests.node.tools import MODULES, require_node, run_node

# jsonschema comes with openapi-spec-validator, and has no types.
Draft7Validator: Any = importlib.import_module("jsonschema").Draft7Validator
SCRIPT = Path(__file__).parents[1] / "node" / "asyncapi.mjs"


class Moved(Event, version=2):
    """Somebody moved."""

    number: Key[int]
    pair: tuple[int, str] = (0, "")

    @staticmethod
    @upcast(1)
    def with_pair(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "pair": [0, ""]}


@contract("people", version="2.0", publishes=[Moved], retains="latest per key")
class People(Protocol):
    """Knows where people live."""


DESCRIPTORS = [from_json(to_json(describe(read_contract(cls)))) for cls in (Bazaar, Orders, People)]
HEARD = {"mail": ["orders.Orders.OrderPaid"], "idle": ["nobody.Knows.This"]}
WHOLE = asyncapi(DESCRIPTORS, title="Shop", version="1", heard=HEARD)


@cache
def parsed() -> dict[str, Any]:
    node = require_node("@asyncapi/parser")
    said = run_node(node, SCRIPT, MODULES, given=msgspec.json.encode(WHOLE))
    found: dict[str, Any] = msgspec.json.decode(said)
    return found


def message(name: str) -> dict[str, Any]:
    found: dict[str, Any] = WHOLE["components"]["messages"][name]
    return found


def test_the_official_parser_finds_no_fault() -> None:
    faults = [each for each in parsed()["diagnostics"] if each["severity"] <= 1]
    assert [each for each in faults if each["code"] != "asyncapi-latest-version"] == []


def test_the_official_parser_reads_every_topic_and_its_events() -> None:
    assert dict(parsed()["channels"])["orders.Orders"] == [
        "orders.Orders.OrderCancelled",
        "orders.Orders.OrderPaid",
        "orders.Orders.OrderPlaced",
    ]
    assert ["orders.sends.orders.Orders", "send"] in parsed()["operations"]


def test_who_hears_an_event_receives_it_and_nothing_else() -> None:
    assert WHOLE["operations"]["mail.hears.orders.Orders"]["messages"] == [
        {"$ref": "#/channels/orders.Orders/messages/OrderPaid"}
    ]
    assert not [name for name in WHOLE["operations"] if name.startswith("idle.")]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": WHOLE["components"]}


def test_a_published_event_is_as_the_document_says() -> None:
    event = read_contract(Orders).events["orders.Orders.OrderPaid"]
    line = Line(sku="A", name="Lamp", quantity=1, price_cents=5)
    paid = OrderPaid(
        order_id="o-1",
        buyer=Buyer(account_id="a", name="Ada", email="ada@example.org"),
        lines=(line,),
        total_cents=5,
    )
    trace = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True, "vendor=1")
    _, body = EventWriter(event, "/shop/orders").write(paid, "id-1", datetime.now(UTC), trace)
    validator = Draft7Validator(resolved(message("orders.Orders.OrderPaid")["payload"]))
    validator.validate(msgspec.json.decode(body))
    strange = {**msgspec.json.decode(body), "type": "orders.Orders.OrderPlaced"}
    assert not validator.is_valid(strange)


@pytest.mark.parametrize("name", sorted(WHOLE["components"]["messages"]))
def test_the_example_of_an_event_fits_its_schema(name: str) -> None:
    found = message(name)
    Draft7Validator.check_schema(found["payload"])
    Draft7Validator(resolved(found["payload"])).validate(found["examples"][0]["payload"])


def test_the_key_of_an_event_is_the_key_of_its_message() -> None:
    assert message("people.People.v2.Moved")["bindings"]["kafka"]["key"]["type"] == "string"
    assert "kafka" not in message("bazaar.Bazaar.v2.Opened")["bindings"]


def test_retention_is_that_of_the_topic() -> None:
    settings = {
        name: channel["bindings"]["kafka"]["topicConfiguration"]
        for name, channel in WHOLE["channels"].items()
    }
    assert settings["people.People.v2"] == {"cleanup.policy": ["compact"]}
    assert settings["orders.Orders"] == {"cleanup.policy": ["delete"], "retention.ms": 604_800_000}


def test_a_topic_is_an_exchange_in_rabbitmq() -> None:
    terms = RabbitmqTerms(prefix="market")
    document = asyncapi(DESCRIPTORS, title="Shop", version="1", exchange_prefix="market")
    exchange = document["channels"]["orders.Orders"]["bindings"]["amqp"]["exchange"]
    assert exchange["name"] == Topology(terms).exchange("orders.Orders")
    assert (exchange["type"], exchange["durable"]) == ("topic", True)


def test_only_public_contracts_are_shown_to_the_public() -> None:
    public = asyncapi(DESCRIPTORS, title="Shop", version="1", public_only=True)
    assert set(public["channels"]) == {"orders.Orders"}
    assert "bindings" not in public["channels"]["orders.Orders"]
