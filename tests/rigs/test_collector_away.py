"""Who exports to a collector that is away is compared with who exports nothing."""

import random
from pathlib import Path

import pytest

from rigs.collector_away import FIRST_MARK, Shop, judge


def shop(folder: Path, took_s: float, per_minute: float, failures: tuple[str, ...] = ()) -> Shop:
    """One that answered so fast and grew so much, for ten minutes."""
    found = Shop(folder, None, ())
    found.took_s += [took_s * random.Random(number).uniform(0.9, 1.1) for number in range(6000)]
    found.sizes += [(float(at), 40 + per_minute * at / 60) for at in range(0, 600, 10)]
    found.failures += failures
    return found


@pytest.mark.parametrize(
    ("took_s", "per_minute", "failures", "dropped", "said", "words"),
    [
        (0.010, 0.1, (), 900, FIRST_MARK, []),
        (0.010, 0.1, ("503",), 900, FIRST_MARK, ["failed"]),
        (0.020, 0.1, (), 900, FIRST_MARK, ["slowed"]),
        (0.050, 0.1, (), 900, FIRST_MARK, ["slowed", "slowed"]),
        (0.010, 1.0, (), 900, FIRST_MARK, ["memory"]),
        (0.010, 3.0, (), 900, FIRST_MARK, ["memory", "memory"]),
        (0.010, 0.1, (), 0, "", ["silent", "silent"]),
    ],
)
async def test_a_verdict_on_an_absence(
    tmp_path: Path,
    took_s: float,
    per_minute: float,
    failures: tuple[str, ...],
    dropped: int,
    said: str,
    words: list[str],
) -> None:
    alone = shop(tmp_path, 0.010, 0.1)
    exporting = shop(tmp_path, took_s, per_minute, failures)
    told = [each.partition(":")[0] for each in judge(alone, exporting, 600, dropped, said)]
    assert told == words
