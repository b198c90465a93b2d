"""Restarts: waits grow and are jittered, a budget ends them, and time gives it back."""

from __future__ import annotations

from borough.reliability.backoff import Backoff
from borough.reliability.restarts import Restarts

TERMS = Restarts(budget=3, within_s=60.0, waits=Backoff(0.5, 1.5))


def test_each_end_within_the_span_doubles_the_longest_wait_up_to_the_last() -> None:
    ends: tuple[float, ...] = ()
    waits: list[float | None] = []
    for now in (0.0, 1.0, 2.0, 3.0):
        ends = TERMS.counted(ends, now)
        waits.append(TERMS.wait_s(ends, 0.5))
    assert waits == [0.25, 0.5, 0.75, None]


def test_an_end_of_long_ago_does_not_count() -> None:
    ends = TERMS.counted((0.0, 1.0, 59.0), 60.0)
    assert ends == (1.0, 59.0, 60.0)
    assert TERMS.wait_s(ends, 0.0) == 0.0
