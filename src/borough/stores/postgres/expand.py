"""Whether the release that runs can live with a migration: it may add, and take nothing away.

Judged by what a script does, in doubt against it: new tables, indexes that refuse nothing, columns that may be
null or have a default, and rows of its own. What a function or a DO block does is not read, so neither only adds.
A revision of Alembic is Python, which is not judged: its author may say `expands = True` in it, and that it was
only said is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from borough.ports import Migration
from borough.stores.postgres.sql import statements_of
from borough.stores.revisions import is_revision, says_it_expands

__all__ = ["doubts", "expands", "refuse_contraction"]

_ADDS = re.compile(
    r"(?:create (?:unlogged )?table|create (?:or replace )?view|create index|comment on|insert into"
    r"|create (?:type|sequence|extension|domain)) .*",
    re.DOTALL,
)
_NARROWS = frozenset(
    (
        *("check", "constraint", "exclude", "generated", "primary", "references", "unique"),
        *("serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"),
    )
)
_ROWS = re.compile(r"(?:update|delete from|merge into) .*", re.DOTALL)


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
    """The statements that do not only add, in lower case."""
    found: list[str] = []
    for statement in statements_of(script):
        tokens = [token.lower() for token in statement]
        said = "".join(tokens).strip()
        if not (_ADDS.fullmatch(said) or _adds_columns([each for each in tokens if each != " "])):
            found.append(said)
    return found


def _adds_columns(tokens: list[str]) -> bool:
    """Whether a statement alters a table, and each of its actions adds a column that refuses nothing."""
    if tokens[:2] != ["alter", "table"]:
        return False
    rest = tokens[2:]
    if rest[:2] == ["if", "exists"]:
        rest = rest[2:]
    if rest[:1] == ["only"]:
        rest = rest[1:]
    rest = rest[1:]
    while rest[:1] == ["."]:
        rest = rest[2:]
    return all(_adds_column(action) for action in _actions(rest))


def _actions(tokens: list[str]) -> list[list[str]]:
    """What stands between the commas that are in no brackets."""
    actions: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token in "([") - (token in ")]")
        if token == "," and depth == 0:
            actions.append([])
        else:
            actions[-1].append(token)
    return actions


def _adds_column(action: list[str]) -> bool:
    if action[:2] != ["add", "column"] or any(token.strip('"') in _NARROWS for token in action):
        return False
    pairs = list(pairwise(action))
    has_default = any(one == "default" and other != "null" for one, other in pairs)
    return has_default or ("not", "null") not in pairs
