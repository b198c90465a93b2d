"""A process that loads its code beside others that serve gives way to them, and has its share again then."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from borough.fleet.child import Child
from borough.fleet.control import Assignment
from tests.fleet.village import run_village, write_village

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(),
    reason="sessions have no shares of the processor here",
)


def level_of(pid: int) -> int:
    """The nice level of the session that the process leads."""
    return int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1])


async def test_a_process_that_loads_aside_comes_forward(tmp_path: Path) -> None:
    assignment = Assignment(
        path=str(tmp_path), flags={}, deployable="ledger", number=1, services=("ledger",)
    )
    child = await Child.begin(assignment, os.environ, lambda _line: None, is_aside=True)
    try:
        assert level_of(child.pid) > 0
        child.come_forward()
        assert level_of(child.pid) == 0
    finally:
        child.kill()
        await child.ended()


def test_a_replica_beside_another_has_its_whole_share_once_it_takes_calls(tmp_path: Path) -> None:
    with run_village(write_village(tmp_path), "fleet") as village:
        grown = village.command("scale", "ledger=2", "--json")
        assert [level_of(each["pid"]) for each in json.loads(grown.stdout)["ledger"]] == [0, 0]
