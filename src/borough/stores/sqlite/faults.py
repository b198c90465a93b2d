"""SQLite's errors in the words of the error tree."""

from __future__ import annotations

import re

import apsw

from borough.errors import (
    CommitFailed,
    ConstraintViolated,
    StoreError,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
)

__all__ = ["commit_fault", "statement_fault", "unusable"]

_CONSTRAINT = re.compile(r"^(?:\w+: )*(?:[\w ]+?) constraint failed: (.*)\Z", re.DOTALL)
_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (apsw.FullError, "the disk is full; free some space"),
    (apsw.ReadOnlyError, "the database or its folder is read-only; make both writable"),
    (apsw.NotADBError, "the file is no SQLite database; name another file or move this one away"),
    (apsw.CorruptError, "the database file is damaged; restore it from a backup"),
    (apsw.CantOpenError, "the file cannot be opened; look at the folder and its rights"),
    (apsw.IOError, "the disk failed; look at the machine's log"),
    (apsw.NoMemError, "memory ran out"),
)


def statement_fault(error: BaseException, sql: str) -> BaseException:
    """What a failed statement raises; what is no error of the engine stays itself."""
    if isinstance(error, apsw.ConstraintError):
        found = _CONSTRAINT.match(str(error))
        name = found[1] if found else ""
        return ConstraintViolated(str(error), name.removeprefix("index '").removesuffix("'"))
    if isinstance(error, apsw.AuthError):
        return TransactionMisuse(f"not for a service's statement ({error}): {sql}")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return TransactionConflict(f"another program holds the database: {error}")
    if isinstance(error, OverflowError):
        return StoreError(f"an int does not fit into 64 bits: {sql}")
    known = _known(error)
    if known:
        return StoreUnavailable(f"{known} ({error})")
    if isinstance(error, apsw.Error):
        return StoreError(f"{error}: {sql}")
    if isinstance(error, (TypeError, ValueError)):
        return StoreError(f"a value cannot be stored ({error}): {sql}")
    return error


def commit_fault(error: BaseException) -> CommitFailed:
    """What every member of a group gets whose COMMIT failed."""
    return CommitFailed(f"nothing of it is kept: {_known(error) or 'the commit failed'} ({error})")


def unusable(path: str, error: BaseException) -> str:
    """Why a database cannot be opened, with the remedy."""
    return f"{path}: {_known(error) or 'the database cannot be opened'} ({error})"


def _known(error: BaseException) -> str:
    return next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), "")
