"""The shop answers as its document says; a rig that looks at it sees what it must not answer."""

import json
import subprocess
import sys
from pathlib import Path

from rigs.episodes import ROOT
from rigs.openapi import FAULTS


def ran(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The rig in a process of its own: Schemathesis keeps its hooks by the process."""
    command = [sys.executable, "-m", "rigs", "openapi", "--out", str(out), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_an_episode_is_good_and_most_of_it_is_answered(tmp_path: Path) -> None:
    out = tmp_path / "openapi.jsonl"
    done = ran(out, "--unproven", "--count", "500", "--seed", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    (episode,) = map(json.loads, out.read_text().splitlines())
    assert episode["verdict"] == "good"
    assert episode["cases"] >= 500
    assert episode["good"] >= episode["cases"] / 2
    assert {"POST /orders", "POST /orders/{order_id}/cancel"} <= episode["answers"].keys()


def test_a_planted_fault_is_seen(tmp_path: Path) -> None:
    done = ran(tmp_path / "openapi.jsonl", "--planted", "secret")
    assert done.returncode == 0, done.stdout + done.stderr
    assert FAULTS["secret"] in done.stdout
