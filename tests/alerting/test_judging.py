"""What it costs to judge a large system, and what of it is an echo."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from borough.alerting.facts import CallFacts, ProcessFacts, SystemFacts
from borough.alerting.judging import Judging
from borough.alerting.measuring import Calls, Measuring
from borough.alerting.operations import Operations
from borough.reliability.alert_rules import DEFAULT_RULES

SERVICES = 20
OPERATIONS = 10


def failing(callers: int) -> Measuring:
    """Each operation of each service has failed ten times for each of so many services that call it."""

    def facts(count: int) -> Iterator[CallFacts]:
        for service in range(SERVICES):
            for operation in range(OPERATIONS):
                for caller in range(callers):
                    yield CallFacts(
                        side="server",
                        caller=f"s{caller}",
                        service=f"s{service}",
                        operation=f"s{service}.Contract.o{operation}",
                        count=count,
                        faults=count,
                        kinds={"Broken": count},
                        buckets={0: count},
                    )

    seen = Measuring(())
    for now, count in ((0.0, 0), (2.0, 10)):
        process = ProcessFacts(id="p", services=("s0",), state="ready", calls=tuple(facts(count)))
        seen.take(SystemFacts(processes=(process,), answered={"s0": True}), now)
    return seen


def test_a_large_system_is_judged_in_small_pieces() -> None:
    judging = Judging(DEFAULT_RULES, lambda _: None)
    pieces = [len(piece) for piece in judging.readings(failing(callers=2), 2.0)]
    assert max(pieces) <= 100
    assert sum(pieces) > 2 * SERVICES * OPERATIONS


def test_what_is_an_echo_is_found_by_looking_once_at_each_that_calls() -> None:
    callers, looked = 3, 0

    def faults(calls: Calls) -> int:
        nonlocal looked
        looked += 1
        return calls.faults

    operations = Operations(failing(callers))
    is_explained = operations.explained(set(operations.by_name), faults)
    echoes = {each.service for each in operations.by_name.values() if is_explained(each)}
    assert echoes == {f"s{caller}" for caller in range(callers)}
    assert looked <= SERVICES * OPERATIONS * callers + SERVICES * OPERATIONS


def test_who_calls_only_itself_is_no_echo_of_itself() -> None:
    seen = Measuring(())
    for now, count in ((0.0, 0), (2.0, 10)):
        call = CallFacts(
            side="server", caller="a", service="a", operation="a.A.x", count=count, faults=count
        )
        process = ProcessFacts(id="p", services=("a",), state="ready", calls=(call,))
        seen.take(SystemFacts(processes=(process,), answered={"a": True}), now)
    operations = Operations(seen)
    is_explained = operations.explained({"a.A.x"}, lambda calls: calls.faults)
    assert not is_explained(operations.by_name["a.A.x"])


@pytest.mark.parametrize(
    ("calls", "slow", "is_told"),
    [(8, 3, False), (8, 4, False), (8, 5, True), (19, 9, False), (19, 10, True), (20, 2, False), (20, 3, True),
     (100, 5, False), (100, 6, True)],
)  # fmt: skip
def test_calls_are_told_as_slow_only_where_there_are_enough_of_them_to_say_so(
    calls: int, slow: int, is_told: bool
) -> None:
    seen = Measuring(())
    for now, count in ((0.0, 0), (2.0, calls)):
        call = CallFacts(
            side="server",
            caller="edge",
            service="accounts",
            operation="accounts.Accounts.login",
            count=count,
            faults=0,
            buckets={0: slow, -4: count - slow} if count else {},
        )
        process = ProcessFacts(id="p", services=("accounts",), state="ready", calls=(call,))
        seen.take(SystemFacts(processes=(process,), answered={"accounts": True}), now)
    readings = Judging(DEFAULT_RULES, lambda _: None).readings(seen, 2.0)
    breached = [each.rule for piece in readings for each in piece if each.is_breached]
    assert breached == (["slow-calls"] if is_told else [])


@given(some.lists(some.tuples(some.floats(0.5, 40), some.integers(0, 5), some.integers(-2, 2))))
def test_what_is_kept_of_a_minute_is_the_sum_of_what_happened_in_it(
    looks: list[tuple[float, int, int]],
) -> None:
    seen, now, count = Measuring(()), 0.0, 0
    kinds: dict[str, int] = {}
    buckets: dict[int, int] = {}
    happened: list[tuple[float, int, int]] = []
    for pause, more, where in [(0.0, 0, 0), *looks]:
        now += pause
        count += more
        kinds = {**kinds, f"kind{where}": kinds.get(f"kind{where}", 0) + more}
        buckets = {**buckets, where: buckets.get(where, 0) + more}
        happened.append((now, more, where))
        call = CallFacts(
            side="server",
            caller="a",
            service="b",
            operation="b.B.x",
            count=count,
            faults=count,
            slow=count,
            kinds=kinds,
            buckets=buckets,
        )
        process = ProcessFacts(id="p", services=("b",), state="ready", calls=(call,))
        seen.take(SystemFacts(processes=(process,), answered={"b": True}), now)
        for kept, window_s in ((seen.calls, 60.0), (seen.recent, 20.0)):
            inside = [(n, at) for then, n, at in happened if then > now - window_s and n]
            calls = next(iter(kept.values()), Calls())
            assert calls.count == calls.faults == calls.slow == sum(n for n, _ in inside)
            assert calls.buckets == {
                place: sum(n for n, at in inside if at == place) for _, place in inside
            }
            assert sum(calls.kinds.values()) == calls.count
            assert 0 not in calls.kinds.values()


def test_events_that_the_broker_does_not_take_are_told_with_the_reason_and_others_are_not() -> None:
    seen = Measuring(())
    process = ProcessFacts(
        id="p",
        services=("a", "b"),
        state="ready",
        outboxes={"a": 3, "b": 400},
        unsent={"a": "event 7 (x.X.Y, 9 bytes): it is too long"},
    )
    seen.take(SystemFacts(processes=(process,), answered={"a": True, "b": True}), 0.0)
    readings = [
        each for some in Judging(DEFAULT_RULES, lambda _: None).readings(seen, 0.0) for each in some
    ]
    (unsent,) = [each for each in readings if each.is_breached]
    assert (unsent.rule, unsent.service, unsent.value) == ("unsent-events", "a", 3)
    assert unsent.summary.startswith(
        "3 events of a wait, and the broker takes none: event 7 (x.X.Y"
    )
