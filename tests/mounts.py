"""Disks of a test's own that fail as real ones do; left out where they cannot be mounted."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from rigs.disks import FailingDisk, SmallDisk, can_fail, can_mount, failing_disk, small_disk
from tests.requirements import require_tool

__all__ = ["mounted_failing", "mounted_small"]

_can_mount = cache(can_mount)
_can_fail = cache(can_fail)


@contextmanager
def mounted_small(folder: Path, mib: int = 2) -> Iterator[SmallDisk]:
    """A tmpfs of this size, mounted below `folder`."""
    require_tool("leave to mount a tmpfs (root)", _can_mount())
    with small_disk(folder / "small", mib) as disk:
        yield disk


@contextmanager
def mounted_failing(folder: Path, *, errors: str = "continue") -> Iterator[FailingDisk]:
    """An ext4 that can be made to fail, mounted below `folder`."""
    require_tool("leave to mount an ext4 image (root, mkfs.ext2, losetup)", _can_fail())
    with failing_disk(folder / "failing", errors=errors) as disk:
        yield disk
