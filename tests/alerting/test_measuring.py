"""What counts as the last minute: only what has happened in it, whenever a process is seen first."""

import gc
import sys

import msgspec
import pytest

from borough.alerting.facts import (
    CallFacts,
    HandlerFacts,
    PoolFacts,
    ProcessFacts,
    ReplicaFacts,
    SystemFacts,
)
from borough.alerting.judging import Judging
from borough.alerting.measuring import Measuring
from borough.contracts.objective import read_availability

OBJECTIVE = read_availability("orders", "99.9%")


def process(count: int, faults: int, age_s: float | None) -> ProcessFacts:
    """One that has taken so many calls, and refused as many as have failed."""
    return ProcessFacts(
        id="orders.1",
        services=("orders",),
        state="ready",
        age_s=age_s,
        calls=(
            CallFacts(
                side="server",
                caller="edge",
                service="orders",
                operation="orders.Orders.place",
                count=count,
                faults=faults,
                buckets={-6: count},
            ),
        ),
        pools=(
            PoolFacts(service="orders", kind="calls", busy=0, limit=10, waiting=0, refused=faults),
        ),
    )


def seen(*processes: ProcessFacts, restarts: int | None = None) -> SystemFacts:
    replica = ReplicaFacts(
        name="orders.1", services=("orders",), state="ready", restarts=restarts or 0, trouble=None
    )
    return SystemFacts(
        processes=processes,
        answered={"orders": True},
        replicas=() if restarts is None else (replica,),
    )


def taken(measuring: Measuring, now: float) -> tuple[int, float, int]:
    """Calls of the last minute, calls within the last hour, and what was refused."""
    calls = sum(each.count for each in measuring.calls.values())
    return (
        calls,
        measuring.spent[OBJECTIVE].within(now, 3600.0)[0],
        measuring.refused.get("orders", 0),
    )


@pytest.mark.parametrize("age_s", [None, 86_400.0, 61.0])
def test_what_a_process_has_counted_before_it_is_seen_first_is_not_of_the_last_minute(
    age_s: float | None,
) -> None:
    measuring = Measuring([OBJECTIVE])
    measuring.take(seen(), 1000)
    measuring.take(seen(process(1_000_000, 90_000, age_s)), 1002)
    assert taken(measuring, 1002) == (0, 0, 0)
    measuring.take(seen(process(1_000_007, 90_003, age_s)), 1004)
    assert taken(measuring, 1004) == (7, 7, 3)


def test_all_that_a_process_has_counted_that_began_a_moment_ago_is_of_the_last_minute() -> None:
    measuring = Measuring([OBJECTIVE])
    measuring.take(seen(), 1000)
    measuring.take(seen(process(9, 3, 4.0)), 1002)
    assert taken(measuring, 1002) == (9, 9, 3)


def test_what_happened_while_a_process_did_not_tell_for_long_is_not_of_the_last_minute() -> None:
    measuring = Measuring([OBJECTIVE])
    measuring.take(seen(process(10, 0, 100.0)), 1000)
    for now in range(1002, 4602, 2):
        measuring.take(seen(), now)
    measuring.take(seen(process(5010, 900, 3702.0)), 4602)
    assert taken(measuring, 4602) == (0, 0, 0)


def test_what_happened_at_looks_that_a_process_missed_is_counted_at_the_next() -> None:
    measuring = Measuring([OBJECTIVE])
    measuring.take(seen(process(10, 0, 100.0)), 1000)
    measuring.take(seen(), 1002)
    measuring.take(seen(process(13, 1, 104.0)), 1004)
    assert taken(measuring, 1004) == (3, 3, 1)


def test_ends_of_a_replica_that_the_supervisor_tells_of_late_are_not_of_the_last_minutes() -> None:
    measuring = Measuring([])
    measuring.take(seen(), 1000)
    measuring.take(seen(restarts=7), 1002)
    assert measuring.restarts == {"orders.1": 0}
    measuring.take(seen(restarts=9), 1004)
    assert measuring.restarts == {"orders.1": 2}


def busy(name: str, events: int) -> ProcessFacts:
    """A process that publishes events, and fails at as many."""
    handler = HandlerFacts(
        name="orders.pay",
        service="orders",
        topic="orders.Orders",
        place=events,
        end=events,
        failing=0,
        behind_failing=0,
        attempts=0,
        cause="",
        dead=0,
        dead_cause="",
        handled=events,
        failed=events,
    )
    return msgspec.structs.replace(
        process(events, events, 100.0),
        id=name,
        handlers=(handler,),
        published={"orders.Orders": events},
    )


def held(measuring: Measuring) -> int:
    """The bytes that are kept."""
    seen_already: set[int] = set()
    left: list[object] = [measuring]
    total = 0
    while left:
        each = left.pop()
        if id(each) not in seen_already and not isinstance(each, type):
            seen_already.add(id(each))
            total += sys.getsizeof(each)
            left += gc.get_referents(each)
    return total


def test_days_of_looks_that_nobody_asks_about_take_no_more_room_than_ten_minutes() -> None:
    measuring = Measuring([])
    for look in range(300):
        measuring.take(seen(busy("orders.1", look)), 1000 + 2 * look)
    after_minutes = held(measuring)
    for look in range(300, 3000):
        measuring.take(seen(busy("orders.1", look)), 1000 + 2 * look)
    assert held(measuring) < after_minutes * 1.1
    assert measuring.pace(("orders.pay", "orders.Orders")).failures == 150
    assert measuring.published_per_s() == {"orders.Orders": 0.5}


def test_of_processes_that_have_gone_nothing_is_left() -> None:
    measuring = Measuring([])
    measuring.take(seen(busy("orders.0", 1)), 1000)
    first = held(measuring)
    for number in range(1, 200):
        measuring.take(seen(busy(f"orders.{number}", 1)), 1000 + 70 * number)
    assert held(measuring) < first * 1.5


def test_an_objective_that_nobody_aims_at_any_more_is_dropped() -> None:
    measuring = Measuring([])
    aiming = msgspec.structs.replace(process(10, 0, 100.0), objectives=(OBJECTIVE,))
    measuring.take(seen(aiming), 1000)
    measuring.take(seen(), 1002)
    assert list(measuring.spent) == [OBJECTIVE]
    other = read_availability("orders", "99%")
    measuring.take(seen(msgspec.structs.replace(aiming, objectives=(other,))), 1004)
    assert list(measuring.spent) == [other]


def test_a_fast_burn_does_not_end_the_slow_one_that_is_open() -> None:
    measuring, judging = Measuring([OBJECTIVE]), Judging((), lambda _: None)
    measuring.spent[OBJECTIVE].add(0, 10_000, 80)
    slow = {each.rule: each for some in judging.readings(measuring, 10) for each in some}
    assert slow["availability-slow-burn"].is_breached
    measuring.spent[OBJECTIVE].add(20, 10_000, 900)
    fast = {each.rule: each for some in judging.readings(measuring, 30) for each in some}
    assert fast["availability-fast-burn"].is_breached
    assert not fast["availability-slow-burn"].is_breached
    assert fast["availability-slow-burn"].is_covered
