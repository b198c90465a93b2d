"""The rig of a fleet's processes kills a few of them, and finds the ledger right."""

import json
from pathlib import Path

from rigs.__main__ import main


def test_a_few_kills_of_a_fleets_processes_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "fleet.jsonl"
    arguments = ["--seed", "5", "--count", "3", "--customers", "4", "--out", str(out)]
    assert main(["fleet_crash", "--unproven", *arguments]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["did"] for episode in episodes] == ["kill", "pause", "kill"]
    assert episodes[-1]["whom"] == "supervisor"
    assert episodes[-1]["orders"] > 0
