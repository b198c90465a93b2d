"""Which services run together: every fault of a topology is told, and starts go along the calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.errors import ConfigurationError, DeclarationFaults
from borough.runtime.options import DeployableFacts
from borough.runtime.system import System
from borough.runtime.topology import (
    Deployable,
    Topology,
    faults_of_others,
    make_topology,
    start_waves,
)
from tests.cli.systems import write_system

SERVICES = ("orders", "payments", "search")


def facts(*services: str, replicas: int = 1) -> DeployableFacts:
    return DeployableFacts(services=services, replicas=replicas)


def test_a_fleet_has_a_deployable_for_each_service_and_one_has_all() -> None:
    fleet = make_topology("fleet", {}, SERVICES)
    assert fleet.deployables == tuple(Deployable(name, (name,)) for name in SERVICES)
    assert make_topology("one", {}, SERVICES).deployables == (Deployable("one", SERVICES),)


def test_a_written_one_is_taken_as_it_stands() -> None:
    split = {"shop": facts("payments", "orders"), "search": facts("search", replicas=3)}
    assert make_topology("split", {"split": split}, SERVICES) == Topology(
        "split",
        (Deployable("shop", ("payments", "orders")), Deployable("search", ("search",), 3)),
    )


def test_a_name_that_there_is_not_and_one_that_is_built_in_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no topology 'splt'; did you mean split\?"):
        make_topology("splt", {"split": {}}, SERVICES)
    with pytest.raises(ConfigurationError, match=r"topologies\.fleet is built in"):
        make_topology("split", {"fleet": {}}, SERVICES)


def test_all_faults_are_told_together() -> None:
    wrong = {
        "a": facts("orders", "serch"),
        "b": facts("orders"),
        "c": facts(),
        "edge": facts("payments"),
        "A b": facts("payments"),
    }
    with pytest.raises(DeclarationFaults) as raised:
        make_topology("split", {"split": wrong}, SERVICES)
    assert [str(fault) for fault in raised.value.faults] == [
        'topologies.split.c has no services. Write services = ["NAME"], or remove it',
        "topologies.split.edge has the name of a process that is always there. Rename it",
        "topologies.split.A b is no name. Use lower-case letters, digits, - and _",
        "topologies.split has the service orders in a and in b. Keep it in one deployable; "
        "`replicas` says how many processes that has",
        "topologies.split.a names 'serch', which is no service. Did you mean search?",
        "topologies.split has the service payments in edge and in A b. Keep it in one deployable; "
        "`replicas` says how many processes that has",
        "topologies.split leaves out search. Put each service into a deployable",
    ]


def test_faults_of_topologies_that_do_not_run_are_told_too(tmp_path: Path) -> None:
    toml = """
        [topologies.right.all]
        services = ["notes"]
        [topologies.wrong.all]
        services = ["note"]
    """
    system = System.load(write_system(tmp_path, "ledger", toml=toml))
    wrong = [
        "topologies.wrong.all names 'note', which is no service. Did you mean notes?",
        "topologies.wrong leaves out notes. Put each service into a deployable",
    ]
    assert list(faults_of_others(system, "one")) == wrong
    assert list(faults_of_others(system, "wrong")) == []


def test_mocked_services_get_a_process_of_their_own() -> None:
    split = {"shop": facts("payments", "orders"), "search": facts("search")}
    mocking = make_topology("split", {"split": split}, SERVICES).mocking(["search", "payments"])
    assert mocking.deployables == (
        Deployable("mock", ("search", "payments")),
        Deployable("shop", ("orders",)),
    )


def test_who_is_called_starts_before_who_calls_and_a_circle_starts_together() -> None:
    fleet = make_topology("fleet", {}, ["a", "b", "c", "d"])
    assert start_waves(fleet, {"a": {"b"}, "b": {"c"}, "c": {"b", "d", "elsewhere"}}) == [
        ("d",), ("b", "c"), ("a",),
    ]  # fmt: skip


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdef"))))
def test_every_deployable_starts_once_and_never_before_what_it_alone_needs(
    needs: dict[str, set[str]],
) -> None:
    fleet = make_topology("fleet", {}, list("abcdef"))
    waves = start_waves(fleet, needs)
    assert sorted(name for wave in waves for name in wave) == list("abcdef")
    place = {name: number for number, wave in enumerate(waves) for name in wave}
    for service, called in needs.items():
        assert all(place[other] <= place[service] for other in called)
