"""Several partitions are read in the one order of the publisher's numbers."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.brokers.kafka.merge import Merge, Record

NOW = 1000.0


def record(partition: int, number: int, previous: int, published_s: float = NOW) -> Record[int]:
    return Record(partition, 0, number, previous, published_s, number)


def passed(merge: Merge[int], now_s: float = NOW) -> list[int]:
    found: list[int] = []
    while (record := merge.next(now_s)) is not None:
        found.append(record.item)
    return found


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers())
def test_what_comes_in_any_interleaving_passes_in_the_order_of_the_numbers(
    places: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    merge: Merge[int] = Merge(range(4))
    queues: dict[int, list[Record[int]]] = {each: [] for each in range(4)}
    for number, place in enumerate(places, 1):
        queues[place].append(record(place, number, number - 1))
    found: list[int] = []
    while any(queues.values()):
        place = chance.choice([each for each, queue in queues.items() if queue])
        merge.offer(queues[place].pop(0))
        found += passed(merge)
    assert found == list(range(1, len(places) + 1))
    assert merge.held == 0


def test_an_event_behind_a_gap_waits_for_the_one_before_it() -> None:
    merge: Merge[int] = Merge(range(2))
    merge.offer(record(0, 1, 0))
    merge.offer(record(1, 3, 2))
    merge.end(0)
    assert passed(merge) == [1]
    merge.end(0)
    assert merge.due() == NOW + merge.patience_s
    merge.offer(record(0, 2, 1))
    assert passed(merge) == [2, 3]


def test_a_gap_in_what_is_old_is_passed_over_at_once() -> None:
    merge: Merge[int] = Merge(range(2))
    merge.offer(record(0, 1, 0, NOW - 60))
    merge.offer(record(1, 9, 8, NOW - 50))
    merge.end(0)
    assert passed(merge) == [1, 9]


def test_behind_a_gap_nothing_passes_before_every_partition_was_looked_at() -> None:
    merge: Merge[int] = Merge(range(3))
    merge.offer(record(0, 5, 4, NOW - 60))
    merge.offer(record(1, 7, 6, NOW - 60))
    assert passed(merge) == []
    assert merge.due() is None
    merge.offer(record(2, 6, 5, NOW - 60))
    assert passed(merge) == [5, 6, 7]


def test_an_event_that_comes_too_late_or_again_passes_at_once() -> None:
    merge: Merge[int] = Merge(range(2))
    for each in (record(0, 1, 0), record(0, 2, 1), record(1, 1, 0), record(0, 3, 2)):
        merge.offer(each)
    assert sorted(passed(merge)) == [1, 1, 2, 3]


def test_events_of_a_publisher_that_counts_nothing_wait_for_nobody() -> None:
    merge: Merge[int] = Merge(range(2))
    merge.offer(record(0, 0, 0))
    merge.offer(record(1, 0, 0))
    assert passed(merge) == [0, 0]


def test_one_partition_is_in_order_as_it_is() -> None:
    merge: Merge[int] = Merge([0])
    merge.offer(record(0, 4, 3))
    merge.offer(record(0, 9, 8))
    assert passed(merge) == [4, 9]


@pytest.mark.parametrize("seed", range(20))
def test_keys_keep_their_order_whatever_the_gaps(seed: int) -> None:
    chance = random.Random(seed)
    numbers = [number for number in range(1, 200) if chance.random() < 0.7]
    merge: Merge[int] = Merge(range(3))
    found: list[int] = []
    for number in numbers:
        merge.offer(record(number % 3, number, number - 1, NOW - 60))
        for each in range(3):
            if chance.random() < 0.3 and not merge.waiting(each):
                merge.end(each)
        found += passed(merge)
    for each in range(3):
        merge.end(each)
    found += passed(merge)
    assert sorted(found) == numbers
    for place in range(3):
        of_one = [number for number in found if number % 3 == place]
        assert all(one < other for one, other in pairwise(of_one))
