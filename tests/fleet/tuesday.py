"""Two teams, two git repositories, two wheels: `search`, which ships often, and `payments`, which does not."""

from __future__ import annotations

import os
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path

from tests.runtime.wheels import write_wheel

__all__ = ["Repository", "payments_at", "search_at"]

_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Team"), ("EMAIL", "team@shop.example"))
}

SEARCH_CONTRACT = '''
from typing import Protocol
from borough import ANYONE, Struct, contract, get, post

class Found(Struct):
    words: tuple[str, ...]
    release: str{field}

@contract("search", version="{version}")
class Search(Protocol):
    """Finds what is on sale."""

    @get("/found/{{word}}", allow=ANYONE)
    async def find(self, word: str{parameter}) -> Found:
        """Find things by a word."""
        ...

    @post("/things", allow=ANYONE)
    async def put(self, word: str) -> int:
        """Have one more thing, and say which one it is."""
        ...
'''

SEARCH_SERVICE = """
from typing import final
from borough import Database, Service
from search.contract import Found, Search

@final
class SearchService(Service, Search):
    db: Database

    async def find(self, word: str{parameter}) -> Found:
        found = await self.db.all(str, "select name from things where name like $1 limit 3", f"%{{word}}%")
        return Found(words=tuple(found), release="{version}")

    async def put(self, word: str) -> int:
        async with self.db.transaction() as tx:
            return await tx.one(int, "insert into things (name) values ($1) returning rowid", word)
"""

PAYMENTS_CONTRACT = '''
from typing import Protocol
from borough import ANYONE, contract, post

@contract("payments", version="1.0")
class Payments(Protocol):
    """Takes payments."""

    @post("/charges", allow=ANYONE)
    async def charge(self, cents: int) -> int:
        """Charge, and say which charge it is."""
        ...
'''

PAYMENTS_SERVICE = """
import asyncio
from typing import final
from borough import Database, Service
from payments.contract import Payments

@final
class PaymentsService(Service, Payments):
    db: Database

    async def charge(self, cents: int) -> int:
        await asyncio.sleep(0.02)
        async with self.db.transaction() as tx:
            return await tx.one(int, "insert into charges (cents) values ($1) returning rowid", cents)
"""


def search_at(release: int) -> dict[str, str]:
    """The files of a release: each has a contract, a migration and an answer of its own."""
    version = f"1.{release}"
    field = "".join(f'\n    extra{n}: str = ""' for n in range(1, release + 1))
    parameter = "".join(f", more{n}: int = 0" for n in range(1, release + 1))
    facts = {"version": version, "field": field, "parameter": parameter}
    files = {
        "search/__init__.py": "",
        "search/contract.py": SEARCH_CONTRACT.format(**facts),
        "search/service.py": SEARCH_SERVICE.format(**facts),
        "search/migrations/sqlite/0001_things.sql": "create table things (name text not null);\n",
    }
    for n in range(1, release + 1):
        column = f"alter table things add column extra{n} text not null default '';\n"
        files[f"search/migrations/sqlite/{n + 1:04}_extra{n}.sql"] = column
    return files


def payments_at(_release: int) -> dict[str, str]:
    """The files of payments, which stay as they are."""
    return {
        "payments/__init__.py": "",
        "payments/contract.py": PAYMENTS_CONTRACT,
        "payments/service.py": PAYMENTS_SERVICE,
        "payments/migrations/sqlite/0001_charges.sql": "create table charges (cents integer not null);\n",
    }


class Repository:
    """A team's git repository. `build` makes the wheel of what is committed, and of nothing else."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        folder.mkdir(parents=True)
        self._git("init", "--quiet")

    def commit(self, files: Mapping[str, str], tag: str) -> None:
        """Write the files, commit them and tag that."""
        for path, text in files.items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", f"{self.name} {tag}")
        self._git("tag", tag)

    def build(self, tag: str, into: Path) -> Path:
        """The wheel of a tag."""
        paths = self._git("ls-tree", "-r", "--name-only", tag).split()
        files = {path: self._git("show", f"{tag}:{path}") for path in paths}
        class_name = f"{self.name.capitalize()}Service"
        entry = f"[borough.services]\n{self.name} = {self.name}.service:{class_name}\n"
        files[f"{self.name}-{tag}.dist-info/entry_points.txt"] = entry
        return write_wheel(into, self.name, tag, files)

    def _git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env={**os.environ, **_IDENTITY},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout
