"""Whether a fleet's data lie where they lay when it started.

A process that is begun where they were moved away, removed or unmounted would make new, empty databases, and
answer from those.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["DataFolder"]

_Identity = tuple[int, int]
"""Device and number of a folder, whatever its path."""


class DataFolder:
    """The data folder of a fleet. One that was not there at the first look may be any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: _Identity | None = None

    def look(self) -> None:
        """Take the one that is there now for that on which the fleet runs."""
        self._first = self._now()

    def refuse_another(self) -> None:
        """Raise `OSError` where another folder, or none, is there now."""
        if self._first is not None and self._now() != self._first:
            raise OSError(
                f"the data are not in {self._path} any more, which was moved, removed or unmounted while the fleet "
                "ran; put it back, or stop the fleet and start it where they are"
            )

    def _now(self) -> _Identity | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
