"""Whether the release that runs can live with a migration: it may add, and take nothing away.

Judged by what a script does, in doubt against it: new tables, indexes that refuse nothing, columns that may be
null or have a default, and rows of its own. A revision of Alembic is Python, which is not judged: its author
may say `expands = True` in it, and that it was only said is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from borough.ports import Migration
from borough.stores.revisions import is_revision, says_it_expands

__all__ = ["doubts", "expands", "refuse_contraction"]

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_ADDS = (
    re.compile(r"create (?:unlogged )?table .*"),
    re.compile(r"create (?:or replace )?view .*"),
    re.compile(r"create index .*"),
    re.compile(r"create (?:type|sequence|extension|function|domain) .*"),
    re.compile(r"comment on .*"),
    re.compile(r"insert into .*"),
    re.compile(
        r"alter table (?:if exists )?(?:only )?[\w.\"]+ add column (?:(?!not null|unique|references|check).)*"
    ),
    re.compile(
        r"alter table (?:if exists )?(?:only )?[\w.\"]+ add column"
        r" (?=.*\bdefault\b)(?:(?!unique|references|check).)*"
    ),
)


_ROWS = re.compile(r"(?:insert into|update|delete from|merge into) .*")


def expands(migration: Migration) -> bool:
    """Whether every statement only adds, or changes rows; of a revision, whether it says so."""
    if is_revision(migration):
        return says_it_expands(migration)
    return all(_ROWS.fullmatch(statement) for statement in _others(migration.sql))


def refuse_contraction(_applied: Sequence[Migration], new: Sequence[Migration]) -> list[str]:
    """Why the running version may not live with the schema that `new` makes, each with the remedy."""
    return [sentence for migration in new for sentence in _refusals(migration)]


def _refusals(migration: Migration) -> list[str]:
    if is_revision(migration):
        if says_it_expands(migration):
            return []
        return [
            f"{migration.name} is a revision of Alembic, whose Python cannot be judged. Where the release that runs "
            "can live with it, say so in it: `expands = True`; else stop that release first"
        ]
    return [
        f"{migration.name} does more than to add: {statement[:100]}. Let it add (a table, an index, a column with "
        "a default), and take away in a release after the one that no longer uses it"
        for statement in _others(migration.sql)
        if not _ROWS.fullmatch(statement)
    ]


def doubts(_applied: Sequence[Migration], new: Sequence[Migration]) -> list[str]:
    """What is allowed and should be looked at: rows that are changed or deleted, and what could not be judged."""
    return [sentence for migration in new for sentence in _doubts(migration)]


def _doubts(migration: Migration) -> list[str]:
    if is_revision(migration):
        if not says_it_expands(migration):
            return []
        return [
            f"{migration.name} says of itself that it only adds; as it is Python, that was not judged"
        ]
    return [
        f"{migration.name} changes rows: {statement[:100]}"
        for statement in _others(migration.sql)
        if _ROWS.fullmatch(statement)
    ]


def _others(script: str) -> list[str]:
    """The statements that do not only add, in lower case and on one line."""
    statements = _COMMENT.sub(" ", script).split(";")
    told = [" ".join(statement.lower().split()) for statement in statements]
    return [each for each in told if each and not any(adds.fullmatch(each) for adds in _ADDS)]
