"""Whether the end of a call says anything of who should have answered it."""

import pytest

from borough.reliability.enough_time import enough_s, is_hurried


@pytest.mark.parametrize(
    ("default_s", "own_s", "least_s"),
    [(10.0, None, 1.0), (1.0, None, 0.5), (10.0, 0.2, 0.1), (0.5, 3600.0, 0.25)],
)
def test_enough_is_a_second_or_half_of_what_there_usually_is(
    default_s: float, own_s: float | None, least_s: float
) -> None:
    assert enough_s(default_s, own_s) == least_s


@pytest.mark.parametrize(
    ("given_s", "took_s", "is_refused", "is_so"),
    [
        (0.001, 0.001, True, True),
        (0.001, 0.0004, True, False),
        (-0.5, 0.0, True, True),
        (0.999, 0.5, True, True),
        (0.999, 0.5, False, False),
        (0.999, 0.999, False, True),
        (1.0, 1.0, True, False),
        (float("inf"), 5.0, True, False),
    ],
)
def test_who_had_less_and_was_refused_in_its_second_half_or_failed_at_its_end_had_too_little(
    given_s: float, took_s: float, *, is_refused: bool, is_so: bool
) -> None:
    assert is_hurried(given_s, took_s, 1.0, is_refused=is_refused) is is_so
