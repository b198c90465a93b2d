"""SQL text as the store accepts it: one statement, `$1` parameters, no transaction control.

A text is read once and kept: its numbered form (`?1`) that SQLite binds by number, how many values
it wants, whether it reads or writes, and whether it proved slow. The authorizer on the connection
is what enforces the refusals; here they get a clear message before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from borough.errors import StoreError, TransactionMisuse

__all__ = ["Statement", "read_statement", "refuse_rollback_clauses"]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |\$(?P<number>[0-9]+)(?![\w$])
    |(?P<foreign>\?[0-9]*|[:@$#][A-Za-z_0-9]+)
    |(?P<word>[^\W\d][\w$]*)
    |(?P<literal>[0-9][\w.]*)
    |(?P<end>;)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_CONTROL = frozenset(
    ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM")
)
_READS = frozenset(("SELECT", "VALUES", "EXPLAIN", "PRAGMA"))
_CHANGES = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE"))
_VERBS = _CHANGES.union(("SELECT", "VALUES"))
_OPERATORS = frozenset(("<=", ">=", "<>", "!=", "==", "||", "<<", ">>", "->", "->>"))
_FAST_AGAIN = 16
_LAST_PARAMETER = 32_766


class Statement:
    """One text: `numbered` is what SQLite gets. `slow` texts start off the event loop.

    `returns` says whether it may give rows; what surely gives none needs no step to its end. `limits` are the numbers
    of the parameters that are limits.
    """

    __slots__ = (
        "_fast",
        "changes",
        "count",
        "limits",
        "numbered",
        "reads",
        "returns",
        "slow",
        "sql",
    )

    def __init__(
        self,
        sql: str,
        numbered: str,
        count: int,
        verb: str,
        *,
        returns: bool,
        limits: frozenset[int] = frozenset(),
    ) -> None:
        self.sql = sql
        self.numbered = numbered
        self.count = count
        self.limits = limits
        self.changes = verb in _CHANGES
        self.reads = verb in _READS
        self.returns = returns
        self.slow = False
        self._fast = 0

    def seemed_slow(self) -> None:
        """A run on the loop took too long. That may be the machine: of a read the next run, in a thread, decides.

        A write is not interrupted, so one that is slow for some rows only stays off the loop.
        """
        if not self.slow:
            self.slow = True
            self._fast = _FAST_AGAIN - 1 if self.reads else 0

    def worked(self, seconds: float, limit: float) -> None:
        """Note what a run in a thread took of a core: more than the limit is slow, often well below it quick again."""
        if seconds > limit:
            self.slow = True
            self._fast = 0
        elif self.slow and seconds < limit / 2:
            self._fast += 1
            if self._fast >= _FAST_AGAIN:
                self.slow = False
                self._fast = 0


def read_statement(sql: str, computed: Collection[str] = ()) -> Statement:
    """Read a text. Raises `TransactionMisuse` for one that is refused, `StoreError` for one that is none.

    A parameter after one of the words `computed`, in upper case, gets a plus, which changes nothing but how SQLite
    plans: see `planning`.
    """
    parts: list[str] = []
    words: list[str] = []
    numbers: set[int] = set()
    limits: set[int] = set()
    ended = False
    before = ""
    for token in _TOKEN.finditer(sql):
        kind, text = token.lastgroup, token[0]
        if kind == "skip":
            parts.append(text)
            continue
        after, before = before, text.upper()
        if kind == "end":
            ended = "TRIGGER" not in words[:4]  # whose body has its own semicolons
            parts.append(text)
            continue
        if ended:
            raise TransactionMisuse(f"one statement at a time; a second one follows in: {sql}")
        if kind == "number":
            number = int(token["number"])
            if not 1 <= number <= _LAST_PARAMETER:
                raise StoreError(f"{text} is no parameter; they count from $1 in: {sql}")
            numbers.add(number)
            if after == "LIMIT":
                limits.add(number)
            parts.append(f"+?{number}" if after in computed else f"?{number}")
            continue
        if kind == "foreign":
            raise StoreError(f"{text} is no parameter; write $1, $2, ... in: {sql}")
        words.append(text.upper() if kind == "word" else text if text in "()" else "")
        parts.append(text)
    first = next((word for word in words if word not in "()"), "")
    _refuse(first, words, sql)
    verb = _main_verb(first, words)
    returns = verb not in _CHANGES or "RETURNING" in words
    return Statement(
        sql,
        "".join(parts),
        _count(numbers, sql),
        verb,
        returns=returns,
        limits=frozenset(limits),
    )


def _count(numbers: set[int], sql: str) -> int:
    """How many values a text wants. Refused is one that would pass over some: PostgreSQL knows no type for those."""
    for number in range(1, len(numbers) + 1):
        if number not in numbers:
            raise StoreError(f"${number} is not used, and ${max(numbers)} is, in: {sql}")
    return len(numbers)


def _main_verb(first: str, words: list[str]) -> str:
    """What the statement does; after WITH it is the first verb outside of parentheses."""
    depth = 0
    for word in words if first == "WITH" else ():
        depth += (word == "(") - (word == ")")
        if depth == 0 and word in _VERBS:
            return word
    return first


def _refuse(first: str, words: list[str], sql: str) -> None:
    if not first:
        raise StoreError("the statement is empty")
    if first in _CONTROL:
        raise TransactionMisuse(
            f"{first} is not for a statement: transaction() and tx.savepoint() begin and end "
            f"transactions, and a service has one database. In: {sql}"
        )
    refuse_rollback_clauses(words, sql)


def refuse_rollback_clauses(words: list[str], sql: str) -> None:
    """Refuse `OR ROLLBACK`, `ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK`: they end others' bodies."""
    for index, word in enumerate(words):
        if word == "ROLLBACK" and index and words[index - 1] in ("OR", "CONFLICT", "("):
            raise TransactionMisuse(
                f"{words[index - 1]} ROLLBACK is refused: it would undo other transactions of the "
                f"same commit. Use ABORT, which undoes this one. In: {sql}"
            )


def tokens_of(script: str) -> list[str]:
    """A script without spaces and comments; what is not quoted is in lower case."""
    found: list[str] = []
    end = 0
    for token in _TOKEN.finditer(script):
        if token.lastgroup == "skip":
            continue
        text = token[0] if token.lastgroup == "quoted" else token[0].lower()
        if found and token.start() == end and found[-1] + text in _OPERATORS:
            found[-1] += text
        else:
            found.append(text)
        end = token.end()
    return found


def words_of(script: str) -> list[str]:
    """The bare words of a script in upper case, with its parentheses; the rest is ''."""
    words: list[str] = []
    for token in _TOKEN.finditer(script):
        if token.lastgroup != "skip":
            text = token[0]
            words.append(
                text.upper() if token.lastgroup == "word" else text if text in "()" else ""
            )
    return words
