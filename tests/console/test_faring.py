"""How who answers fares, out of what happened lately."""

from datetime import UTC, datetime

import pytest

from borough.alerting.bounds import Bounds
from borough.console.counts import EdgeCounts, OperationCounts, ServiceCounts, SystemCounts
from borough.console.facts import SystemView
from borough.console.faring import Faring, faring
from borough.console.memory import Memory
from borough.console.watch import Moment
from borough.console.windows import Lately, Told, Total, Windows
from borough.contracts.objective import read_availability


def lately(per_s: float | None, faults_per_s: float | None = 0.0) -> Lately:
    return Lately(per_s=per_s, faults_per_s=faults_per_s, p50_ms=None, p99_ms=None)


@pytest.mark.parametrize("nothing", [lately(None, None), lately(0.0)])
def test_where_nothing_happens_it_is_quiet(nothing: Lately) -> None:
    assert faring((nothing, 0.05), (nothing, 0.05)) == "quiet"


def test_what_may_fail_is_told_apart_from_trouble() -> None:
    assert faring((lately(100.0), 0.05)) == "well"
    assert faring((lately(100.0, 5.0), 0.05)) == "ailing"
    assert faring((lately(100.0, 5.1), 0.05)) == "failing"
    assert faring((lately(100.0, 5.0), 0.001)) == "failing"


def test_the_worse_of_calls_and_events_counts() -> None:
    well, failing = (lately(100.0), 0.05), (lately(0.2, 0.2), 0.05)
    assert faring(well, failing) == faring(failing, well) == "failing"
    assert faring((lately(None, None), 0.05), (lately(10.0, 0.1), 0.05)) == "ailing"


@pytest.mark.parametrize(("promised", "found"), [("99%", "failing"), ("90%", "ailing")])
def test_services_edges_and_operations_fare_by_what_the_service_promises(
    promised: str, found: Faring
) -> None:
    edge = EdgeCounts(
        kind="call",
        caller="orders",
        callee="payments",
        operation="payments.Payments.charge",
        count=100,
        failures=2,
        faults=2,
        buckets={-3: 100},
    )
    now = datetime(2026, 11, 26, tzinfo=UTC)
    counts = SystemCounts(
        state="ready",
        started_at=now,
        at=now,
        services={"payments": ServiceCounts()},
        operations={edge.operation: OperationCounts(calls=100, failures=2)},
        edges=(edge,),
    )
    memory, windows = Memory(200), Windows()
    memory.take(counts, 1.0)
    windows.add(0.0, {"1": Told(0.0, {edge.key: Total(0, 0, {})})})
    windows.add(2.0, {"1": Told(0.0, {edge.key: Total(100, 2, edge.buckets)})})
    view = SystemView(name="shop", version="1", services=(), teams=(), calls=(), hearings=())
    bounds = Bounds((), [read_availability("payments", promised)])
    moment = Moment(view, counts, windows.changes(), memory, bounds)
    assert moment.services()["payments"].faring == found
    assert moment.edges()["call orders payments"].faring == found
    assert moment.operations()[edge.operation]["faring"] == found
