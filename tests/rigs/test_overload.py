"""Floods are judged by what was right and in time, and by how soon all is as before."""

from pathlib import Path

import pytest

from rigs.__main__ import main
from rigs.open_loop import Outcome
from rigs.overload import judge, normal_after


def second(number: int, took_s: float, kind: str = "answered") -> list[Outcome]:
    return [Outcome(number + part / 10, kind, took_s) for part in range(10)]


CALM = second(0, 0.01)


@pytest.mark.parametrize(
    ("possible", "goodput", "back_s", "words"),
    [
        (200.0, 199.0, 0.0, []),
        (200.0, 169.0, 0.0, ["goodput"]),
        (200.0, 199.0, 6.0, ["not normal"]),
        (200.0, 199.0, None, ["not normal"]),
    ],
)
def test_a_verdict_on_a_flood(
    possible: float, goodput: float, back_s: float | None, words: list[str]
) -> None:
    told = [sentence.partition(":")[0] for sentence in judge(possible, goodput, back_s)]
    assert told == words


def test_all_is_normal_again_from_the_first_second_after_which_nothing_is_odd() -> None:
    odd = [*second(0, 0.1), *second(1, 0.01, "late")]
    assert normal_after([*odd, *second(2, 0.012), *second(3, 0.01)], CALM) == 2.0
    assert normal_after(odd, CALM) is None
    assert normal_after([], CALM) is None


def test_a_service_without_limits_is_seen(tmp_path: Path) -> None:
    out = tmp_path / "overload.jsonl"
    assert main(["overload", "--planted", "unlimited", "--kind", "fetch", "--out", str(out)]) == 0
