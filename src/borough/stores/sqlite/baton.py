"""The baton that processes pass around a database: who holds it writes, opens, checkpoints, closes.

A `flock` on a file of its own, never on the database, whose locks are SQLite's. Taking never
waits; callers come back until their deadline. A second file is the place at the head of the line:
it is taken first, so that a busy holder cannot take the baton again before who has waited.
"""

from __future__ import annotations

import fcntl
import os

__all__ = ["Baton"]


class Baton:
    """One process's hand on the baton of a database. The kernel drops it when the process ends."""

    __slots__ = ("_baton", "_line", "_path", "in_line", "taken")

    def __init__(self, path: str) -> None:
        self._path = path
        self._baton = -1
        self._line = -1
        self.in_line = False
        self.taken = False

    def open(self) -> None:
        """Create and open both files. Raises `OSError`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._baton = os.open(f"{self._path}.baton", flags, 0o644)
        try:
            self._line = os.open(f"{self._path}.baton-next", flags, 0o644)
        except OSError:
            os.close(self._baton)
            raise

    def try_take(self) -> bool:
        """Take it if it is free. After False, come back, or leave the line."""
        if not self.in_line and not _lock(self._line):
            return False
        self.in_line = True
        if not _lock(self._baton):
            return False
        self.taken = True
        self.leave_line()
        return True

    def leave_line(self) -> None:
        """Stop waiting."""
        if self.in_line:
            fcntl.flock(self._line, fcntl.LOCK_UN)
            self.in_line = False

    def drop(self) -> None:
        """Give it to who comes next."""
        if self.taken:
            self.taken = False
            fcntl.flock(self._baton, fcntl.LOCK_UN)

    def close(self) -> None:
        """Drop it and close the files; they stay, for others hold them open."""
        self.leave_line()
        self.drop()
        for descriptor in (self._baton, self._line):
            if descriptor >= 0:
                os.close(descriptor)
        self._baton = self._line = -1


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
