"""Slow clients of every kind, a few of each, disturb nobody."""

import json
from pathlib import Path

from rigs.__main__ import main
from rigs.slow_crowd import KINDS


def test_a_small_crowd_disturbs_nobody(tmp_path: Path) -> None:
    out = tmp_path / "slow.jsonl"
    arguments = ["--unproven", "--count", "1", "--clients", "150", "--seconds", "4", "--rate", "50"]
    assert main(["slow_clients", *arguments, "--out", str(out)]) == 0
    (episode,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert episode["verdict"] == "good"
    assert episode["beside"]["sent"] == 200
    assert set(KINDS) <= set(episode["crowd"])
