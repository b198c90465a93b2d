"""A plain ASGI application is a service of the system: served, permitted, shown, and it may call."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import borough
from borough import System
from borough.clock import SystemClock
from borough.console.one_process import mounts
from borough.errors import BoroughError, ConfigurationError, OpenFailed
from borough.gateway.edge_process import EdgeProcess
from borough.gateway.process import Process
from borough.ports import Replica
from borough.runtime.applications import asgi_service
from borough.runtime.configuration import Configuration
from borough.runtime.discovery import Directory
from borough.runtime.service_facts import ServiceFacts
from borough.testing.clock import ManualClock
from borough.transports.http.message import Connection
from tests.gateway.legacy.apps import QUEUE_IS_GONE, RAN
from tests.gateway.legacy.ledger import Ledger, LedgerService
from tests.gateway.library import Seen, request

APPS = "tests.gateway.legacy.apps"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def process(
    folder: Path,
    app: str = "fast",
    allow: str | None = "anyone",
    needs: tuple[str, ...] = ("ledger.Ledger",),
    flags: Mapping[str, Any] | None = None,
    **options: Any,
) -> Process:
    """The ledger, and an application beside it under /legacy."""
    (folder / "borough.toml").write_text('[services.legacy]\nteam = "old"\nasgi = "x:y"\n')
    path = app if ":" in app else f"{APPS}:{app}"
    facts = ServiceFacts(asgi=path, allow=allow, needs=needs)
    legacy = asgi_service("legacy", facts, [Ledger])
    configuration = Configuration.load(folder, {}, flags or {})
    system = System([LedgerService, legacy], configuration=configuration)
    return Process(system, clock=ManualClock(), data_folder=folder / "data", **options)


async def answers(started: Process, *asked: Any) -> list[Seen]:
    """The answers of the edge, after a start and before a stop."""
    await started.start()
    edge = started.make_edge()
    try:
        return [await Seen.of(await edge.answer(each)) for each in asked]
    finally:
        await edge.close()
        await started.stop()


async def test_it_answers_below_its_name_with_its_lifespan_around_it(tmp_path: Path) -> None:
    RAN.clear()
    (seen,) = await answers(process(tmp_path), request("GET", "/legacy/things/7"))
    assert json.loads(seen.body) == {"id": 7, "first": "startup", "user": None}
    assert RAN == ["startup", "shutdown"]


async def telling(scope: Any, _receive: Any, send: Any) -> None:
    """An application that says by whom and how it was asked."""
    assert scope["type"] == "http"
    said = json.dumps([*scope["client"], scope["scheme"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})


async def told(tmp_path: Path, peer: str, addresses: str, schemes: str) -> list[Any]:
    """What it is told of who asks through proxies in 10.0.0.0/16, which are believed."""
    flags = {"edge.proxies": ["10.0.0.0/16"]}
    fields = {"X-Forwarded-For": addresses, "X-Forwarded-Proto": schemes}
    started = process(tmp_path, f"{__name__}:telling", flags=flags)
    (seen,) = await answers(started, request("GET", "/legacy", fields, peer=peer))
    said: list[Any] = json.loads(seen.body)
    return said


@pytest.mark.parametrize(
    ("peer", "said"),
    [("10.0.0.9", ["192.0.2.9", 0, "https"]), ("10.1.0.9", ["10.1.0.9", 4711, "http"])],
)
async def test_it_is_told_who_is_behind_a_proxy_that_is_believed(
    tmp_path: Path, peer: str, said: list[Any]
) -> None:
    asked = await told(tmp_path, peer, "203.0.113.1, 192.0.2.9", "http, https")
    assert asked == said


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.9:5678", "192.0.2.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("unknown", "10.0.0.9"),
    ],
)
async def test_it_is_told_a_bare_address_however_a_proxy_writes_it(
    tmp_path: Path, written: str, address: str
) -> None:
    assert (await told(tmp_path, "10.0.0.9", written, "https"))[::2] == [address, "https"]


@pytest.mark.parametrize(
    ("schemes", "scheme"),
    [("https, http", "https"), ("http, https", "http"), ("https", "https"), ("", "http")],
)
async def test_behind_several_proxies_it_is_told_by_which_scheme_the_first_was_asked(
    tmp_path: Path, schemes: str, scheme: str
) -> None:
    said = await told(tmp_path, "10.0.0.9", "192.0.2.9, 10.0.0.5", schemes)
    assert said == ["192.0.2.9", 0, scheme]


async def test_it_is_told_the_scheme_that_another_server_in_front_was_asked_by(
    tmp_path: Path,
) -> None:
    started = process(tmp_path, f"{__name__}:telling")
    asked = request("GET", "/legacy", connection=Connection(("192.0.2.9", 0), "https"))
    (seen,) = await answers(started, asked)
    assert json.loads(seen.body) == ["192.0.2.9", 0, "https"]


@pytest.mark.parametrize("path", ["entries", "entries-from-a-thread"])
async def test_it_calls_a_service_with_the_deadline_the_trace_and_the_user_of_the_request(
    tmp_path: Path, path: str
) -> None:
    started = process(tmp_path, allow="user")
    await started.start()
    edge = started.make_edge()
    try:
        token = await started.host.services["ledger"].instance.tokens.issue("ann")
        fields = {
            "Authorization": f"Bearer {token}",
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        }
        asked = request("POST", f"/legacy/{path}?text=hi", fields)
        seen = await Seen.of(await edge.answer(asked))
        left_s = started.clock.monotonic() + 10.0
    finally:
        await edge.close()
        await started.stop()
    made = json.loads(seen.body)
    assert made == {
        "text": "hi",
        "caller": "legacy",
        "user": "ann",
        "trace": TRACE,
        "left_s": left_s,
    }


async def test_a_factory_makes_it_and_it_knows_where_it_is_mounted(tmp_path: Path) -> None:
    started = process(tmp_path, "make_star", needs=())
    seen, refused = await answers(
        started, request("GET", "/legacy/hello"), request("GET", "/legacy/undeclared")
    )
    assert seen.body == b"hello /legacy/hello"
    assert json.loads(refused.body)["refused"] == (
        "legacy does not declare Ledger: name it in services.legacy.needs"
    )


async def test_below_a_path_of_another_server_its_links_begin_with_that_path(
    tmp_path: Path,
) -> None:
    started = process(tmp_path, "make_star", needs=())
    there = Connection(("192.0.2.9", 0), root="/old%20shop")
    (seen,) = await answers(started, request("GET", "/legacy/hello", connection=there))
    assert seen.body == b"hello /old shop/legacy/hello"


async def test_django_is_one_too(tmp_path: Path) -> None:
    started = process(tmp_path, "tests.gateway.legacy.old_site:app")
    page, *entries = await answers(
        started,
        request("GET", "/legacy/page", {"Host": "shop.example"}),
        request("GET", "/legacy/entry?text=a", {"Host": "shop.example"}),
        request("GET", "/legacy/entry-from-a-thread?text=b", {"Host": "shop.example"}),
    )
    assert page.body == b"page at /legacy/page"
    assert [json.loads(entry.body) for entry in entries] == [
        {"text": "a", "caller": "legacy"},
        {"text": "b", "caller": "legacy"},
    ]


async def test_a_view_of_django_is_ended_as_its_client_leaves(tmp_path: Path) -> None:
    started = process(tmp_path, "tests.gateway.legacy.old_site:app")
    site = importlib.import_module("tests.gateway.legacy.old_site")
    await started.start()
    edge = started.make_edge()
    try:
        asking = asyncio.ensure_future(edge.answer(request("GET", "/legacy/long-page")))
        async with asyncio.timeout(10):
            await site.BEGUN.wait()
            asking.cancel()
            await site.ENDED.wait()
            await asyncio.wait([asking])
    finally:
        await edge.close()
        await started.stop()


async def test_it_is_kept_from_those_that_borough_toml_does_not_allow(tmp_path: Path) -> None:
    (seen,) = await answers(process(tmp_path, allow="old:read"), request("GET", "/legacy/things/7"))
    assert seen.status == 401


async def test_it_is_a_service_of_the_console(tmp_path: Path) -> None:
    started = process(tmp_path, mounts=mounts)
    (seen,) = await answers(
        started, request("GET", "/console/api/system", {"Host": "localhost"}, peer="127.0.0.1")
    )
    services = {service["name"]: service for service in json.loads(seen.body)["services"]}
    assert (services["legacy"]["runs"], services["legacy"]["team"]) == ("here", "old")
    calls = json.loads(seen.body)["calls"]
    assert calls == [{"caller": "legacy", "provider": "ledger", "contracts": ["ledger.Ledger"]}]


async def test_its_own_document_is_joined_to_that_of_the_edge(tmp_path: Path) -> None:
    (seen,) = await answers(process(tmp_path, allow="user"), request("GET", "/openapi.json"))
    document = json.loads(seen.body)
    OpenAPIV31SpecValidator(document).validate()
    operation = document["paths"]["/legacy/things/{id}"]["get"]
    assert operation["operationId"].startswith("legacy.")
    assert (operation["tags"], operation["security"]) == (["legacy"], [{"bearer": []}])
    assert "legacy.HTTPValidationError" in document["components"]["schemas"]
    text = json.dumps(document)
    assert '"#/components/schemas/HTTPValidationError"' not in text
    assert {"name": "legacy", "description": "Old things"} in document["tags"]


async def test_operations_of_one_name_are_told_apart_in_the_document(tmp_path: Path) -> None:
    (seen,) = await answers(process(tmp_path, "twins"), request("GET", "/openapi.json"))
    document = json.loads(seen.body)
    OpenAPIV31SpecValidator(document).validate()
    shelves = document["paths"]["/legacy/shelves"]
    assert shelves["get"]["operationId"] == "legacy.shelves"
    assert shelves["put"]["operationId"] == "legacy.shelves_2"


async def test_a_document_is_had_of_an_application_that_waits_for_its_client_to_leave(
    tmp_path: Path,
) -> None:
    (seen,) = await answers(process(tmp_path, "attentive"), request("GET", "/openapi.json"))
    assert list(json.loads(seen.body)["paths"]) == ["/legacy/attentive"]


@pytest.mark.parametrize(("app", "there"), [("fast", True), ("bare", False)])
async def test_in_a_fleet_its_document_comes_to_the_edge(
    tmp_path: Path, app: str, there: bool
) -> None:
    facts = ServiceFacts(asgi=f"{APPS}:{app}", allow="user", needs=("ledger.Ledger",))
    legacy = asgi_service("legacy", facts, [Ledger])
    configuration = Configuration.load(tmp_path, {})
    system = System([LedgerService, legacy], configuration=configuration)
    replica = Process(system, clock=SystemClock(), internal_port=0)
    directory = Directory()
    edge = EdgeProcess(configuration, ("ledger", "legacy"), directory, port=0)
    await edge.start()
    try:
        await replica.start()
        here = Replica("one.1", *replica.internal_origin)
        directory.update({"ledger": [here], "legacy": [here]})
        document = json.loads(await asyncio.to_thread(read, f"{edge.edge_url}/openapi.json"))
        stranger = f"http://127.0.0.1:{here.port}/borough/applications"
        with pytest.raises(HTTPError, match="404"):
            await asyncio.to_thread(read, stranger)
    finally:
        await edge.stop()
        await replica.stop()
    OpenAPIV31SpecValidator(document).validate()
    found = document["paths"].get("/legacy/things/{id}", {})
    assert bool(found) is there
    if there:
        assert found["get"]["security"] == [{"bearer": []}]
        assert "legacy.HTTPValidationError" in document["components"]["schemas"]


def read(url: str) -> bytes:
    """What is at a URL."""
    with urlopen(url, timeout=20) as answer:
        content: bytes = answer.read()
        return content


@pytest.mark.parametrize("app", ["bare", "endless", "make_star"])
async def test_a_document_that_is_none_is_left_out(tmp_path: Path, app: str) -> None:
    (seen,) = await answers(process(tmp_path, app), request("GET", "/openapi.json"))
    assert (seen.status, json.loads(seen.body)["paths"]) == (200, {})


async def test_an_application_without_a_lifespan_is_served(tmp_path: Path) -> None:
    (seen,) = await answers(process(tmp_path, "bare"), request("GET", "/legacy"))
    assert seen.status == 200


async def test_a_lifespan_that_breaks_off_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asyncio.Event()
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: told.set())
    started = process(tmp_path, "working")
    await started.start()
    logging.getLogger("borough.host").addHandler(handler)
    try:
        QUEUE_IS_GONE.set()
        async with asyncio.timeout(10):
            await told.wait()
    finally:
        logging.getLogger("borough.host").removeHandler(handler)
        await started.stop()
    assert "the lifespan of legacy broke off" in caplog.text
    assert "the old queue is gone" in caplog.text


async def test_a_startup_that_fails_is_told_and_the_start_is_taken_back(tmp_path: Path) -> None:
    started = process(tmp_path, "failing")
    with pytest.raises(OpenFailed) as caught:
        await started.start()
    assert str(caught.value) == (
        "legacy could not be opened: its startup failed: RuntimeError: the old database is gone"
    )
    assert started.host.state == "stopped"


@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        ("no.such.module:app", "there is no module no"),
        (f"{APPS}:absent", f"{APPS} has no absent"),
        (f"{APPS}:nothing", "which is no ASGI application"),
        (f"{APPS}:make_later", "an async factory"),
        (f"{APPS}:", 'write "module:name"'),
    ],
)
async def test_an_application_that_cannot_be_had_is_told(
    tmp_path: Path, app: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        await process(tmp_path, app).start()


@pytest.mark.parametrize(
    ("allow", "needs", "sentence"),
    [
        (None, (), "say who may reach the application at /legacy"),
        ("anyone user", (), "alone, or scopes only"),
        ("user", ("ledger.Ledgr",), r"did you mean ledger\.Ledger\?"),
        ("user", (f"{APPS}:fast",), "which is no contract"),
        ("user", ("no_such:Thing",), "there is no module no_such"),
    ],
)
def test_facts_of_an_application_that_are_wrong_are_told(
    tmp_path: Path, allow: str | None, needs: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        process(tmp_path, allow=allow, needs=needs)


def test_a_contract_of_elsewhere_is_needed_by_its_module(tmp_path: Path) -> None:
    started = process(tmp_path, needs=("tests.gateway.legacy.ledger:Ledger",))
    assert started.host.declared["legacy"] == {"ledger.Ledger"}


def test_outside_of_an_application_there_is_no_client() -> None:
    with pytest.raises(BoroughError, match="annotates an attribute"):
        borough.client(Ledger)


def test_a_system_may_be_an_application_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "old-system"
    root.mkdir()
    text = f'[services.legacy]\nasgi = "{APPS}:fast"\nallow = "anyone"\n'
    (root / "borough.toml").write_text(text)
    assert [cls.service_name for cls in System.load(root).services] == ["legacy"]


async def test_an_application_that_does_not_import_is_told_at_its_own_line(tmp_path: Path) -> None:
    with pytest.raises(OpenFailed) as caught:
        await process(tmp_path, "tests.gateway.legacy.raising:app").start()
    place = f"{Path(__file__).parent / 'legacy' / 'raising.py'}:8"
    assert str(caught.value) == f"legacy could not be opened: RuntimeError: no licence ({place})"
