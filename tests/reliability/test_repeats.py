"""A call that came to nothing is repeated seldom, later, and only as long as others are answered."""

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.backoff import Backoff
from borough.reliability.repeats import Repeats, RepeatTerms

TERMS = RepeatTerms()
CHANCES = st.floats(0, 1, exclude_max=True)


def wait_s(repeats: Repeats, attempts: int = 1, answered: int = 0, **named: float) -> float | None:
    given_ = {"left_s": 60.0, "chance": 0.5, **named}
    return repeats.wait_s(attempts, answered=answered, **given_)


@given(st.lists(st.tuples(st.booleans(), CHANCES), max_size=500))
def test_repeats_are_never_more_than_a_fifth_of_the_answers_and_what_was_saved(
    calls: list[tuple[bool, float]],
) -> None:
    repeats, answered, granted = Repeats(TERMS), 0, 0
    for is_answered, chance in calls:
        if is_answered:
            answered += 1
        elif wait_s(repeats, answered=answered, chance=chance) is not None:
            granted += 1
        assert granted <= TERMS.saved + TERMS.share * answered + 1e-6
    assert granted == repeats.count


def test_a_dependency_that_answers_nothing_earns_no_repeat() -> None:
    repeats = Repeats(TERMS)
    granted = [wait_s(repeats) is not None for _ in range(1000)]
    assert sum(granted) == TERMS.saved


def test_answers_earn_repeats_again_but_never_more_than_can_be_saved() -> None:
    repeats = Repeats(TERMS)
    for _ in range(TERMS.saved):
        assert wait_s(repeats) is not None
    assert wait_s(repeats, answered=4) is None
    assert wait_s(repeats, answered=5) is not None
    assert wait_s(repeats, answered=5) is None
    granted = [wait_s(repeats, answered=1_000_000) is not None for _ in range(50)]
    assert sum(granted) == TERMS.saved


@given(st.integers(1, 2), CHANCES)
def test_the_wait_is_drawn_from_the_whole_span_up_to_a_growing_ceiling(
    attempts: int, chance: float
) -> None:
    wait = wait_s(Repeats(TERMS), attempts, chance=chance)
    assert wait is not None
    assert wait == TERMS.waits.first_s * 2 ** (attempts - 1) * chance


def test_after_the_last_attempt_there_is_no_other() -> None:
    assert wait_s(Repeats(TERMS), attempts=TERMS.attempts) is None
    assert wait_s(Repeats(RepeatTerms(attempts=1))) is None


@given(CHANCES, st.floats(0, 3))
def test_nothing_is_repeated_that_could_not_begin_in_time(chance: float, left_s: float) -> None:
    wait = wait_s(Repeats(RepeatTerms(waits=Backoff(1.0, 2.0))), chance=chance, left_s=left_s)
    assert wait is None or wait < left_s


def test_what_the_callee_asks_to_wait_is_waited_and_if_it_is_too_long_the_call_fails_now() -> None:
    repeats = Repeats(TERMS)
    wait = wait_s(repeats, asked_s=1.0)
    assert wait is not None
    assert wait >= 1.0
    assert wait_s(repeats, asked_s=30.0) is None
    assert wait_s(repeats, asked_s=1.0, left_s=0.9) is None
