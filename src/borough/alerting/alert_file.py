"""Where alerts outlive a restart: one small file in the data folder, written whole, synced, then put in place.

A lock beside it makes sure that one process at a time keeps its alerts there.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from borough.contracts.objective import Objective
from borough.reliability.alerts import Kept
from borough.reliability.objectives import KeptSpent

__all__ = ["AlertFile", "Stored"]

_log = logging.getLogger("borough.alerts")
_FILE = "borough.alerts.json"
_LOCK = "borough.alerts.lock"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """`is_running` until the process ends in order; `crashes` are when one began after another that had not."""

    kept: Kept = Kept()
    spent: Sequence[tuple[Objective, KeptSpent]] = ()
    written_at: float = 0.0
    is_running: bool = False
    crashes: Sequence[float] = ()


class AlertFile:
    """The file of a data folder. Blocking: for a thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock: int | None = None
        self._is_failing = False

    def hold(self) -> bool:
        """Have it for this process, until `release`; False where another one has it."""
        if self._lock is not None:
            return True
        try:
            lock = os.open(self._path.with_name(_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # nor can anybody write there, which `write` tells
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError:  # a file system that has no locks
            os.close(lock)
            return True
        self._lock = lock
        return True

    def release(self) -> None:
        """Let another process have it. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def read(self) -> Stored:
        """What is there; nothing where there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Stored)
        except FileNotFoundError:
            return Stored()
        except (OSError, ValueError) as error:  # no JSON, another shape, or no UTF-8
            _log.warning("%s cannot be read, and alerts begin anew: %s", self._path, error)
            return Stored()

    def write(self, stored: Stored) -> bool:
        """Keep it. Whether the disk has taken it; where not, that is told once, and ends nothing."""
        draft = self._path.with_name(f".{_FILE}")
        try:
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(stored))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            if not self._is_failing:
                _log.warning(
                    "%s cannot be written, and a restart would forget: %s", self._path, error
                )
            self._is_failing = True
            return False
        self._is_failing = False
        return True
