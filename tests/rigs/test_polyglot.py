"""The rig of the TypeScript service kills and stops it, and finds the ledger right."""

import json
from pathlib import Path

from rigs.__main__ import main
from tests.polyglot.typescript import require_typescript


def test_a_kill_and_a_stop_of_the_typescript_service_lose_nothing(tmp_path: Path) -> None:
    require_typescript()
    out = tmp_path / "polyglot.jsonl"
    arguments = ["--seed", "3", "--count", "3", "--customers", "4", "--out", str(out)]
    assert main(["polyglot", "--unproven", *arguments]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["did"] for episode in episodes] == ["kill", "kill", "stop"]
    assert episodes[-1]["pushed"] > 0
