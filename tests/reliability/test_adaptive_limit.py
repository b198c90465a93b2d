"""A limit follows whether answers come in time, and falls only where fewer at once are faster."""

import heapq
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.adaptive_limit import AdaptiveLimit
from borough.reliability.arrival import Arrival, Usual

TIMEOUT_S = 0.2
WORK_S = 0.005


def crowd(
    limit: AdaptiveLimit,
    usual: Usual,
    callers: int,
    took: Callable[[int], float],
    rounds: int,
    now: float = 0.0,
) -> None:
    """So many callers, each of whom asks again; `took` says how long an answer takes among so many."""
    ends, number = list[tuple[float, int, Arrival]](), 0
    waiting = callers
    for _ in range(rounds * callers):
        while waiting and limit.has_room:
            waiting -= 1
            number += 1
            arrival = Arrival(now, 10.0, usual=usual)
            limit.begin(arrival, now)
            heapq.heappush(ends, (now + took(limit.at_work), number, arrival))
        if waiting:
            limit.was_full = True
        now, _, arrival = heapq.heappop(ends)
        limit.end(arrival, now)
        waiting += 1


@given(
    most=st.integers(1, 64),
    least=st.integers(1, 64),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0.0, 20.0), st.booleans()), max_size=200),
)
def test_the_limit_stays_within_its_bounds_and_the_count_is_right(
    most: int, least: int, steps: list[tuple[bool, float, bool]]
) -> None:
    limit, usual, now = AdaptiveLimit(most, least), Usual(), 0.0
    at_work: list[Arrival] = []
    for is_begin, seconds, is_left in steps:
        now += seconds / 10
        if is_begin and limit.has_room:
            arrival = Arrival(now - seconds / 5, seconds, usual=usual)
            limit.begin(arrival, now)
            at_work.append(arrival)
        elif at_work:
            arrival = at_work.pop(0)
            (limit.abandon if is_left else limit.end)(arrival, now)
        limit.was_full |= not limit.has_room
        assert limit.at_work == len(at_work)
        assert min(least, most) <= limit.limit <= most


@given(times=st.lists(st.floats(0.0, 9.9), min_size=1, max_size=200), callers=st.integers(1, 15))
def test_slow_answers_of_a_service_that_has_little_to_do_change_nothing(
    times: list[float], callers: int
) -> None:
    limit, chance = AdaptiveLimit(512, 2), random.Random(1)
    crowd(limit, Usual(), callers, lambda _at_work: chance.choice(times), rounds=10)
    assert limit.limit == 512


@given(st.floats(0.001, 3.0), st.integers(1, 400))
def test_answers_in_time_never_lower_it(seconds: float, callers: int) -> None:
    limit = AdaptiveLimit(512, 2)
    crowd(limit, Usual(), callers, lambda _at_work: seconds, rounds=5)
    assert limit.limit == 512


def test_it_falls_to_what_is_answered_in_time_and_rises_again() -> None:
    limit, usual = AdaptiveLimit(512, 2), Usual()
    crowd(limit, usual, 300, lambda at_work: at_work * 0.1, rounds=20)
    assert 15 <= limit.limit <= 45  # a third of ten seconds is 33 at once
    crowd(limit, usual, 300, lambda _at_work: 0.01, rounds=20, now=1e6)
    assert limit.limit > 250


def test_where_fewer_at_once_are_not_faster_it_goes_back() -> None:
    limit = AdaptiveLimit(512, 2)
    lowest = 512

    def took(_at_work: int) -> float:
        nonlocal lowest
        lowest = min(lowest, limit.limit)
        return 6.0

    crowd(limit, Usual(), 200, took, rounds=50)
    assert lowest > 50
    assert limit.limit == 512 or limit.limit > 100


def test_what_an_operation_usually_takes_is_not_late() -> None:
    limit, usual = AdaptiveLimit(512, 2), Usual()
    crowd(limit, usual, 1, lambda _at_work: 8.0, rounds=3)
    crowd(limit, usual, 200, lambda _at_work: 8.2, rounds=5)
    assert limit.limit == 512


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_pool_of_two_asked_for_five_times_its_work_keeps_doing_it(seed: int) -> None:
    """Arrivals at random; what has no room is refused; who waits for longer than its time leaves."""
    chance, limit, usual = random.Random(seed), AdaptiveLimit(512, 2), Usual()
    free_at = [0.0, 0.0]
    ends: list[tuple[float, int, Arrival]] = []
    now, good, number, per_s, seconds = 0.0, 0, 0, 5 * 2 / WORK_S, 20.0
    while now < seconds:
        now += chance.expovariate(per_s)
        while ends and ends[0][0] <= now:
            ended, _, arrival = heapq.heappop(ends)
            is_good = ended - arrival.came_at < TIMEOUT_S
            good += is_good
            (limit.end if is_good else limit.abandon)(arrival, ended)
        if not limit.has_room:
            limit.was_full = True
            continue
        number += 1
        arrival = Arrival(now, TIMEOUT_S, usual=usual)
        limit.begin(arrival, now)
        begins = max(now, heapq.heappop(free_at))
        heapq.heappush(free_at, begins + WORK_S)
        heapq.heappush(ends, (begins + WORK_S, number, arrival))
    assert good >= 0.9 * seconds * 2 / WORK_S  # the first second is lost
