"""Who is cut off by the little time that it asked for says nothing of how long an operation takes."""

from borough.reliability.adaptive_limit import AdaptiveLimit
from borough.reliability.arrival import Arrival, Usual


def test_a_stranger_with_little_time_does_not_lower_the_limit() -> None:
    limit, usual, now = AdaptiveLimit(256, 16), Usual(), 0.0

    def together(count: int, timeout_s: float, took_s: float) -> None:
        nonlocal now
        arrivals = [Arrival(now, timeout_s, usual=usual) for _ in range(count)]
        for each in arrivals:
            limit.begin(each, now)
        now += took_s
        for each in arrivals:
            limit.end(each, now)

    for _ in range(20):
        together(1, 10.0, 0.1)
    for _ in range(100):
        together(1, 0.001, 0.001)
    assert abs(usual.seconds - 0.1) < 1e-6
    for _ in range(12):
        together(16, 0.05, 0.05)
    assert limit.limit == 256
