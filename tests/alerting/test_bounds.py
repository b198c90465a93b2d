"""How much of a service may fail or be taken, by what is declared of it."""

import msgspec
import pytest

from borough.alerting.bounds import Bounds
from borough.contracts.objective import read_availability, read_latency
from borough.reliability.alert_rules import DEFAULT_RULES

OBJECTIVES = (read_availability("payments", "99.9%"), read_latency("orders", "p99 < 250ms"))


def test_what_an_availability_leaves_is_the_bound_of_calls_and_not_of_events() -> None:
    bounds = Bounds(DEFAULT_RULES, OBJECTIVES)
    assert bounds.calls("payments") == pytest.approx(0.001)
    assert (bounds.events("payments"), bounds.calls("orders")) == (0.05, 0.05)


def test_the_strictest_rule_that_watches_a_service_is_its_bound() -> None:
    failing = next(rule for rule in DEFAULT_RULES if rule.metric == "error_rate")
    own = msgspec.structs.replace(failing, name="strict", above=1.0, services=("orders",))
    bounds = Bounds((failing, own), (read_availability("orders", "90%"),))
    assert (bounds.calls("orders"), bounds.calls("search")) == (0.01, 0.05)
    looser = Bounds((msgspec.structs.replace(failing, above=20.0),))
    assert looser.calls("orders") == 0.2


def test_where_no_rule_is_left_that_of_borough_holds() -> None:
    assert (Bounds().events("orders"), Bounds().rooms("orders")) == (0.05, 0.9)
