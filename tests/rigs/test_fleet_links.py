"""The rig of a fleet's links spoils a few of them, and finds the ledger right."""

import json
import random
from pathlib import Path

import pytest

from rigs.__main__ import main
from rigs.fleet_links import KINDS, toxics_of
from rigs.toxic import CLEAN


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_but_a_cut_spoils_a_direction(kind: str) -> None:
    assert (toxics_of(kind, random.Random(1)) == CLEAN) is (kind == "cut")


def test_a_few_faults_of_a_fleets_links_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "links.jsonl"
    arguments = ["--count", "2", "--customers", "4", "--out", str(out)]
    assert main(["fleet_links", "--unproven", *arguments]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["kind"] for episode in episodes] == ["cut", "reset"]
    assert episodes[-1]["orders"] > 0
