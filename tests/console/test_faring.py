"""How who answers fares, out of what happened lately."""

import pytest

from borough.console.faring import faring
from borough.console.windows import Lately


def lately(per_s: float | None, faults_per_s: float | None = 0.0) -> Lately:
    return Lately(per_s=per_s, faults_per_s=faults_per_s, p50_ms=None, p99_ms=None)


@pytest.mark.parametrize("nothing", [lately(None, None), lately(0.0)])
def test_where_nothing_happens_it_is_quiet(nothing: Lately) -> None:
    assert faring(nothing, nothing) == "quiet"


def test_a_few_failures_are_told_apart_from_trouble() -> None:
    assert faring(lately(100.0)) == "well"
    assert faring(lately(100.0, 5.0)) == "ailing"
    assert faring(lately(100.0, 5.1)) == "failing"


def test_events_that_fail_weigh_as_much_as_calls_that_fail() -> None:
    well, failing = lately(100.0), lately(0.2, 0.2)
    assert faring(well, failing) == faring(failing, well) == "failing"
    assert faring(lately(None, None), lately(10.0, 0.1)) == "ailing"
