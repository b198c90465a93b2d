"""The six faults for a person are known by what the console tells, and each seed has one of them."""

from typing import Any

import pytest

from rigs.__main__ import main
from rigs.planted_faults import FAULTS, picked
from rigs.shop_faults import FAULTS as LAUNCHED

WELL: dict[str, Any] = {
    "slow": [],
    "views": [{"why": "80% of 9.0 ms were spent in orders.Orders/checkout (orders)"}],
    "events": {"topics": [{"handlers": [{"name": "notifications.say", "behind": 1}]}], "dead": []},
    "alerts": [],
}
ILL: dict[str, dict[str, Any]] = {
    "payments-slow": {
        "slow": [{"why": "91% of 800 ms were spent in payments.Payments/charge (payments)"}]
    },
    "issuer-timing-out": {"views": [{"why": "payments raised OutcomeUnknown"}]},
    "poison-event": {
        "events": {**WELL["events"], "dead": [{"cause": "order 5 has a line without a price"}]}
    },
    "lagging-consumer": {
        "events": {
            "topics": [{"handlers": [{"name": "notifications.say", "behind": 40}]}],
            "dead": [],
        }
    },
    "crash-loop": {"alerts": [{"summary": "search.1, which runs search, crashes again and again"}]},
    "full-pool": {"views": [{"why": "The threads of payments are all taken"}]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_from_a_shop_that_is_well_and_from_the_others(fault: str) -> None:
    is_seen = FAULTS[fault].is_seen
    assert not is_seen(WELL)
    assert [name for name, facts in ILL.items() if is_seen({**WELL, **facts})] == [fault]


def test_seeds_pick_each_of_the_six() -> None:
    assert {picked(seed) for seed in range(40)} == FAULTS.keys()
    assert LAUNCHED.keys() <= FAULTS.keys()


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["planted_faults", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_a_fault_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["planted_faults", "--check", "gremlins"])
    assert ended.value.code == 2
    assert "there is no fault gremlins" in capsys.readouterr().err
