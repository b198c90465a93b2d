"""What was answered more than a second before a kill must be kept."""

import pytest

from rigs.span_loss import judge


@pytest.mark.parametrize(
    ("answered", "ages", "words"),
    [
        (200, [], []),
        (200, [0.01, 0.9], []),
        (200, [0.01, 2.4], ["lost"]),
        (0, [], ["nothing was answered"]),
    ],
)
def test_a_verdict_on_a_kill(answered: int, ages: list[float], words: list[str]) -> None:
    assert [sentence.partition(":")[0] for sentence in judge(answered, ages)] == words
