"""A service's migrations as revisions of Alembic: which there are, in which order.

They are read as text and never run here, so that a release can be described without its packages. Revisions form
one chain; each is a migration with the number that it has there.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import msgspec

from borough.errors import MigrationRefused
from borough.ports import Migration

__all__ = ["is_revision", "read_revisions", "revision_of", "says_it_expands"]

_ID = re.compile(r"[a-z0-9][a-z0-9_]*\Z")


class _Revision(msgspec.Struct, frozen=True):
    path: Path
    text: str
    id: str
    down: str | None


def read_revisions(environment: Path) -> tuple[Migration, ...]:
    """The revisions in `versions` of an environment, from the first to the last.

    Raises `MigrationRefused` for what is no revision, and for branches.
    """
    after: dict[str | None, _Revision] = {}
    for path in sorted((environment / "versions").glob("*.py")):
        found = _read(path)
        if found is None:
            continue
        other = after.setdefault(found.down, found)
        if other is not found:
            raise MigrationRefused(
                f"{other.path.name} and {found.path.name} in {path.parent} both follow "
                f"{found.down or 'nothing'}; revisions form one chain: let one's down_revision name the other"
            )
    migrations: list[Migration] = []
    down: str | None = None
    while (found := after.pop(down, None)) is not None:
        name = f"{len(migrations) + 1:04}_{found.id}.py"
        migrations.append(Migration(name, found.text, str(environment.resolve())))
        down = found.id
    if after:
        lost = next(iter(after.values()))
        raise MigrationRefused(
            f"{lost.path} follows {lost.down}, which no revision there is. Put that file back"
        )
    return tuple(migrations)


def is_revision(migration: Migration) -> bool:
    """Whether it is Python, of Alembic."""
    return migration.name.endswith(".py")


def revision_of(migration: Migration) -> str:
    """What Alembic calls it."""
    return migration.name[5:-3]


def says_it_expands(migration: Migration) -> bool:
    """Whether it has `expands = True` at its top level."""
    return _constants(migration.sql, migration.name).get("expands") is True


def _read(path: Path) -> _Revision | None:
    """The revision of a file; None where it has none, like `__init__.py`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MigrationRefused(f"{path} is not UTF-8 ({error}). Save it as UTF-8") from error
    constants = _constants(text, str(path))
    if "revision" not in constants:
        return None
    revision, down = constants["revision"], constants.get("down_revision")
    if not isinstance(revision, str) or _ID.match(revision) is None:
        raise MigrationRefused(
            f"{path} calls its revision {revision!r}; take small letters, digits and underscores"
        )
    if not (down is None or isinstance(down, str)) or constants.get("depends_on") is not None:
        raise MigrationRefused(
            f"{path} follows several revisions; they form one chain here, so down_revision names one and "
            "depends_on none"
        )
    return _Revision(path, text, revision, down)


def _constants(text: str, place: str) -> dict[str, Any]:
    """The names at a module's top level that stand for plain values."""
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise MigrationRefused(f"{place} is no Python: {error}") from error
    found: dict[str, Any] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign):
            targets: list[ast.expr] = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and statement.value is not None:
                try:
                    found[target.id] = ast.literal_eval(statement.value)
                except ValueError:
                    continue
    return found
