"""An ill dependency is judged by how often it was called, and by what became of other calls."""

from typing import Any

import pytest

from borough.clock import SystemClock
from borough.runtime.discovery import Directory
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies
from rigs.dependency import Calls, judge


def calls(*took_s: float, errors: tuple[str, ...] = (), offered: int = 100) -> Calls:
    made = Calls(Dependencies(Directory(), HttpClient, SystemClock()).of("any"))
    made.took_s, made.errors, made.offered = list(took_s), list(errors), offered
    return made


CALM = calls(*[0.001] * 100)
GOOD: dict[str, Any] = {
    "sick": calls(1.0),
    "attempts": 120,
    "calm": CALM,
    "beside": calls(*[0.0011] * 99, 0.005),
    "is_normal": True,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"attempts": 121}, ["attempts"]),
        ({"sick": calls(1.0, 1.4)}, ["late"]),
        ({"beside": calls(0.001, errors=("Unavailable: no",))}, ["error"]),
        ({"beside": calls(*[0.0012] * 100)}, ["median"]),
        ({"beside": calls(*[0.001] * 90, *[0.007] * 10)}, ["p99"]),
        ({"is_normal": False}, ["not normal"]),
    ],
)
def test_a_verdict_on_calls(change: dict[str, Any], words: list[str]) -> None:
    assert [sentence.partition(":")[0] for sentence in judge(**{**GOOD, **change})] == words
