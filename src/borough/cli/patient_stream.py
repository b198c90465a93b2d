"""Standard error whose reader may stand still, as a pager or Ctrl-S makes it: whoever writes never waits.

A thread hands on what is written. What it cannot get rid of waits here, up to a limit; beyond that whole
pieces are left out, and their number is told once somebody reads again.
"""

from __future__ import annotations

import os
import threading
from collections import deque

__all__ = ["PatientStream"]

_MOST_BYTES = 1024 * 1024


class PatientStream:
    """Writes to an open file by its number; nobody else's lock is held while that waits."""

    def __init__(self, file_number: int, most_bytes: int = _MOST_BYTES) -> None:
        self._file_number = file_number
        self._most_bytes = most_bytes
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._left_out = 0
        self._is_closed = False
        self._changed = threading.Condition()
        # It is not waited for at the end: somebody who never reads again would hold the command up.
        self._thread = threading.Thread(target=self._hand_on, name="borough-stderr", daemon=True)
        self._thread.start()

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return os.isatty(self._file_number)

    def write(self, text: str) -> int:
        """Have it written, unless too much waits already."""
        data = text.encode("utf-8", "replace")
        with self._changed:
            if self._size + len(data) > self._most_bytes:
                self._left_out += 1
            else:
                self._waiting.append(data)
                self._size += len(data)
                self._changed.notify()
        return len(text)

    def flush(self) -> None:
        """Nothing is kept longer than it must be."""

    def close(self, within_s: float) -> None:
        """Wait, no longer than that, until everything is written."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(within_s)

    def _hand_on(self) -> None:
        while data := self._next():
            try:
                while data:
                    data = data[os.write(self._file_number, data) :]
            except OSError:  # a full disk, or a reader that has left: what runs goes on
                continue

    def _next(self) -> bytes:
        with self._changed:
            while not self._waiting and not self._left_out:
                if self._is_closed:
                    return b""
                self._changed.wait()
            if self._waiting:
                data = self._waiting.popleft()
                self._size -= len(data)
                return data
            left_out, self._left_out = self._left_out, 0
            return f"... {left_out} lines are missing here, as nobody read them\n".encode()
