"""Whatever the order of arrival, what passes is in order, whole, and waits no longer than its patience."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.resequencing import Resequencer


def chain(count: int, seed: int) -> list[tuple[int, int]]:
    """Numbers with gaps, as other topics of the publisher make them; each with the one before it."""
    source = random.Random(seed)
    numbers = [0]
    for _ in range(count):
        numbers.append(numbers[-1] + source.randint(1, 5))
    return [(number, before) for before, number in itertools.pairwise(numbers)]


@given(st.integers(1, 200), st.integers(0, 10**6), st.integers(1, 50))
def test_events_out_of_order_within_the_window_pass_in_order(
    count: int, seed: int, reach: int
) -> None:
    source = random.Random(seed)
    sent = chain(count, seed)
    arriving = sorted(sent, key=lambda pair: sent.index(pair) + source.random() * reach)
    arriving += source.choices(arriving, k=count // 3)  # and some of them once more
    resequencer: Resequencer[int] = Resequencer(0, window=count)
    passed: list[int] = []
    for number, before in arriving:
        passed += resequencer.offer(number, before, number, now=0.0)
    first = list(dict.fromkeys(passed))
    assert first == [number for number, _ in sent]
    assert sorted(passed) == sorted(number for number, _ in arriving)
    assert (resequencer.held, resequencer.skipped, resequencer.due) == (0, 0, None)


def test_a_gap_is_passed_over_when_patience_ends_and_its_event_passes_late() -> None:
    resequencer: Resequencer[str] = Resequencer(10, patience_s=5.0)
    assert resequencer.offer(13, 12, "c", now=1.0) == []
    assert resequencer.offer(14, 13, "d", now=2.0) == []
    assert resequencer.due == 6.0
    assert resequencer.expire(5.9) == []
    assert resequencer.expire(6.0) == ["c", "d"]
    assert (resequencer.last, resequencer.skipped, resequencer.held) == (14, 1, 0)
    assert resequencer.offer(12, 10, "b", now=7.0) == ["b"]


def test_no_more_than_the_window_is_held() -> None:
    resequencer: Resequencer[int] = Resequencer(0, window=3)
    passed: list[int] = []
    for number in (9, 7, 5, 3):
        passed += resequencer.offer(number, number - 1, number, now=0.0)
    assert passed == [3]
    assert (resequencer.held, resequencer.skipped) == (3, 1)


def test_an_unknown_beginning_is_the_lowest_of_the_first_ones() -> None:
    resequencer: Resequencer[int] = Resequencer(None, patience_s=2.0)
    for number in (42, 41, 43):
        assert resequencer.offer(number, number - 1, number, now=0.0) == []
    assert resequencer.expire(2.0) == [41, 42, 43]
    assert resequencer.skipped == 0
    assert resequencer.offer(44, 43, 44, now=2.0) == [44]


def test_the_first_event_of_a_topic_and_uncounted_ones_pass_at_once() -> None:
    resequencer: Resequencer[str] = Resequencer(None)
    assert resequencer.offer(0, 0, "foreign", now=0.0) == ["foreign"]
    assert resequencer.offer(3, 0, "first", now=0.0) == ["first"]
    assert resequencer.offer(2, 0, "again", now=0.0) == ["again"]
