"""SQL that stands in the code of services, found without running it: the first table that is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType

__all__ = ["Statement", "first_table"]

_ASKS = re.compile(
    r"\s*(?:select\b.*?\bfrom|insert\s+(?:or\s+\w+\s+)?into|replace\s+into|delete\s+from|update(?=.*\bset\b))"
    r'\s+["`]?([a-z]\w*)',
    re.IGNORECASE | re.DOTALL,
)
_MAKES = re.compile(r"create\s+(?:temp\w*\s+|virtual\s+|unlogged\s+)?table\b", re.IGNORECASE)
_NOBODYS = (
    "sqlite_",
    "pg_",
    "borough_",
    "pragma_",
    "json_",
    "jsonb_",
    "generate_series",
    "information_schema",
)

Statement = tuple[str, int, str]
"""File, line of the function, and the table."""


def first_table(places: Iterable[ModuleType | type]) -> Statement | None:
    """The first statement about a table of one's own; None where there is none, or code makes tables itself."""
    found: Statement | None = None
    for place in places:
        for file, line, text in _texts(place):
            if _MAKES.search(text):
                return None
            asked = _ASKS.match(text)
            if found is None and asked and not asked[1].lower().startswith(_NOBODYS):
                found = file, line, asked[1]
    return found


def _texts(place: ModuleType | type) -> Iterator[tuple[str, int, str]]:
    """The texts of a class; of a module those of its own classes and functions, and its variables."""
    for value in list(vars(place).values()):
        if isinstance(place, ModuleType):
            if isinstance(value, str):
                yield str(place.__file__), 1, value
            if getattr(value, "__module__", None) != place.__name__:
                continue
            if isinstance(value, type):
                yield from _texts(value)
        function = getattr(value, "__func__", value)  # of static and class methods
        if isinstance(function, FunctionType):
            for code, text in _constants(function.__code__, function.__doc__):
                yield code.co_filename, code.co_firstlineno, text


def _constants(code: CodeType, doc: str | None = None) -> Iterator[tuple[CodeType, str]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _constants(constant)
        elif isinstance(constant, str) and constant != doc:
            yield code, constant
