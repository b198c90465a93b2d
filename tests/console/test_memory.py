"""What a console remembers of what has died."""

from datetime import UTC, datetime

import msgspec

from borough.alerting.bounds import Bounds
from borough.alerting.facts import ReplicaFacts
from borough.console.counts import EdgeCounts, ProcessCounts, ServiceCounts, SystemCounts
from borough.console.facts import CallView, SystemView, with_own
from borough.console.memory import Memory
from borough.console.watch import Moment
from borough.console.windows import Told, Total, Windows
from borough.runtime.options import Options

AT = datetime(2026, 11, 26, tzinfo=UTC)


def counts(*, running: bool, ended_at: float | None = None, calls: int = 0) -> SystemCounts:
    """A shop whose search runs, or does not."""
    processes = (ProcessCounts(pid=7, version="1.0"),) if running else ()
    replica = ReplicaFacts(
        name="search.1",
        services=("search",),
        state="ready" if running else "waiting",
        restarts=int(ended_at is not None),
        trouble=None,
        ended_at=ended_at,
    )
    edge = EdgeCounts(
        kind="call",
        caller="orders",
        callee="search",
        operation="search.Search.find",
        count=calls,
        failures=0,
        faults=0,
        buckets={},
    )
    return SystemCounts(
        state="ready",
        started_at=AT,
        at=AT,
        services={"search": ServiceCounts(processes=processes)} if running else {},
        operations={},
        edges=(edge,) if calls else (),
        replicas=(replica,),
    )


def test_a_service_that_nobody_has_told_of_is_not_down() -> None:
    memory = Memory(2)
    memory.take(counts(running=False), 10.0)
    assert memory.down_since("search") is None


def test_a_service_is_down_since_its_first_end_until_it_runs_again() -> None:
    memory = Memory(2)
    memory.take(counts(running=True), 10.0)
    assert memory.down_since("search") is None
    memory.take(counts(running=False, ended_at=12.0), 20.0)
    memory.take(counts(running=False, ended_at=19.0), 30.0)  # begun anew in vain
    assert memory.down_since("search") == 12.0
    memory.take(counts(running=True, ended_at=19.0), 40.0)
    assert memory.down_since("search") is None


def test_a_service_was_down_for_two_minutes_where_it_was_and_not_where_a_replica_has_ended() -> (
    None
):
    memory = Memory(2)
    memory.take(counts(running=True, ended_at=9.0), 10.0)
    assert not memory.was_down("search")
    memory.take(counts(running=False, ended_at=19.0), 20.0)
    assert not memory.was_down("search")
    for now, was_down in ((30.0, True), (149.0, True), (151.0, False)):
        memory.take(counts(running=True, ended_at=19.0), now)
        assert memory.was_down("search") is was_down


def test_a_service_that_only_does_not_tell_is_silent_since_it_told_last() -> None:
    memory = Memory(2)
    memory.take(counts(running=True, ended_at=5.0), 10.0)
    memory.take(counts(running=False, ended_at=5.0), 20.0)
    assert memory.down_since("search") == 10.0


def view(*calls: CallView) -> SystemView:
    return SystemView(name="shop", version="1.0", services=(), teams=(), calls=calls, hearings=())


def moment(facts: SystemView, now: SystemCounts, memory: Memory) -> Moment:
    windows = Windows()
    windows.add(0.0, {})
    return Moment(facts, now, windows.changes(), memory, Bounds())


def test_calls_that_were_seen_stay_seen_when_who_counted_them_has_died() -> None:
    facts = view(CallView(caller="orders", provider="search", contracts=("search.Search",)))
    memory, dead = Memory(2), counts(running=False, ended_at=12.0)
    memory.take(counts(running=True, calls=3), 10.0)
    memory.take(dead, 20.0)
    (edge,) = moment(facts, dead, memory).edges().values()
    assert (edge.declared, edge.observed, edge.count) == (True, True, 0)
    assert edge.operations == ("search.Search.find",)


def test_a_service_of_which_nobody_has_told_is_there_with_its_replicas_and_since_when() -> None:
    memory, dead = Memory(2), counts(running=False, ended_at=12.0)
    memory.take(dead, 20.0)
    found = moment(with_own(view(), ["search"], Options()), dead, memory).services()["search"]
    assert (found.processes, found.down_since) == ((), 12.0)
    assert [(each.name, each.state) for each in found.replicas] == [("search.1", "waiting")]


def asking(**times: int) -> SystemCounts:
    """Hosts that payments has asked so often."""
    edges = tuple(
        EdgeCounts(
            kind="outside",
            caller="payments",
            callee=f"{host}.example",
            operation=f"{host}.example",
            count=count,
            failures=0,
            faults=0,
            buckets={},
        )
        for host, count in times.items()
    )
    return msgspec.structs.replace(counts(running=True), edges=edges)


def hosts(memory: Memory, now: SystemCounts) -> list[str]:
    """Those of the map."""
    return [each.callee for each in moment(view(), now, memory).edges().values()]


def test_hosts_outside_are_as_many_as_are_allowed_and_those_asked_last() -> None:
    memory = Memory(2)
    memory.take(now := asking(a=1, b=1), 10.0)
    assert hosts(memory, now) == ["a.example", "b.example"]
    memory.take(now := asking(a=2, b=1, c=1), 20.0)
    assert hosts(memory, now) == ["a.example", "c.example"]
    assert [pair[2] for pair in memory.forgotten] == ["b.example"]
    memory.take(now := asking(a=2, b=1, c=1), 30.0)  # b is told of, and was not asked again
    assert hosts(memory, now) == ["a.example", "c.example"]
    memory.take(now := asking(b=2), 40.0)  # another process; a was asked before c
    assert hosts(memory, now) == ["b.example", "c.example"]


def test_what_is_forgotten_is_counted_no_longer() -> None:
    windows, key = Windows(), ("outside", "payments", "b.example", "b.example")
    windows.add(0.0, {"1": Told(0.0, {key: Total(5, 0, {})})})
    windows.forget([key])
    windows.add(2.0, {"1": Told(0.0, {key: Total(5, 0, {})})})
    assert dict(windows.changes().newest.totals) == {}
