"""The crash rig sees what is planted, kills a shop, finds nothing lost, and is quick about it."""

import json
from pathlib import Path

from borough.engines.postgres import postgres_is_installed
from rigs.__main__ import main
from tests.requirements import require_tool


def _are_good(store: str, kills: int, out: Path, *more: str) -> None:
    arguments = ["--store", store, "--count", str(kills), "--customers", "5", *more]
    assert main(["crash", *arguments, "--out", str(out)]) == 0
    told = [json.loads(line) for line in out.read_text().splitlines()]
    episodes = [episode for episode in told if "planted" not in episode]
    assert [episode["verdict"] for episode in episodes] == ["good"] * kills
    assert episodes[-1]["orders"] > 0


def test_what_is_planted_is_seen_and_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    _are_good("sqlite", 9, tmp_path / "crash.jsonl")


def test_a_few_kills_on_postgresql_lose_nothing(tmp_path: Path) -> None:
    require_tool("PostgreSQL", postgres_is_installed())
    _are_good("postgres", 7, tmp_path / "crash.jsonl", "--unproven")
