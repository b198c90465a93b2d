"""First contact: what the internal listener tells of its contracts, and what a caller makes of it."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough import get, post
from borough.contracts.descriptor import describe, fingerprint, from_json, to_json
from borough.contracts.operation import Contract
from borough.contracts.reading import read_contract
from borough.errors import ContractMismatch, ServiceFailure
from borough.gateway.hello import HelloPage
from borough.gateway.internal import ServiceTokens
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.runtime.system import System
from borough.testing import free_port
from borough.testing.clock import ManualClock
from borough.transports.http.client import ClientResponse, HttpClient
from borough.transports.http.door import Door, Identity, Route
from borough.transports.http.greeting import Greeting
from borough.transports.http.message import Connection, Headers, Request, Response
from tests.contracts.evolving import contract_of, operation
from tests.gateway.library import Library, LibraryService, Seen, Town, request, routes

READ = operation({"n": int}, int, get("/read"))
OLD = contract_of("1.0", read=READ, write=operation({"n": int}, int, post("/write")))
GROWN = contract_of("1.1", read=READ, write=operation({"n": (int, 1)}, int, post("/write")))
BROKEN = contract_of("1.2", read=READ, write=operation({"n": int, "m": int}, int, post("/write")))


def page(*contracts: Contract, caller: Any = lambda _: None) -> HelloPage:
    return HelloPage("shop", {"yard": "2.5"}, contracts, caller, ManualClock())


async def ask_door(answering: HelloPage, asking: Request) -> Response:
    """What the internal door of a process with this page answers."""
    clock = ManualClock()

    async def identify(request: Request, route: Route) -> Identity:
        return Identity("orders", None)

    door = Door(routes(clock), identify, clock, strict=False, otherwise=answering.answer)
    return await door.answer(asking)


async def asked(answering: HelloPage, target: str, **more: Any) -> Seen:
    asking = request(more.pop("method", "GET"), target, **more)
    return await Seen.of(await ask_door(answering, asking))


async def test_a_process_says_who_it_is_and_which_contracts_it_answers() -> None:
    seen = await asked(page(OLD), "/borough/hello")
    expected = fingerprint(describe(OLD))
    assert seen.json["system"] == "shop"
    assert seen.json["services"] == {"yard": "2.5"}
    assert seen.json["contracts"] == {"yard.Yard": {"version": "1.0", "fingerprint": expected}}
    assert len(seen.json["process"]) == 16


async def test_its_id_stays_the_same_and_is_its_own() -> None:
    one = page(OLD)
    first, again = await asked(one, "/borough/hello"), await asked(one, "/borough/hello")
    assert first.json == again.json


async def test_a_descriptor_is_given_in_its_canonical_bytes() -> None:
    library = read_contract(Library)
    seen = await asked(page(OLD, library), "/borough/contracts/library.Library")
    assert (seen.status, seen.headers.get("content-type")) == (200, "application/json")
    assert seen.body == to_json(describe(library))
    assert from_json(seen.body) == describe(library)


async def test_what_is_known_is_not_sent_again() -> None:
    answering = page(OLD)
    tag = (await asked(answering, "/borough/hello")).headers.get("etag")
    again = await asked(answering, "/borough/hello", headers={"If-None-Match": tag or ""})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/borough/contracts/yard.Other", 404),
        ("GET", "/borough/contracts/", 404),
        ("GET", "/borough/hello/", 404),
        ("POST", "/borough/hello", 405),
        ("GET", "/boroughs/hello", 404),
        ("GET", "/library/who", 200),
    ],
)
async def test_the_rest_is_refused_or_belongs_to_others(
    method: str, target: str, status: int
) -> None:
    assert (await asked(page(OLD), target, method=method)).status == status


async def test_a_proof_counts_for_its_connection_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    town = Town(tmp_path)
    tokens = ServiceTokens(tmp_path / "tokens", town.clock)
    tokens.open(["orders"])
    answering = page(OLD, caller=tokens.caller)
    headers = {name.decode(): value.decode() for name, value in tokens.first_headers("orders")}
    connection = Connection(("127.0.0.1", 1))
    assert (await asked(answering, "/borough/hello")).status == 200
    seen = await asked(answering, "/borough/hello", headers=headers, connection=connection)
    assert (seen.status, connection.caller) == (200, "orders")
    headers |= {"borough-service": "payments"}
    seen = await asked(answering, "/borough/hello", headers=headers, connection=connection)
    assert (seen.status, connection.caller) == (401, "")


# --- the other side -------------------------------------------------------------------------------


class Asked:
    """A process that is asked without a network, and what it was asked for."""

    def __init__(self, *contracts: Contract) -> None:
        self.page = page(*contracts)
        self.targets: list[str] = []

    async def ask(self, target: str) -> ClientResponse:
        self.targets.append(target)
        seen = await ask_door(self.page, request("GET", target))
        assert isinstance(seen.body, bytes)
        return ClientResponse(seen.status, Headers.of(seen.headers), seen.body)


async def test_equal_contracts_need_one_request() -> None:
    peer = Asked(OLD)
    assert await Greeting(lambda: [OLD]).greet(peer.ask) == {}
    assert peer.targets == ["/borough/hello"]


async def test_a_compatible_version_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "borough.contracts")
    greeting, peer = Greeting(lambda: [OLD, read_contract(Library)]), Asked(GROWN)
    for _ in range(2):
        assert await greeting.greet(peer.ask) == {}
    assert peer.targets == ["/borough/hello", "/borough/contracts/yard.Yard", "/borough/hello"]
    assert caplog.messages == ["yard.Yard 1.1 meets 1.0 here, and they are compatible"]
    assert [meeting.theirs for meeting in greeting.met] == ["1.1"]


async def test_an_incompatible_operation_is_refused_with_the_change_and_both_versions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = await Greeting(lambda: [OLD]).greet(Asked(BROKEN).ask)
    assert set(refused) == {"yard.Yard.write"}
    error = refused["yard.Yard.write"]()
    assert isinstance(error, ContractMismatch)
    assert (error.status, error.code, error.retryable) == (502, "contract-mismatch", False)
    assert error.detail == (
        "the caller has yard.Yard 1.0 and the callee 1.2: yard.Yard.write at /request/m: the callee "
        "requires it, and the caller does not know it (required-field-added). "
        "Give the new field a default"
    )
    (message,) = caplog.messages
    assert message.startswith("yard.Yard 1.2 meets 1.0 here: 1 operations are refused there: the ")


async def test_a_process_that_says_no_hello_is_taken_as_it_is() -> None:
    async def ask(target: str) -> ClientResponse:
        return ClientResponse(404, Headers({}), b"<html>")

    assert await Greeting(lambda: [OLD]).greet(ask) == {}


async def test_a_hello_that_cannot_be_read_is_a_failure() -> None:
    async def ask(target: str) -> ClientResponse:
        return ClientResponse(200, Headers({}), b"<html>")

    with pytest.raises(ServiceFailure, match="/borough/hello answered 200, not a hello"):
        await Greeting(lambda: [OLD]).greet(ask)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    (tmp_path / "borough.toml").write_text('[system]\nname = "town"\nversion = "3.1"\n')
    system = System([LibraryService], configuration=Configuration.load(tmp_path, {}))
    started = Process(system, data_folder=tmp_path / "data", internal_port=free_port())
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


async def test_every_process_says_hello_at_its_internal_listener(process: Process) -> None:
    client = HttpClient()

    async def ask(target: str) -> ClientResponse:
        return await client.send(process.internal_origin, "GET", target)

    try:
        hello = msgspec.json.decode((await ask("/borough/hello")).body)
        assert (hello["system"], hello["services"]) == ("town", {"library": "3.1"})
        assert hello["contracts"]["library.Library"]["version"] == "1.0"
        assert await Greeting(lambda: [read_contract(Library)]).greet(ask) == {}
    finally:
        await client.close()
