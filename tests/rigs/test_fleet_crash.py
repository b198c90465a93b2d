"""The rig of a fleet's processes pauses and kills them, and finds the ledger right."""

import json
from pathlib import Path

from rigs.__main__ import main


def test_a_pause_and_the_death_of_a_supervisor_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "fleet.jsonl"
    arguments = ["--seed", "6", "--count", "2", "--customers", "4", "--out", str(out)]
    assert main(["fleet_crash", "--unproven", *arguments]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["did"] for episode in episodes] == ["pause", "kill"]
    assert episodes[-1]["whom"] == "supervisor"
    assert episodes[-1]["orders"] > 0
