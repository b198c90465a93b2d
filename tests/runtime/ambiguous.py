"""A disk on which one chosen COMMIT is applied and reported as failed.

The WAL's data is down and synced, then the sync is told to have failed. In the process SQLite takes
the transaction back; after a crash at that moment it would be found complete, and `photograph`
shows that other truth: a copy of all files as they are then.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

__all__ = ["AmbiguousDisk", "ambiguous_disk", "copied"]


class AmbiguousDisk(apsw.VFS):
    """SQLite's file system, whose WAL sync number `at` of a database fails after it has worked."""

    def __init__(self, database: str, at: int) -> None:
        self.wal = f"{database}-wal"
        self.at = at
        self.syncs = 0
        self.is_armed = False
        self.photograph: Callable[[], object] = lambda: None
        self.base = apsw.vfs_names()[0]
        super().__init__("ambiguous", self.base, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "AmbiguousFile":
        return AmbiguousFile(self, name, flags)

    @property
    def has_failed(self) -> bool:
        """Whether the chosen sync has come."""
        return self.syncs > self.at


class AmbiguousFile(apsw.VFSFile):
    """One file on it."""

    def __init__(self, disk: AmbiguousDisk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.is_chosen = path.endswith(disk.wal)
        super().__init__(disk.base, name, flags)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        disk = self.disk
        if not (self.is_chosen and disk.is_armed):
            return
        disk.syncs += 1
        if disk.syncs == disk.at + 1:
            disk.photograph()
            raise apsw.IOError("the sync was made to fail")


@contextmanager
def ambiguous_disk(database: str, at: int) -> Iterator[AmbiguousDisk]:
    """Stores opened inside stand on this disk."""
    disk = AmbiguousDisk(database, at)
    try:
        yield disk
    finally:
        disk.unregister()


def copied(source: Path, target: Path) -> None:
    """A copy of all that a crash leaves; what was written first is copied last."""
    target.mkdir()
    for pattern in ("mail.db*", "orders.db*"):
        for path in sorted(source.glob(pattern)):
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, target / path.name)
    if (source / "events").is_dir():
        shutil.copytree(source / "events", target / "events")
