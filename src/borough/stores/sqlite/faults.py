"""SQLite's errors in the words of the error tree."""

from __future__ import annotations

import errno
import os
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

__all__ = [
    "DISK_FAULTS",
    "commit_fault",
    "known_remedy",
    "real_fault",
    "statement_fault",
    "unusable",
]

_CONSTRAINT = re.compile(r"^(?:\w+: )*(?:[\w ]+?) constraint failed: (.*)\Z", re.DOTALL)
_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (apsw.FullError, "the disk is full; free some space"),
    (apsw.ReadOnlyError, "the database, its folder or its disk is read-only; make them writable"),
    (apsw.NotADBError, "the file is no SQLite database; name another file or move this one away"),
    (apsw.CorruptError, "the database file is damaged; restore it from a backup"),
    (
        apsw.CantOpenError,
        "the file cannot be opened; look at the folder and its rights, and at how many files may be open (`ulimit -n`)",
    ),
    (apsw.IOError, "the disk failed; look at the machine's log"),
    (apsw.NoMemError, "memory ran out"),
)


DISK_FAULTS = (apsw.IOError, apsw.CantOpenError)
"""What SQLite says of a disk without saying why; the machine's error number does."""

_NUMBERS: dict[int, type[apsw.Error]] = {
    errno.ENOSPC: apsw.FullError,
    errno.EDQUOT: apsw.FullError,
    errno.EFBIG: apsw.FullError,
    errno.EROFS: apsw.ReadOnlyError,
}


def real_fault(error: apsw.Error, number: int) -> apsw.Error:
    """One of `DISK_FAULTS` as the error that `number`, the machine's own, makes of it."""
    kind = _NUMBERS.get(number, type(error))
    return kind(f"{error}: {os.strerror(number)}" if number else str(error))


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
    known = known_remedy(error)
    if known:
        return StoreUnavailable(f"{known} ({error})")
    if isinstance(error, apsw.Error):
        return StoreError(f"{error}: {sql}")
    if isinstance(error, (TypeError, ValueError)):
        return StoreError(f"a value cannot be stored ({error}): {sql}")
    return error


def commit_fault(error: BaseException) -> CommitFailed:
    """What every member of a group gets whose COMMIT failed."""
    return CommitFailed(
        f"nothing of it is kept: {known_remedy(error) or 'the commit failed'} ({error})"
    )


def unusable(path: str, error: BaseException) -> str:
    """Why a database cannot be opened, with the remedy."""
    return f"{path}: {known_remedy(error) or 'the database cannot be opened'} ({error})"


def known_remedy(error: BaseException) -> str:
    """What is wrong and what to do about it; empty for what is nobody's disk."""
    return next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), "")
