"""An alert names what may be its cause: a service without room, or somebody whom it calls."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from borough.alerting.facts import CallFacts, FailureFacts, PoolFacts, ProcessFacts, SystemFacts
from borough.alerting.judging import Judging
from borough.alerting.measuring import Measuring
from borough.reliability.alert_rules import DEFAULT_RULES, Rule
from borough.reliability.alerts import Reading

NONE: Mapping[str, int] = MappingProxyType({})
SLOW, QUICK = 1, -6
"""Exponents of the upper bound of a duration: 2 s, and 16 ms."""


def asked(
    caller: str, operation: str, kinds: Mapping[str, int] = NONE, bucket: int = QUICK
) -> CallFacts:
    """Thirty calls, so many of which have failed."""
    return CallFacts(
        side="server",
        caller=caller,
        service=operation.partition(".")[0],
        operation=operation,
        count=30,
        faults=sum(kinds.values()),
        kinds=dict(kinds),
        buckets={bucket: 30},
    )


def threads(busy: int, refused: int) -> PoolFacts:
    """Those of payments."""
    return PoolFacts(
        service="payments", kind="threads", busy=busy, limit=1, waiting=0, refused=refused
    )


def found(
    calls: Sequence[CallFacts], pool: PoolFacts, rules: tuple[Rule, ...] = DEFAULT_RULES
) -> list[Reading]:
    """What is breached, in the order in which it is told."""
    seen = Measuring(())
    services = ("orders", "payments")
    before = ProcessFacts(id="p", services=services, state="ready", pools=(threads(0, 0),))
    problems = {
        "OutcomeUnknown": FailureFacts(status=502, doc="The issuer has not answered"),
        "CardRefused": FailureFacts(status=409, doc="The issuer says no"),
    }
    now = ProcessFacts(
        id="p",
        services=services,
        state="ready",
        calls=tuple(calls),
        pools=(pool,),
        problems=problems,
    )
    for at, process in ((0.0, before), (2.0, now)):
        seen.take(SystemFacts(processes=(process,), answered=dict.fromkeys(services, True)), at)
    readings = Judging(rules, lambda _: None).readings(seen, 2.0)
    return [each for piece in readings for each in piece if each.is_breached]


CHARGES = asked("orders", "payments.Payments.charge", {"OutcomeUnknown": 6, "unavailable": 14})
ROOM = "0 of 1 threads are taken, 14 calls refused in the last minute"


def test_a_pool_that_has_refused_lately_is_full_though_it_is_free_at_the_look() -> None:
    (full,) = found([], threads(busy=0, refused=14))
    assert (full.rule, full.service, full.value) == ("full", "payments", 100.0)
    assert full.summary == f"payments runs out of room at times: {ROOM} (limits.threads)."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ["full"]),
        ({"services": ("payments",)}, ["full"]),
        ({"services": ("orders",)}, ["refusals"]),
        ({"for_s": 60.0}, ["full", "refusals"]),
        ({"above": 100.0}, ["refusals"]),
    ],
)
def test_refused_calls_are_told_unless_the_rule_of_the_room_tells_of_them_as_early(
    changes: dict[str, Any], told: list[str]
) -> None:
    rules = tuple(
        msgspec.structs.replace(each, **changes) if each.name == "full" else each
        for each in DEFAULT_RULES
    )
    readings = found([], threads(busy=0, refused=14), rules)
    assert [each.rule for each in readings] == told


def test_a_full_pool_is_told_before_what_gets_no_answer_for_it_and_that_names_the_pool() -> None:
    full, timeouts = found([CHARGES], threads(busy=0, refused=14))
    assert [full.rule, timeouts.rule] == ["full", "timeouts"]
    assert full.for_s <= timeouts.for_s
    assert full.summary.endswith("(limits.threads); orders waits for it.")
    assert timeouts.summary == (
        "payments gets no answer from whom it needs: 6 of 30 calls of payments.Payments.charge in the last "
        "minute ended so, mostly with OutcomeUnknown (The issuer has not answered); payments itself runs out "
        f"of room at times ({ROOM})."
    )


def test_who_is_slow_because_of_a_service_without_room_names_it() -> None:
    slow = asked("edge", "orders.Orders.checkout", bucket=SLOW)
    said = {each.rule: each.summary for each in found([CHARGES, slow], threads(0, 14))}
    assert said["slow-calls"].startswith("orders.Orders.checkout is slow: ")
    assert said["slow-calls"].endswith(
        f"; it calls payments, which runs out of room at times ({ROOM})."
    )


def test_who_is_slow_though_what_it_calls_only_fails_names_that() -> None:
    refused = asked("orders", "payments.Payments.charge", {"unavailable": 14})
    slow = asked("edge", "orders.Orders.checkout", bucket=SLOW)
    said = {each.rule: each.summary for each in found([refused, slow], threads(0, 0))}
    assert said["slow-calls"].endswith(
        "; of its 30 calls of payments.Payments.charge in the last minute 14 failed, mostly with unavailable."
    )


def test_a_service_without_room_names_whom_it_waits_for() -> None:
    calls = [asked("payments", "bank.Bank.debit", bucket=SLOW)]
    full, slow = found(calls, threads(busy=1, refused=0))
    assert (full.rule, slow.rule) == ("full", "slow-calls")
    assert full.summary.endswith(
        "; of its 30 calls of bank.Bank.debit in the last minute 5 % took 1.9 s or more, half 1.5 s or more."
    )


@pytest.mark.parametrize("buckets", [{QUICK: 2, SLOW: 1}, {QUICK: 94, SLOW: 2}])
def test_a_callee_that_is_slow_at_a_few_calls_is_not_blamed(buckets: dict[int, int]) -> None:
    """Of three, 95 % is the slowest."""
    charged = msgspec.structs.replace(
        asked("orders", "payments.Payments.charge"), count=sum(buckets.values()), buckets=buckets
    )
    failing = asked("edge", "orders.Orders.checkout", {"KeyError": 10})
    (told,) = found([charged, failing], threads(0, 0))
    assert told.summary.endswith(" in the last minute, mostly with KeyError.")


@pytest.mark.parametrize(
    "theirs", ["CardRefused", "invalid-request", "unauthenticated", "cancelled", "too-little-time"]
)
def test_what_callers_bring_about_is_not_what_fails(theirs: str) -> None:
    kinds = {"KeyError": 10, theirs: 15}
    failing = msgspec.structs.replace(asked("edge", "orders.Orders.checkout", kinds), faults=10)
    (told,) = found([failing], threads(0, 0))
    assert "fails: 10 of 30 calls" in told.summary
    assert told.summary.endswith(", mostly with KeyError.")


def test_what_is_well_names_nobody() -> None:
    assert found([asked("orders", "payments.Payments.charge")], threads(0, 0)) == []
