"""The disk rig in short: one episode of each kind, and a fault that it must see."""

import pytest

from rigs.disk import KINDS, run_trial
from rigs.disks import can_fail
from tests.requirements import require_tool


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_when_the_disk_fails(kind: str) -> None:
    require_tool("leave to mount an ext2 image (root, mkfs.ext2, losetup)", can_fail())
    episode = run_trial(kind, 1)
    assert episode.wrong == []
    assert episode.facts["acknowledged"] > 0


def test_a_planted_fault_is_seen() -> None:
    require_tool("leave to mount an ext2 image (root, mkfs.ext2, losetup)", can_fail())
    assert run_trial("full", 1, "answered-with-500").wrong
