"""Numbered SQL migrations: reading a folder, and deciding what is still to be applied.

`0001_orders.sql`, `0002_paid.sql`, ...: consecutive numbers from 1, one script each. A script that
was applied is never edited: its checksum stands in the database, and a change is refused. So does whether
it only expands, for then an older release still runs. Pure decisions over values; the store applies them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from borough.errors import MigrationRefused
from borough.ports import Migration
from borough.services.data import Dialect
from borough.stores.revisions import read_revisions

__all__ = ["OWN", "Applied", "checksum", "migrations_of", "pending", "read_migrations"]

OWN = "borough"
"""The space of Borough's own tables: its migrations are no files that anybody here could put back or mend."""

_NAME = re.compile(r"(\d{4})_[a-z0-9][a-z0-9_]*\.(?:sql|py)\Z")


def migrations_of(service: Path, dialect: Dialect) -> tuple[Migration, ...]:
    """The migrations of a service, whose code lies in a folder, for a database; nothing where it has none at all.

    They lie in `migrations/DIALECT`; those for SQLite may lie in `migrations` itself, and those for PostgreSQL
    may be revisions in the Alembic environment `migrations/alembic`. Raises `MigrationRefused` where they are
    written for another database only.
    """
    folder = service / "migrations"
    if dialect == "postgres" and (folder / "alembic").is_dir():
        if (folder / dialect).is_dir():
            raise MigrationRefused(
                f"{folder} has migrations in postgres and in alembic; keep one of the two"
            )
        return read_revisions(folder / "alembic")
    has_folder = (folder / dialect).is_dir()
    if has_folder and (found := read_migrations(folder / dialect)):
        return found
    for_sqlite = any(folder.glob("*.sql"))
    if dialect == "sqlite" and for_sqlite:
        return () if has_folder else read_migrations(folder)
    others = (
        ["sqlite"] if for_sqlite else [p.name for p in folder.glob("*/") if any(p.glob("*.sql"))]
    )
    if (folder / "alembic").is_dir():
        others.append("postgres (by Alembic)")
    if others:
        raise MigrationRefused(
            f"its migrations are for {' and '.join(sorted(others))}, and its database is {dialect}: write them "
            f"for that in {folder / dialect}, or choose another store for it"
        )
    return ()


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """The folder's migrations in order; other files than `*.sql` are ignored.

    Raises `MigrationRefused` for a missing folder, a wrong name, a double or missing number, and a
    file that is not UTF-8.
    """
    if not folder.is_dir():
        raise MigrationRefused(f"{folder} is no folder. Create it, with `0001_NAME.sql` in it")
    found: list[Migration] = []
    for path in sorted(each for each in folder.iterdir() if each.suffix.lower() == ".sql"):
        try:
            text = path.read_text(encoding="utf-8-sig")
            found.append(Migration(path.name, text, path=str(path)))
        except UnicodeDecodeError as error:
            raise MigrationRefused(f"{path} is not UTF-8 ({error}). Save it as UTF-8") from error
        if "\0" in found[-1].sql:
            line = found[-1].sql.partition("\0")[0].count("\n") + 1
            raise MigrationRefused(f"{path}:{line} holds a NUL byte, which is no SQL. Remove it")
    _check_order(found, str(folder))
    return tuple(found)


def checksum(sql: str) -> str:
    """SHA-256 of a script; line ends do not count, so that a checkout on Windows is the same."""
    normalised = sql.replace("\r\n", "\n").replace("\r", "\n")
    return hashlib.sha256(normalised.encode()).hexdigest()


class Applied(msgspec.Struct, frozen=True):
    """What a database remembers of a migration. `expands`: whoever ran before can live with it."""

    checksum: str
    expands: bool = False


def pending(
    space: str, migrations: Sequence[Migration], applied: Mapping[str, Applied]
) -> list[Migration]:
    """What is left to apply, in order; `applied` is what was, by name.

    Later ones than the newest here are a newer release's, and may be there if they only expand.
    Raises `MigrationRefused` when an applied one was changed or is missing, or a number is wrong.
    """
    _check_order(migrations, f"the migrations of {space!r}")
    known = {migration.name: migration for migration in migrations}
    for name, recorded in sorted(applied.items()):
        migration = known.get(name)
        if migration is None and _is_later(name, migrations):
            if recorded.expands:
                continue
            if space == OWN:
                raise MigrationRefused(
                    f"a later version of Borough has changed its own tables in this database ({name}), and this one "
                    f"cannot work with them. Run that version, or put the data back as they were before it"
                )
            raise MigrationRefused(
                f"{_where(name, space, migrations)} was applied to this database by a newer release, and it takes away "
                f"or changes what this one needs. Run the release that has it"
            )
        is_other = migration is None or checksum(migration.sql) != recorded.checksum
        if is_other and space == OWN:
            raise MigrationRefused(
                f"another version of Borough has made its own tables in this database ({name}), and not one that this "
                f"one follows. Run that version"
            )
        if migration is None:
            raise MigrationRefused(
                f"{_where(name, space, migrations)} was applied to this database and is missing now. Put the "
                f"file back, or run the release that has it"
            )
        if is_other:
            raise MigrationRefused(
                f"{migration.told(space)} was changed after it was applied. Restore the file and put "
                f"the change into a new migration, {_next_name(migrations)}"
            )
    return [migration for migration in migrations if migration.name not in applied]


def _where(name: str, space: str, migrations: Sequence[Migration]) -> str:
    """Where a migration would stand that is not here: beside those that are."""
    path = migrations[0].path if migrations else ""
    return str(Path(path).with_name(name)) if path else f"{name} of {space!r}"


def _is_later(name: str, migrations: Sequence[Migration]) -> bool:
    match = _NAME.match(name)
    return match is not None and int(match[1]) > len(migrations)


def _check_order(migrations: Sequence[Migration], place: str) -> None:
    for number, migration in enumerate(migrations, 1):
        match = _NAME.match(migration.name)
        if match is None:
            raise MigrationRefused(
                f"{migration.name} in {place} is no migration's name. Call it "
                f"{number:04}_NAME.sql, in lower case"
            )
        given = int(match[1])
        if given < number:
            raise MigrationRefused(
                f"{migration.name} in {place} has a number that is taken. Call it "
                f"{_next_name(migrations)}"
            )
        if given > number:
            raise MigrationRefused(
                f"{migration.name} in {place} leaves a gap: number {number:04} is missing. Put "
                f"that file back, or renumber the ones that were never applied"
            )


def _next_name(migrations: Sequence[Migration]) -> str:
    if any(migration.environment for migration in migrations):
        return "a revision of its own"
    numbers = [int(match[1]) for m in migrations if (match := _NAME.match(m.name))]
    return f"{max(numbers, default=0) + 1:04}_NAME.sql"
