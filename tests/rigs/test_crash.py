"""The crash rig kills a shop, finds nothing lost, and is quick about it."""

import json
from pathlib import Path

from borough.engines.postgres import postgres_is_installed
from rigs.__main__ import main
from tests.requirements import require_tool


def _are_good(store: str, kills: int, out: Path) -> None:
    arguments = ["--store", store, "--unproven", "--count", str(kills), "--customers", "5"]
    assert main(["crash", *arguments, "--out", str(out)]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["verdict"] for episode in episodes] == ["good"] * kills
    assert episodes[-1]["orders"] > 0


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    _are_good("sqlite", 9, tmp_path / "crash.jsonl")


def test_a_few_kills_on_postgresql_lose_nothing(tmp_path: Path) -> None:
    require_tool("PostgreSQL", postgres_is_installed())
    _are_good("postgres", 7, tmp_path / "crash.jsonl")
