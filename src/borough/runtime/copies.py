"""Copies of code beside the data: what was rolled out, and wheels that were unpacked. What nobody needs goes.

Whoever runs from a copy has a lock on it until its process ends, and whoever finds or makes one has a lock on the
folder of all meanwhile. A copy without a lock that no next start asks for is nobody's. Where locks are not to be
had, all of them stay.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["FOLDER", "finding", "hold", "remove_unused"]

FOLDER = "releases"
"""Where they lie, in the data folder."""
_BY_CONTENT = re.compile(r"(.+)-[0-9a-f]{12}")


@contextmanager
def finding(into: Path) -> Generator[None]:
    """Find or make a copy there, and hold it: none is removed while the block lasts."""
    lock = _locked(into, fcntl.LOCK_SH)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def hold(place: Path) -> None:
    """Run from the code at this place: it stays until this process ends, however that comes."""
    _locked(place, fcntl.LOCK_SH)  # which is never closed


def remove_unused(into: Path, used: Collection[str]) -> None:
    """Remove the copies that are not `used`, and from which no process runs; and what was never finished.

    Does nothing while somebody finds or makes one. What does not let itself be removed stays.
    """
    lock = _locked(into, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        return
    kept = {_identity(Path(folder)) for folder in used}
    try:
        for entry in _folders(into):
            if entry.name.startswith("."):
                shutil.rmtree(entry, ignore_errors=True)
        for entry in _folders(into):
            place = _code_in(entry)
            if place is not None and _identity(place) not in kept and not _is_held(place):
                # In one step, for half a copy would be taken for a whole one.
                gone = entry.with_name(f".{entry.name}")
                with suppress(OSError):
                    entry.rename(gone)
                    shutil.rmtree(gone, ignore_errors=True)
    finally:
        os.close(lock)


def _folders(into: Path) -> list[Path]:
    try:
        return [path for path in into.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _code_in(entry: Path) -> Path | None:
    """The place of the code in a copy; None for a folder that somebody else has put there."""
    by_content = _BY_CONTENT.fullmatch(entry.name)
    if by_content is not None and (entry / by_content[1]).is_dir():
        return entry / by_content[1]
    return entry if any(entry.glob("*.dist-info/RECORD")) else None


def _identity(place: Path) -> tuple[int, int] | None:
    """Which folder it is, by whatever path it was reached."""
    try:
        found = place.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_held(place: Path) -> bool:
    lock = _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        return True
    os.close(lock)
    return False


def _locked(folder: Path, how: int) -> int | None:
    """A file number that has the lock until it is closed; None where it is not to be had."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, how)
    except OSError:
        os.close(lock)
        return None
    return lock
