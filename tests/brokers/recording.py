"""Writes down what is done to the files of a folder, and plays a power cut at any moment of it.

What was written since a file's last sync is kept in any part, in sectors, in any order; names that
were given or taken since the folder's last sync are kept up to any of them.
"""

import errno
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from borough.brokers.embedded import segments, writer

SECTOR = 512


class Act(NamedTuple):
    """`write`, `cut`, `sync` of the file `inode`; `name`, `unname`, `folder` of names; or a `mark`."""

    kind: str
    inode: int = 0
    name: str = ""
    offset: int = 0
    data: bytes = b""


class Recorder:
    """What was done so far."""

    def __init__(self, folder: Path) -> None:
        self.acts: list[Act] = []
        self.refuses_names = False
        """Whether syncing the folder fails, as it does for whoever is killed before."""
        self._folder = folder
        self._known: set[int] = set()

    def mark(self, text: str) -> None:
        """Note what was acknowledged at this moment."""
        self.acts.append(Act("mark", name=text))

    def file_of(self, fd: int) -> int | None:
        """The inode of a file in the folder, named when it is seen first."""
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.parent != self._folder:
            return None
        inode = os.fstat(fd).st_ino
        if inode not in self._known:
            self._known.add(inode)
            self.acts.append(Act("name", inode, path.name))
        return inode


@contextmanager
def recorded(folder: Path) -> Iterator[Recorder]:
    """Record all that this process does to files in `folder`."""
    recorder = Recorder(folder)
    acts = recorder.acts
    pwrite, write, cut, rename, sync = os.pwrite, os.write, os.ftruncate, os.rename, os.fsync

    def noted_pwrite(fd: int, data: Any, offset: int) -> int:
        written = pwrite(fd, data, offset)
        if (inode := recorder.file_of(fd)) is not None:
            acts.append(Act("write", inode, offset=offset, data=bytes(data)[:written]))
        return written

    def noted_write(fd: int, data: Any) -> int:
        written = write(fd, data)
        if (inode := recorder.file_of(fd)) is not None:
            acts.append(Act("write", inode, offset=0, data=bytes(data)[:written]))
        return written

    def noted_cut(fd: int, size: int) -> None:
        cut(fd, size)
        if (inode := recorder.file_of(fd)) is not None:
            acts.append(Act("cut", inode, offset=size))

    def noted_rename(old: str, new: str) -> None:
        rename(old, new)
        acts.append(Act("unname", name=Path(old).name))
        acts.append(Act("name", os.stat(new).st_ino, Path(new).name))

    def noted_sync(fd: int) -> None:
        is_folder = os.readlink(f"/proc/self/fd/{fd}") == str(folder)
        if is_folder and recorder.refuses_names:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)
        if is_folder:
            acts.append(Act("folder"))
        elif (inode := recorder.file_of(fd)) is not None:
            acts.append(Act("sync", inode))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", noted_pwrite)
        patch.setattr(os, "write", noted_write)
        patch.setattr(os, "ftruncate", noted_cut)
        patch.setattr(os, "rename", noted_rename)
        patch.setattr(os, "fsync", noted_sync)
        for module in (segments, writer):
            patch.setattr(module, "sync_file", noted_sync)
        yield recorder


def write_after_cut(folder: Path, acts: Sequence[Act], chance: random.Random) -> None:
    """The folder as a disk may hold it when the power goes after these acts."""
    files: dict[int, bytearray] = {}
    unsynced: dict[int, list[Act]] = {}
    names: dict[str, int] = {}
    unnamed: list[Act] = []
    for act in acts:
        if act.kind in ("write", "cut"):
            unsynced.setdefault(act.inode, []).append(act)
        elif act.kind in ("name", "unname"):
            unnamed.append(act)
        elif act.kind == "sync":
            for earlier in unsynced.pop(act.inode, []):
                _apply(files, earlier)
        elif act.kind == "folder":
            _rename(names, unnamed)
            unnamed = []
    _rename(names, unnamed[: chance.randrange(len(unnamed) + 1)])
    for left in unsynced.values():
        keep = chance.choice((0.0, 0.5, 0.9, 1.0))
        for act in left:
            for part in _sectors(act):
                if chance.random() < keep:
                    _apply(files, part)
    folder.mkdir(parents=True)
    for name, inode in names.items():
        (folder / name).write_bytes(files.get(inode, b""))


def _sectors(act: Act) -> list[Act]:
    if act.kind == "cut":
        return [act]
    starts = range(0, len(act.data), SECTOR)
    return [act._replace(offset=act.offset + at, data=act.data[at : at + SECTOR]) for at in starts]


def _apply(files: dict[int, bytearray], act: Act) -> None:
    content = files.setdefault(act.inode, bytearray())
    if act.kind == "cut":
        del content[act.offset :]
        return
    end = act.offset + len(act.data)
    content.extend(bytes(max(0, end - len(content))))
    content[act.offset : end] = act.data


def _rename(names: dict[str, int], acts: Sequence[Act]) -> None:
    for act in acts:
        if act.kind == "name":
            names[act.name] = act.inode
        else:
            names.pop(act.name, None)
