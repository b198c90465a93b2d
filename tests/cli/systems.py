"""Writes small systems to disk, right and wrong, for tests of what an operator sees."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["importable_system", "write_system"]

CONTRACT = '''
from typing import Protocol
from borough import ANYONE, Event, Key, Struct, contract, get, post

class Note(Struct):
    id: int
    text: str

class Noted(Event):
    id: Key[int]

@contract("notes", version="1.0", publishes=[Noted])
class Notes(Protocol):
    """Keeps notes."""

    @post("/notes", allow=ANYONE, status=201)
    async def write(self, text: str) -> Note:
        """Write a note."""
        ...

    @get("/notes/{id}", allow=ANYONE)
    async def read(self, id: int) -> Note:
        """Read a note."""
        ...

    @get("/internal")
    async def internal(self) -> int:
        """Only for services."""
        ...
'''

SERVICE = """
from typing import final
from borough import Database, Service
from {package}.notes.contract import Note, Noted, Notes

@final
class NoteService(Service, Notes):
    db: Database

    async def write(self, text: str) -> Note:
        async with self.db.transaction() as tx:
            note = await tx.one(Note, "insert into notes (text) values ($1) returning id, text", text)
            tx.publish(Noted(id=note.id))
        return note

    async def read(self, id: int) -> Note:
        return await self.db.one(Note, "select id, text from notes where id = $1", id)

    async def internal(self) -> int:
        return 42
"""

MIGRATION = "create table notes (id integer primary key, text text not null);\n"


def write_system(
    folder: Path, package: str, *, toml: str = "", files: dict[str, str] | None = None
) -> Path:
    """A one-service system in `folder/package`. `files` replaces or adds files by path."""
    root = folder / package
    contents = {
        "__init__.py": "",
        "borough.toml": toml or f'[system]\nname = "{package}"\n',
        "notes/__init__.py": "",
        "notes/contract.py": CONTRACT,
        "notes/service.py": SERVICE.replace("{package}", package),
        "notes/migrations/sqlite/0001_notes.sql": MIGRATION,
    }
    contents.update({name: textwrap.dedent(text) for name, text in (files or {}).items()})
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{package}", package))
    return root


@contextmanager
def importable_system(folder: Path, package: str, files: dict[str, str]) -> Iterator[Path]:
    """One that a command of this very process loads; what it adds to the imports is taken away again."""
    before = list(sys.path)
    yield write_system(folder, package, files=files)
    sys.path[:] = before
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[module]
