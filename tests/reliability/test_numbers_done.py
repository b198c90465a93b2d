"""The number that belongs to a position is never too high, and what is remembered has a bound."""

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.numbers_done import NumbersDone


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 1000), st.booleans())))
def test_no_number_is_told_that_is_not_done(steps: list[tuple[int, int, bool]]) -> None:
    numbers, read, position = NumbersDone(6), [(0, 0)], 0
    for gap, number, asked in steps:
        position += gap
        numbers.read(position, number)
        read.append((position, number))
        assert len(numbers) <= 6
        if asked:
            done = position - gap  # one stands still
            assert numbers.done(done) <= max(each for place, each in read if place <= done)
    assert numbers.done(position) == max(each for _, each in read)


def test_what_was_done_stays_done() -> None:
    numbers = NumbersDone()
    numbers.read(1, 10)
    numbers.read(2, 5)
    assert [numbers.done(place) for place in (0, 1, 2, 2)] == [0, 10, 10, 10]
    assert len(numbers) == 0


def test_while_one_stands_still_little_is_remembered() -> None:
    numbers = NumbersDone()
    for place in range(1, 100_001):
        numbers.read(place, place)
    assert len(numbers) <= 4096
    assert numbers.done(100_000) == 100_000
