"""Builds small wheels by hand, right and wrong, and installs them by unpacking."""

from __future__ import annotations

import base64
import hashlib
import textwrap
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["CONTRACT", "SERVICE", "search_wheel", "write_wheel"]

CONTRACT = """
from typing import Protocol
from borough import ANYONE, contract, get

@contract("search", version="1.0")
class Search(Protocol):
    \"\"\"Finds what is on sale.\"\"\"

    @get("/found/{word}", allow=ANYONE)
    async def find(self, word: str) -> tuple[str, ...]:
        \"\"\"Find things by a word.\"\"\"
        ...
"""
SERVICE = """
from typing import final
from borough import Database, Service
from {package}.contract import Search

@final
class SearchService(Service, Search):
    db: Database

    async def find(self, word: str) -> tuple[str, ...]:
        return tuple(await self.db.all(str, "select name from things where name like $1", f"%{{word}}%"))
"""
MIGRATION = "create table things (name text);\ninsert into things values ('red tea {version}');\n"


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    *,
    needs: Sequence[str] = (),
    record: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """A wheel with these files; `record` lays other hashes over the right ones ("" leaves a row out)."""
    folder.mkdir(parents=True, exist_ok=True)
    root = f"{name}-{version}.dist-info"
    said = "".join(
        f"{need}\n" for need in ["Metadata-Version: 2.1", f"Name: {name}", *_rest(version, needs)]
    )
    whole = {**files, f"{root}/METADATA": said, f"{root}/WHEEL": "Wheel-Version: 1.0\n"}
    hashes = {path: _hash(text) for path, text in whole.items()} | dict(record or {})
    rows = [f"{path},{kept},{len(whole.get(path, ''))}" for path, kept in hashes.items() if kept]
    whole[f"{root}/RECORD"] = "\n".join([*rows, f"{root}/RECORD,,", ""])
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in whole.items():
            archive.writestr(path, text)
    return wheel


def _rest(version: str, needs: Sequence[str]) -> list[str]:
    return [f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def search_wheel(
    folder: Path,
    package: str,
    version: str = "1.0.0",
    *,
    entries: str | None = None,
    **facts: object,
) -> Path:
    """The service `search` as a wheel of the distribution `package`, whose package is of that name."""
    entries = entries or f"[borough.services]\nsearch = {package}.service:SearchService\n"
    files = {
        f"{package}/__init__.py": "",
        f"{package}/contract.py": textwrap.dedent(CONTRACT),
        f"{package}/service.py": textwrap.dedent(SERVICE).format(package=package),
        f"{package}/migrations/sqlite/0001_things.sql": MIGRATION.format(version=version),
        f"{package}-{version}.dist-info/entry_points.txt": entries,
    }
    return write_wheel(folder, package, version, files, **facts)  # type: ignore[arg-type]
