"""Whether the system's own code, and Borough's, is as it was when the fleet started.

A process that is begun anew takes it as it is then, and nobody has held it against what runs, as a rollout would.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from borough.fleet.child import Child
from borough.fleet.control import Assignment

__all__ = ["OwnCode"]

_KINDS = (".py", ".sql", ".toml")
_LEFT_OUT = frozenset({"__pycache__", "conftest.py", "node_modules", "tests"})
_BOROUGH = Path(__file__).parents[1]
_Stamp = tuple[int, int]
"""Size, time of the last change."""
T = TypeVar("T")


class OwnCode:
    """The files of a system's folder but for its data, tests and virtual environments: Python, SQL and options.

    One with another size or time is read: what was put back is as it was.
    """

    def __init__(self, folder: Path, data: Path, borough: Path = _BOROUGH) -> None:
        """`borough` is the package that runs the fleet."""
        self._folder = folder
        self._package = borough
        self._data = data.resolve()
        self._first: dict[str, tuple[_Stamp, bytes]] = {}
        self._borough: dict[str, _Stamp] = {}

    async def look(self) -> None:
        """Take it as it is now for that with which the fleet starts."""
        self._first = await asyncio.to_thread(self._all)
        self._borough = await asyncio.to_thread(self._boroughs)

    async def begin(
        self,
        assignment: Assignment,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        is_aside: bool,
    ) -> Child:
        """Begin a process, which says so where its code is not what it was. Raises `OSError`."""
        if await self.is_another_borough():
            say(
                f"starts with another Borough than the fleet did, which was exchanged meanwhile ({self._package}); "
                "start the fleet anew"
            )
        if assignment.modules and not assignment.version.folder:
            changed = await self._changes()
            if changed:
                path = changed[0]
                say(
                    f"starts with code that was changed since the fleet started ({path}), and that nobody has checked "
                    f"against what runs; `borough rollout SERVICE --from {self._folder}` does"
                )
        return await Child.begin(assignment, environment, say, is_aside=is_aside)

    async def is_another_borough(self) -> bool:
        """Whether a file of Borough was changed: a new process may not fit those that run. Raises `OSError`."""
        return self._borough != await _in_thread(self._boroughs)

    async def changed_beside(self, folder: Path) -> list[Path]:
        """The files of code outside of this folder that are not as they were. Options may be others.

        Raises `OSError`.
        """
        changed = [Path(path) for path in await self._changes() if not path.endswith(".toml")]
        return [path for path in changed if folder not in path.parents]

    async def _changes(self) -> list[str]:
        return await _in_thread(self._changed)

    def _boroughs(self) -> dict[str, _Stamp]:
        return dict(self._seen(self._package))

    def _all(self) -> dict[str, tuple[_Stamp, bytes]]:
        return {path: (stamp, _digest(path)) for path, stamp in self._seen(self._folder)}

    def _changed(self) -> list[str]:
        first, now = self._first, dict(self._seen(self._folder))
        gone = first.keys() - now.keys()
        others = (path for path, stamp in now.items() if not self._is_as_it_was(path, stamp))
        return sorted([*gone, *others])

    def _is_as_it_was(self, path: str, stamp: _Stamp) -> bool:
        first = self._first.get(path)
        return first is not None and (stamp == first[0] or _digest(path) == first[1])

    def _is_apart(self, folder: Path) -> bool:
        return folder.resolve() == self._data or (folder / "pyvenv.cfg").exists()

    def _seen(self, folder: Path) -> Iterator[tuple[str, _Stamp]]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith((".", "test_")) or entry.name in _LEFT_OUT:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if not self._is_apart(Path(entry.path)):
                            yield from self._seen(Path(entry.path))
                    elif entry.name.endswith(_KINDS):
                        facts = entry.stat()
                        yield entry.path, (facts.st_size, facts.st_mtime_ns)
        except OSError:  # it goes meanwhile: it is not as it was
            yield str(folder), (-1, -1)


async def _in_thread(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except RuntimeError as error:  # what Python makes of the machine's EAGAIN
        raise OSError(str(error)) from error


def _digest(path: str) -> bytes:
    """That of a file's content, empty where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return b""
