"""The crash rig sees what is planted, kills a shop, finds nothing lost, and is quick about it."""

import json
from pathlib import Path

import pytest

from borough.engines.postgres import postgres_is_installed
from rigs.__main__ import main
from rigs.crash import RIG
from tests.requirements import require_tool


def _are_good(store: str, kills: int, out: Path) -> None:
    arguments = ["--store", store, "--count", str(kills), "--customers", "5", "--unproven"]
    assert main(["crash", *arguments, "--out", str(out)]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["verdict"] for episode in episodes] == ["good"] * kills
    assert episodes[-1]["orders"] > 0


@pytest.mark.parametrize("fault", sorted(RIG.planted))
def test_what_is_planted_is_seen(fault: str, tmp_path: Path) -> None:
    out = tmp_path / "crash.jsonl"
    assert main(["crash", "--planted", fault, "--out", str(out)]) == 0
    *_, last = [json.loads(line) for line in out.read_text().splitlines()]
    assert (last["planted"], last["verdict"]) == (fault, "caught")


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    _are_good("sqlite", 9, tmp_path / "crash.jsonl")


def test_a_few_kills_on_postgresql_lose_nothing(tmp_path: Path) -> None:
    require_tool("PostgreSQL", postgres_is_installed())
    _are_good("postgres", 7, tmp_path / "crash.jsonl")
