"""A disk that writes down what it is told, so that a power cut at any moment can be played again.

Between two syncs a disk may have kept any part of what it was given: a cut keeps everything up to the
last sync, and of the rest a seeded choice, whole, torn or not at all.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

SECTOR = 512


class Act(NamedTuple):
    """One act on a file: `write`, `truncate`, `sync`, `delete`, or a `mark` that a test has set."""

    kind: str
    file: str
    offset: int = 0
    data: bytes = b""


class RecordingDisk(apsw.VFS):
    """SQLite's own file system, which notes writes, syncs and deletions of databases and WALs."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.base = apsw.vfs_names()[0]
        super().__init__("recording", self.base, makedefault=True)

    def mark(self, text: str) -> None:
        """What was acknowledged stands between the writes that came before and after it."""
        self.acts.append(Act("mark", text))

    def xOpen(self, name: Any, flags: list[int]) -> "RecordedFile":
        return RecordedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.acts.append(Act("delete", Path(filename).name))
        if syncdir:  # the name is gone for good
            self.acts.append(Act("sync", Path(filename).name))


class RecordedFile(apsw.VFSFile):
    """One file on it."""

    def __init__(self, disk: RecordingDisk, name: Any, flags: list[int]) -> None:
        self.acts = disk.acts
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.name = Path(path).name
        super().__init__(disk.base, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        self.acts.append(Act("write", self.name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self.acts.append(Act("truncate", self.name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self.acts.append(Act("sync", self.name))


@contextmanager
def recording_disk() -> Iterator[RecordingDisk]:
    """Stores opened inside stand on this disk."""
    disk = RecordingDisk()
    try:
        yield disk
    finally:
        disk.unregister()


def kept_until(acts: Sequence[Act], cut: int) -> list[str]:
    """The marks before the cut: what must be there."""
    return [act.file for act in acts[:cut] if act.kind == "mark"]


def write_after_cut(folder: Path, acts: Sequence[Act], cut: int, chance: random.Random) -> None:
    """The files as a disk may hold them when the power goes before act number `cut`."""
    files: dict[str, bytearray] = {}
    pending: dict[str, list[Act]] = {}
    for act in acts[:cut]:
        if act.kind == "sync":
            if act.file not in files:  # a new file: SQLite syncs the folder too
                for name in [n for n, left in pending.items() if left[-1].kind == "delete"]:
                    del pending[name]
                    files.pop(name, None)
            for earlier in pending.pop(act.file, []):
                _apply(files, earlier)
        elif act.kind != "mark":
            pending.setdefault(act.file, []).append(act)
    for unsynced in pending.values():
        _apply_some(files, unsynced, chance)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _apply_some(files: dict[str, bytearray], acts: Sequence[Act], chance: random.Random) -> None:
    """Everything, nothing, a prefix, or any choice of sectors: a disk orders as it likes."""
    how = chance.choice(("all", "nothing", "prefix", "any"))
    if how == "nothing":
        return
    last = chance.randrange(len(acts) + 1) if how == "prefix" else len(acts)
    for act in acts[:last]:
        if how != "any" or act.kind != "write":
            if how != "any" or chance.random() < 0.5:
                _apply(files, act)
            continue
        for start in range(0, len(act.data), SECTOR):
            if chance.random() < 0.7:
                part = act.data[start : start + SECTOR]
                _apply(files, Act("write", act.file, act.offset + start, part))


def _apply(files: dict[str, bytearray], act: Act) -> None:
    if act.kind == "delete":
        files.pop(act.file, None)
        return
    content = files.setdefault(act.file, bytearray())
    if act.kind == "truncate":
        del content[act.offset :]
        return
    end = act.offset + len(act.data)
    content.extend(bytes(max(0, end - len(content))))
    content[act.offset : end] = act.data
