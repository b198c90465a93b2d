"""A disk that can be made to fail: a layer under SQLite, over the real one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw


class Disk(apsw.VFS):
    """The default file system of SQLite while it stands; `fault` is raised by writes to the WAL.

    `before_write` is called in the thread that writes it.
    """

    def __init__(self) -> None:
        self.fault: type[Exception] | None = None
        self.before_write: Callable[[], object] | None = None
        self.base = apsw.vfs_names()[0]
        super().__init__("failing", self.base, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "File":
        return File(self, name, flags)


class File(apsw.VFSFile):
    """One file on it."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.is_wal = path.endswith("-wal")
        super().__init__(disk.base, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        if self.is_wal and self.disk.before_write is not None:
            self.disk.before_write()
        if self.is_wal and self.disk.fault is not None:
            raise self.disk.fault("the disk was made to fail")
        super().xWrite(data, offset)


@contextmanager
def failing_disk() -> Iterator[Disk]:
    """Stores opened inside stand on this disk."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.unregister()
