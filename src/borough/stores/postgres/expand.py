"""Whether the release that runs can live with a migration: it may add, and take nothing away.

Judged by what a script does, in doubt against it: new tables, indexes that refuse nothing, columns that may be
null or have a default, and rows of its own.
"""

from __future__ import annotations

import re

__all__ = ["expands"]

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


def expands(script: str) -> bool:
    """Whether every statement only adds."""
    statements = _COMMENT.sub(" ", script).split(";")
    told = [" ".join(statement.lower().split()) for statement in statements]
    return all(any(adds.fullmatch(each) for adds in _ADDS) for each in told if each)
