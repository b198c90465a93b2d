"""Whether the system's own code is as it was when the fleet started.

A process that is begun anew takes it as it is then, and nobody has held it against what runs, as a rollout would.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from borough.fleet.child import Child
from borough.fleet.control import Assignment

__all__ = ["OwnCode"]

_KINDS = (".py", ".sql", ".toml")
_LEFT_OUT = frozenset({"__pycache__", "node_modules"})
_File = tuple[str, int, int]
"""Path, size, time of the last change."""


class OwnCode:
    """The files of a system's folder but for its data: Python, SQL and options, by size and time."""

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder = folder
        self._data = data.resolve()
        self._first: frozenset[_File] = frozenset()

    async def look(self) -> None:
        """Take it as it is now for that with which the fleet starts."""
        self._first = await asyncio.to_thread(self._all)

    async def begin(
        self,
        assignment: Assignment,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        is_aside: bool,
    ) -> Child:
        """Begin a process, which says so where its code is not what it was. Raises `OSError`."""
        if assignment.modules and not assignment.version.folder:
            changed = await asyncio.to_thread(self._all) ^ self._first
            if changed:
                path, *_ = min(changed)
                say(
                    f"starts with code that was changed since the fleet started ({path}), and that nobody has checked "
                    f"against what runs; `borough rollout SERVICE --from {self._folder}` does"
                )
        return await Child.begin(assignment, environment, say, is_aside=is_aside)

    def _all(self) -> frozenset[_File]:
        return frozenset(self._seen(self._folder))

    def _seen(self, folder: Path) -> Iterator[_File]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name in _LEFT_OUT:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if Path(entry.path).resolve() != self._data:
                            yield from self._seen(Path(entry.path))
                    elif entry.name.endswith(_KINDS):
                        facts = entry.stat()
                        yield entry.path, facts.st_size, facts.st_mtime_ns
        except OSError:  # it goes meanwhile: it is not as it was
            yield str(folder), -1, -1
