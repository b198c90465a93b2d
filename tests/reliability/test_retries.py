"""What becomes of a failed event depends on its attempts alone, and waits stay within their bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.backoff import Backoff
from borough.reliability.retries import Retries, Verdict

TERMS = Retries()


def test_quick_attempts_come_first_then_parking_then_the_end() -> None:
    verdicts = [TERMS.judge(attempts, hopeless=False) for attempts in range(1, 14)]
    assert verdicts == [Verdict.AGAIN] * 2 + [Verdict.PARK] * 9 + [Verdict.BURY] * 2


def test_a_hopeless_failure_is_given_up_at_once() -> None:
    assert TERMS.judge(1, hopeless=True) is Verdict.BURY


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_longer_than_the_longest(attempts: int, chance: float) -> None:
    assert 0 <= TERMS.wait_s(attempts, chance) <= TERMS.longest_s


@pytest.mark.parametrize(
    ("attempts", "ceiling_s"), [(1, 0.1), (2, 0.2), (3, 10), (4, 20), (5, 40), (12, 900)]
)
def test_waits_double_from_their_own_beginnings(attempts: int, ceiling_s: float) -> None:
    assert TERMS.wait_s(attempts, 0.5) == pytest.approx(ceiling_s / 2)


def test_the_default_waits_outlast_an_outage_of_minutes() -> None:
    waits = [TERMS.wait_s(attempts, 0.5) for attempts in range(1, TERMS.attempts)]
    assert 15 * 60 < sum(waits) < 60 * 60
    assert TERMS.parked_waits == Backoff(10.0, 900.0)
