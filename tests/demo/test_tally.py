"""Latencies are kept in little room and told with little error."""

import pytest

from shop.demo.tally import Latencies, Tally


@pytest.mark.parametrize("milliseconds", [0.1, 1.0, 7.3, 250.0, 9000.0])
def test_a_quantile_is_within_five_percent(milliseconds: float) -> None:
    latencies = Latencies()
    for _ in range(100):
        latencies.add(milliseconds / 1000)
    assert latencies.quantile_ms(0.5) == pytest.approx(milliseconds, rel=0.05, abs=0.01)


def test_one_slow_request_in_a_hundred_is_seen_behind_the_99th_percentile_only() -> None:
    latencies = Latencies()
    for _ in range(99):
        latencies.add(0.001)
    latencies.add(1.0)
    assert latencies.quantile_ms(0.99) < 1.1
    assert latencies.quantile_ms(1.0) > 900


def test_the_rate_counts_the_measured_part_only() -> None:
    tally = Tally()
    tally.start(10.0)
    for _ in range(200):
        tally.latencies.add(0.001)
    tally.end(12.0)
    tally.latencies.add(0.001)
    assert tally.report(50.0)["requests_per_s"] == 100.0


def test_errors_are_all_counted_and_the_first_are_told() -> None:
    tally = Tally()
    for number in range(100):
        tally.fail(f"error {number}")
    assert tally.errors == 100
    assert tally.sentences[0] == "error 0"
    assert len(tally.sentences) == 20
