"""A caller sends about twice what a callee takes, and everything as soon as it takes everything."""

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.throttle import Throttle, ThrottleTerms

TERMS = ThrottleTerms()
CHANCES = st.floats(0, 1, exclude_max=True)


class Trial:
    """Calls of a steady rate against a callee that takes so many per second."""

    def __init__(self) -> None:
        self.throttle = Throttle(TERMS)
        self.now = 0.0
        self.answered = 0

    def run(self, seconds: float, rate: int, takes: int) -> int:
        """Returns how many calls were sent."""
        sent, took, second = 0, 0, 0
        for number in range(int(seconds * rate)):
            self.now += 1 / rate
            if number // rate != second:
                second, took = number // rate, 0
            chance = self.throttle.chance_of_refusal(self.now, self.answered)
            if (number * 0.6180339887) % 1 < chance:
                self.throttle.note_refusal(self.now, self.answered)
                continue
            sent += 1
            # Spread over the second, as a busy callee takes them.
            if took < takes * ((number % rate) + 1) / rate:
                took += 1
                self.answered += 1
            else:
                self.throttle.note_refusal(self.now, self.answered)
        return sent


def test_a_callee_that_takes_everything_is_sent_everything() -> None:
    trial = Trial()
    assert trial.run(5, 200, 200) == 1000
    assert not trial.throttle.is_active


def test_a_callee_that_takes_more_than_half_is_sent_everything() -> None:
    assert Trial().run(5, 200, 110) == 1000


def test_under_five_times_what_it_takes_about_twice_is_sent() -> None:
    trial = Trial()
    trial.run(4, 500, 100)
    sent = trial.run(10, 500, 100)
    assert 1_700 < sent < 2_700


def test_a_callee_that_takes_nothing_is_still_tried_by_one_call_in_ten() -> None:
    trial = Trial()
    trial.run(4, 500, 0)
    sent = trial.run(10, 500, 0)
    assert 450 < sent < 600


def test_within_five_seconds_after_the_overload_everything_is_sent() -> None:
    for before in (0, 20):
        trial = Trial()
        trial.run(10, 500, before)
        trial.run(5, 100, 200)
        assert trial.run(5, 100, 200) == 500
        assert not trial.throttle.is_active


def test_a_few_refusals_are_too_few_to_judge_by() -> None:
    throttle = Throttle(TERMS)
    for _ in range(TERMS.spare):
        throttle.note_refusal(1.0, 0)
    assert throttle.chance_of_refusal(1.0, 0) == 0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50), st.integers(0, 50)), max_size=60))
def test_the_chance_is_a_share_and_never_certain(steps: list[tuple[float, int, int]]) -> None:
    throttle, now, answered = Throttle(TERMS), 0.0, 0
    for passed_s, refusals, answers in steps:
        now += passed_s
        answered += answers
        for _ in range(refusals):
            throttle.note_refusal(now, answered)
        assert 0 <= throttle.chance_of_refusal(now, answered) <= TERMS.most
    now += 2 * TERMS.window_s
    assert throttle.chance_of_refusal(now, answered) == 0
