"""What the system page says of a running system, and to whom."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol, final

import msgspec
import pytest

from borough import Service, contract, get
from borough.console.counts import SystemCounts, system_counts
from borough.console.facts import SystemView, system_view
from borough.console.one_process import mounts
from borough.errors import ConfigurationError, ServiceFailure
from borough.gateway.process import Process
from borough.runtime.mocks import mocked
from tests.console.ferry import (
    FACTS,
    Browser,
    Crossings,
    CrossingService,
    Tickets,
    ferry,
    sailing,
)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    async with sailing(ferry(tmp_path), tmp_path) as process:
        yield process


@pytest.fixture
def browser(process: Process) -> Browser:
    return Browser(process)


async def facts(browser: Browser) -> SystemView:
    return msgspec.convert(await browser.document("/system/facts.json"), SystemView)


async def counts(browser: Browser) -> SystemCounts:
    return msgspec.convert(await browser.document("/system/state.json"), SystemCounts, strict=False)


async def test_the_facts_name_services_teams_and_capabilities(browser: Browser) -> None:
    view = await facts(browser)
    assert (view.name, view.version) == ("ferry", "2.1.0")
    assert [(s.name, s.runs, s.team, s.domain, s.capability) for s in view.services] == [
        ("crossings", "here", "fleet", "sailing", "Knows which ferry sails when"),
        ("tickets", "here", "quay", "selling", "Sells a place on a ferry"),
    ]
    fleet, quay = view.teams
    assert (quay.size, quay.on_call, quay.time_zone) == (4, True, "Europe/Oslo")
    assert quay.release_days == ("Monday", "Thursday")
    assert (fleet.name, fleet.size, fleet.on_call) == ("fleet", None, None)


async def test_the_facts_name_contracts_with_versions_and_operations(browser: Browser) -> None:
    crossings, tickets = (await facts(browser)).services
    (contract,) = crossings.contracts
    assert (contract.wire_name, contract.version) == ("crossings.Crossings.v2", "2.0")
    sold, fail = contract.operations
    assert (sold.method, sold.path, sold.allow) == (
        "GET",
        "/crossings/v2/{crossing}/sold",
        "anyone",
    )
    assert (fail.scopes, fail.deprecated) == (("captain",), "since 2.0: nobody needs it")
    assert tickets.contracts[0].operations[1].allow is None
    assert [event.name for event in tickets.contracts[0].events] == ["TicketSold"]


async def test_the_facts_name_declared_calls_and_events(browser: Browser) -> None:
    view = await facts(browser)
    assert [(c.caller, c.provider, c.contracts) for c in view.calls] == [
        ("tickets", "crossings", ("crossings.Crossings.v2",))
    ]
    assert [(h.publisher, h.subscriber, h.events) for h in view.hearings] == [
        ("tickets", "crossings", ("tickets.Tickets.TicketSold",))
    ]


async def test_calls_and_events_are_counted(process: Process, browser: Browser) -> None:
    for number in range(3):
        await process.host.client(Tickets).sell("north", f"t{number}")
    with pytest.raises(ServiceFailure):
        await process.host.client(Crossings).fail("north")
    await process.host.quiet()
    found = await counts(browser)
    assert found.state == "ready"
    tickets, crossings = found.services["tickets"], found.services["crossings"]
    assert (tickets.calls, tickets.failures, tickets.in_flight) == (3, 0, 0)
    assert (tickets.published, tickets.waiting, tickets.duplicates) == (3, 0, 0)
    assert (crossings.calls, crossings.failures, crossings.handled) == (4, 1, 3)
    assert found.operations["crossings.Crossings.v2.fail"].failures == 1


async def test_events_that_are_not_sent_yet_are_counted_as_waiting(tmp_path: Path) -> None:
    async with sailing(ferry(tmp_path), tmp_path) as process:
        assert process.host.carriage is not None
        await process.host.carriage.stop(1.0)
        await process.host.client(Tickets).sell("north", "t1")
        found = await system_counts(process.host, process.clock.now())
        assert found.services["tickets"].waiting == 1


async def test_the_page_comes_with_its_files_and_a_strict_policy(browser: Browser) -> None:
    for path, kind in [
        ("/system", "text/html"),
        ("/system/", "text/html"),
        ("/system/style.css", "text/css"),
        ("/system/system.js", "text/javascript"),
    ]:
        status, headers, body = await browser.get(path)
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in body
        again, _, _ = await browser.get(path, if_none_match=headers["etag"])
        assert again == 304


@pytest.mark.parametrize("path", ["/system/nothing", "/system/.hidden", "/system/state.json/x"])
async def test_there_is_nothing_else_below_it(browser: Browser, path: str) -> None:
    assert (await browser.get(path))[0] == 404


@pytest.mark.parametrize("path", ["/system", "/system/facts.json", "/system/state.json"])
async def test_it_takes_nothing(browser: Browser, path: str) -> None:
    assert (await browser.get(path, method="POST"))[0] == 405


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "ferry.localhost"])
async def test_it_is_shown_under_a_loopback_name(browser: Browser, host: str) -> None:
    assert (await browser.get("/system/state.json", host=host))[0] == 200


@pytest.mark.parametrize("host", ["ferry.example", "10.0.0.7:8080", "localhost.example", "[::1"])
async def test_it_is_hidden_under_any_other_name(browser: Browser, host: str) -> None:
    assert (await browser.get("/system", host=host))[0] in (400, 404)


async def test_switched_on_it_is_shown_under_any_name(tmp_path: Path) -> None:
    system = ferry(tmp_path, FACTS + "\n[edge]\nsystem_page = true\n")
    async with sailing(system, tmp_path) as process:
        assert (await Browser(process).get("/system", host="ferry.example"))[0] == 200


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("", True),
        ('host = "localhost"', True),
        ('host = "::1"', True),
        ('host = "0.0.0.0"', False),
        ('host = "10.0.0.7"', False),
        ('host = "0.0.0.0"\nsystem_page = true', True),
        ("system_page = false", False),
    ],
)
def test_it_is_mounted_where_the_edge_is_on_loopback_or_it_is_switched_on(
    tmp_path: Path, options: str, shown: bool
) -> None:
    process = Process(ferry(tmp_path, f"[edge]\n{options}\n"), data_folder=tmp_path / "data")
    assert list(mounts(process)) == (["/system"] if shown else [])


@contract("system", version="1.0")
class Sea(Protocol):
    """A contract of a service with an unlucky name."""

    @get("/depth")
    async def depth(self) -> int:
        """How deep it is."""
        ...


@final
class SeaService(Service, Sea):
    """A service with an unlucky name."""

    async def depth(self) -> int:
        return 11


def test_a_service_named_system_is_not_hidden_by_it(tmp_path: Path) -> None:
    unlucky = Process(ferry(tmp_path, services=(SeaService,)), data_folder=tmp_path / "data")
    with pytest.raises(ConfigurationError, match="rename the service"):
        mounts(unlucky)


async def test_a_mock_and_a_service_elsewhere_are_told_apart(tmp_path: Path) -> None:
    whole = ferry(tmp_path)
    narrowed, stand_ins = mocked(whole, ["crossings"])
    process = Process(narrowed, stand_ins=stand_ins, data_folder=tmp_path / "data")
    await process.start()
    try:
        await process.host.client(Tickets).sell("north", "t1")
        found = await system_counts(process.host, process.clock.now())
        assert (found.services["crossings"].calls, found.services["crossings"].in_flight) == (
            1,
            None,
        )
        view = system_view(process.host.plan, narrowed.configuration.options, process.host.callees)
        assert [(s.name, s.runs) for s in view.services] == [
            ("crossings", "mock"),
            ("tickets", "here"),
        ]
    finally:
        await process.stop()
    alone = ferry(tmp_path, services=(CrossingService,))
    plan = Process(alone, data_folder=tmp_path / "alone").host.plan
    elsewhere = system_view(plan, alone.configuration.options, ())
    assert [(s.name, s.runs) for s in elsewhere.services] == [
        ("crossings", "here"),
        ("tickets", "elsewhere"),
    ]
    assert elsewhere.hearings[0].publisher == "tickets"


async def test_settings_and_secrets_are_not_among_the_facts(tmp_path: Path) -> None:
    toml = FACTS + '\n[services.tickets.settings]\nissuer_url = "http://secret.example"\n'
    system = ferry(tmp_path, toml)
    async with sailing(system, tmp_path) as process:
        _, _, body = await Browser(process).get("/system/facts.json")
        assert b"secret" not in body
        assert str(tmp_path).encode() not in body
