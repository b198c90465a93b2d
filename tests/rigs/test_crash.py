"""The crash rig kills a shop, finds nothing lost, and is quick about it."""

import json
from pathlib import Path

from rigs.__main__ import main


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "crash.jsonl"
    arguments = ["--unproven", "--count", "9", "--customers", "6", "--out", str(out)]
    assert main(["crash", *arguments]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["verdict"] for episode in episodes] == ["good"] * 9
    assert episodes[-1]["orders"] > 0
