"""SQL text as the store accepts it: one statement, no control of the transaction or the session.

The server refuses a second statement itself, and outside of a transaction it refuses to write; here it is
read what must not come to it at all, and what the statement does. A text is read once and kept.
"""

from __future__ import annotations

import re
from itertools import pairwise

from borough.errors import StoreError, TransactionMisuse

__all__ = ["Text", "first_words", "read_text", "statements_of"]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?:(?P=tag)|\Z))
    |(?P<word>[^\W\d][\w$]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_CONTROL = frozenset(
    (
        *(
            "BEGIN",
            "START",
            "COMMIT",
            "END",
            "ROLLBACK",
            "ABORT",
            "SAVEPOINT",
            "RELEASE",
            "PREPARE",
        ),
        *("SET", "RESET", "DISCARD", "LISTEN", "UNLISTEN", "DEALLOCATE", "EXECUTE", "DECLARE"),
        *("FETCH", "MOVE", "CLOSE", "COPY", "LOAD"),
    )
)
_SESSION = re.compile(
    r"^(?:set_config|pg_(?:try_)?advisory_(?:un)?lock(?:_shared|_all)?)$", re.IGNORECASE
)
"""Functions that change the session: it is another's after the statement, who would not know."""
_CHANGES = frozenset(("INSERT", "UPDATE", "DELETE"))


class Text:
    """One text. `counted` is a form of it that gives the number of rows it changes.

    Many of the latter travel together, and answer with a number each; it is empty where there is none.
    """

    __slots__ = ("counted", "sql")

    def __init__(self, sql: str, verb: str, *, returns: bool) -> None:
        self.sql = sql
        plain = verb in _CHANGES and not returns
        self.counted = (
            f"with borough_changed as ({sql} returning 1) select count(*) from borough_changed"
            if plain
            else ""
        )


def read_text(sql: str) -> Text:
    """Read a text. Raises `TransactionMisuse` for one that is refused, `StoreError` for one that is none."""
    tokens = [token for token in _TOKEN.finditer(sql) if token.lastgroup != "skip"]
    words = [token[0].upper() for token in tokens if token.lastgroup == "word"]
    if not words:
        raise StoreError("the statement is empty")
    first = words[0]
    if first in _CONTROL:
        raise TransactionMisuse(
            f"{first} is not for a statement: transaction() and tx.savepoint() begin and end "
            f"transactions, and the session is the store's. In: {sql}"
        )
    for token, following in pairwise(tokens):
        if following[0] == "(" and _SESSION.match(token[0].strip('"')):
            raise TransactionMisuse(
                f"{token[0]} changes the session, which is the store's; a lock that ends with its transaction is "
                f"pg_advisory_xact_lock. In: {sql}"
            )
    has_end = any(token[0] == ";" for token in tokens)
    has_comment = "--" in sql
    return Text(sql, first, returns=has_end or has_comment or "RETURNING" in words)


def first_words(script: str) -> list[str]:
    """The first bare word of each statement of a script, in upper case."""
    found: list[str] = []
    at_start = True
    for token in _TOKEN.finditer(script):
        if token.lastgroup == "word" and at_start:
            found.append(token[0].upper())
            at_start = False
        elif token[0] == ";":
            at_start = True
    return found


def statements_of(script: str) -> list[list[str]]:
    """The statements of a script, each as its tokens, with one space for what is between them."""
    statements: list[list[str]] = [[]]
    for token in _TOKEN.finditer(script):
        tokens = statements[-1]
        if token[0] == ";":
            statements.append([])
        elif token.lastgroup != "skip":
            tokens.append(token[0])
        elif tokens and tokens[-1] != " ":
            tokens.append(" ")
    return [statement for statement in statements if statement]
