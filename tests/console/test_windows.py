"""What has happened lately, out of totals that were seen at several moments."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from borough.console.windows import Told, Total, Windows, lately

KEY = ("call", "a", "b", "b.B.do")


def told(number: int, faults: int = 0, since: float = 0.0, exponent: int = -3) -> Told:
    """What a process has counted since it began."""
    return Told(since, {KEY: Total(number, faults, {exponent: number})})


def add(windows: Windows, at: float, number: int, faults: int = 0) -> None:
    """The only process tells, and has used half a core."""
    windows.add(at, {"1": told(number, faults)}, {"1": (at / 2, 100)})


def test_a_rate_is_that_of_the_last_ten_seconds() -> None:
    windows = Windows()
    for second in range(31):
        add(windows, second, 100 * min(second, 20), faults=second)
    found = windows.changes().of([KEY])
    assert (found.per_s, found.faults_per_s) == (0.0, 1.0)


def test_quantiles_are_those_of_the_last_minute_or_of_all_where_it_was_quiet() -> None:
    windows = Windows()
    add(windows, 0, 10)
    first = windows.changes().of([KEY])
    assert first.per_s is None
    assert first.p99_ms is not None
    assert 62.5 <= first.p99_ms <= 125
    add(windows, 15, 10)
    assert windows.changes().of([KEY]).p99_ms == first.p99_ms


def rates(*looks: dict[str, Told]) -> list[tuple[float | None, float | None]]:
    """Calls and faults per second at each look, a second after the one before."""
    windows, found = Windows(), []
    for at, look in enumerate(looks):
        windows.add(float(at), look)
        lately = windows.changes().of([KEY])
        found.append((lately.per_s, lately.faults_per_s))
    return found


def test_a_replica_that_misses_a_look_neither_adds_nor_takes_what_it_has_counted_before() -> None:
    def look(at: int) -> dict[str, Told]:
        found = {name: told(100_000 + at, 500, since=-900.0) for name in ("1", "2")}
        return {"1": found["1"]} if at == 3 else found

    assert rates(*map(look, range(6)))[1:] == [(2, 0), (2, 0), (1.7, 0), (2, 0), (2, 0)]


def test_what_the_follower_of_a_process_has_counted_is_told_as_well() -> None:
    looks = rates({"1": told(100)}, {"1": told(100)}, {"2": told(40, 40, since=1.5)})
    assert looks[-1] == (20, 20)


def test_the_life_of_a_process_that_is_seen_late_is_not_of_this_moment() -> None:
    old = -900.0
    windows = Windows()
    windows.add(0.0, {})
    windows.add(1.0, {"1": told(1000, since=old)})
    windows.add(2.0, {"1": told(1004, since=old)})
    assert windows.changes().of([KEY]).per_s == 2


def test_what_a_process_did_while_it_was_silent_for_long_is_not_of_this_moment() -> None:
    windows = Windows()
    windows.add(0.0, {"1": told(10)})
    for second in range(1, 100):
        windows.add(float(second), {})
    windows.add(100.0, {"1": told(1000)})
    assert windows.changes().of([KEY]).per_s == 0


def test_a_share_of_a_core_is_seconds_of_cpu_per_second() -> None:
    windows = Windows()
    add(windows, 0, 1)
    add(windows, 4, 1)
    assert windows.changes().cpu("1") == 0.5
    assert windows.changes().cpu("2") is None


def test_the_history_is_a_quarter_of_an_hour_at_most() -> None:
    windows = Windows()
    for second in range(2000):
        add(windows, second, second)
    history = windows.history()
    assert history[-1].at == 1999
    assert 880 <= history[-1].at - history[0].at <= 915
    assert len(history) < 80


def test_the_newest_point_of_the_history_is_no_rate_of_one_second() -> None:
    windows = Windows()
    for second in range(62):
        add(windows, second, second)
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
