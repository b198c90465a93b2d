"""The rig of the shared group kills and pauses, and finds the ledger right."""

import json
from pathlib import Path

from rigs.__main__ import main


def test_a_few_kills_and_a_pause_leave_the_ledger_right(tmp_path: Path) -> None:
    out = tmp_path / "group.jsonl"
    assert main(["shared_group", "--unproven", "--count", "4", "--out", str(out)]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["did"] for episode in episodes] == ["kill", "kill", "kill", "pause"]
    assert episodes[-1]["notes"] > 0
