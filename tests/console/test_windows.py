"""What has happened lately, out of totals that were seen at several moments."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from borough.console.windows import Sample, Total, Windows, lately

KEY = ("call", "a", "b", "b.B.do")


def sample(at: float, number: int, faults: int = 0, exponent: int = -3) -> Sample:
    return Sample(at, {KEY: Total(number, faults, {exponent: number})}, {"1": (at / 2, 100)})


def test_a_rate_is_that_of_the_last_ten_seconds() -> None:
    windows = Windows()
    for second in range(31):
        windows.add(sample(second, 100 * min(second, 20), faults=second))
    found = windows.changes().of([KEY])
    assert (found.per_s, found.faults_per_s) == (0.0, 1.0)


def test_quantiles_are_those_of_the_last_minute_or_of_all_where_it_was_quiet() -> None:
    windows = Windows()
    windows.add(sample(0, 10))
    first = windows.changes().of([KEY])
    assert first.per_s is None
    assert first.p99_ms is not None
    assert 62.5 <= first.p99_ms <= 125
    windows.add(sample(15, 10))
    assert windows.changes().of([KEY]).p99_ms == first.p99_ms


OTHER = ("call", "a", "c", "c.C.do")


def both(at: float, one: int | None, other: int) -> Sample:
    """What two services have counted; None: there is none that says."""
    told = {OTHER: other} | ({} if one is None else {KEY: one})
    return Sample(at, {key: Total(count, 0, {-3: count}) for key, count in told.items()}, {})


def test_a_process_that_has_gone_takes_nothing_from_what_others_do() -> None:
    windows = Windows()
    for second, one in enumerate([10, 20, None, None, 3, 8]):
        windows.add(both(second, one, 100 * second))
    found = windows.changes()
    assert found.of([OTHER]).per_s == 100
    assert found.of([KEY]).per_s == (20 - 10 + 8) / 5  # and what its follower has counted
    assert found.newest.totals[KEY] == Total(28, 0, {-3: 28})


def test_one_of_several_that_has_gone_is_no_call_and_none_less() -> None:
    windows = Windows()
    for second, one in enumerate([100, 110, 60, 65]):
        windows.add(both(second, one, 0))
    assert windows.changes().of([KEY]).per_s == 5
    assert windows.changes().newest.totals[KEY].number == 115


def test_a_share_of_a_core_is_seconds_of_cpu_per_second() -> None:
    windows = Windows()
    windows.add(sample(0, 1))
    windows.add(sample(4, 1))
    assert windows.changes().cpu("1") == 0.5
    assert windows.changes().cpu("2") is None


def test_the_history_is_a_quarter_of_an_hour_at_most() -> None:
    windows = Windows()
    for second in range(2000):
        windows.add(sample(second, second))
    history = windows.history()
    assert history[-1].at == 1999
    assert 880 <= history[-1].at - history[0].at <= 915
    assert len(history) < 80


def test_the_newest_point_of_the_history_is_no_rate_of_one_second() -> None:
    windows = Windows()
    for second in range(62):
        windows.add(sample(second, second))
    moments = [each.at for each in windows.history()]
    assert moments[-1] == 61
    assert all(after - before >= 10 for before, after in itertools.pairwise(moments))


@given(st.dictionaries(st.integers(-20, 5), st.integers(0, 1000), max_size=8), st.floats(0.5, 60))
def test_quantiles_are_in_order_and_rates_are_not_negative(
    buckets: dict[int, int], seconds: float
) -> None:
    total = Total(sum(buckets.values()), 0, buckets)
    found = lately(total, Total(0, 0, {}), seconds)
    assert found.per_s is not None
    assert found.per_s >= 0
    if any(buckets.values()):
        assert found.p50_ms is not None
        assert found.p99_ms is not None
        assert found.p50_ms <= found.p99_ms
