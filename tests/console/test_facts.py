"""What the console says of a running system: its facts and its counts."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from borough.console.counts import SystemCounts, merged_counts, system_counts
from borough.console.facts import SystemView, system_view
from borough.errors import ServiceFailure, Unavailable
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
    return msgspec.convert(await browser.document("/console/api/system"), SystemView)


async def counts(browser: Browser) -> SystemCounts:
    return msgspec.convert(await browser.document("/console/api/state"), SystemCounts, strict=False)


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


async def test_a_refused_call_has_failed_in_the_sum_as_in_the_share(
    process: Process, browser: Browser
) -> None:
    process.host.services["crossings"].gate.limit = 0
    with pytest.raises(Unavailable):
        await process.host.client(Crossings).sold("north")
    found = await counts(browser)
    (edge,) = (each for each in found.edges if each.count)
    crossings, sold = found.services["crossings"], found.operations["crossings.Crossings.v2.sold"]
    assert (edge.count, edge.faults) == (1, 1)
    assert (crossings.calls, crossings.failures) == (sold.calls, sold.failures) == (1, 1)
    calls, threads = crossings.rooms
    assert (calls.kind, calls.busy, calls.refused, threads.kind) == ("calls", 0, 1, "threads")


async def test_rooms_of_replicas_are_one_room(process: Process) -> None:
    one = await system_counts(process.host, process.clock.now())
    both = merged_counts([one, one], one.state, one.at)
    (calls, threads), rooms = one.services["tickets"].rooms, both.services["tickets"].rooms
    assert [each.limit for each in rooms] == [2 * calls.limit, 2 * threads.limit]


async def test_events_that_are_not_sent_yet_are_counted_as_waiting(tmp_path: Path) -> None:
    async with sailing(ferry(tmp_path), tmp_path) as process:
        assert process.host.carriage is not None
        await process.host.carriage.stop(1.0)
        await process.host.client(Tickets).sell("north", "t1")
        found = await system_counts(process.host, process.clock.now())
        assert found.services["tickets"].waiting == 1


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
        _, _, body = await Browser(process).get("/console/api/system")
        assert b"secret" not in body
        assert str(tmp_path).encode() not in body
