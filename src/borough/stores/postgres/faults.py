"""PostgreSQL's errors, by SQLSTATE, in the words of the error tree."""

from __future__ import annotations

import re

from borough.errors import (
    CommitFailed,
    ConfigurationError,
    ConstraintViolated,
    StoreError,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
    UnstorableText,
)
from borough.stores.out_of_time import out_of_time
from borough.stores.postgres.driver import asyncpg

__all__ = [
    "LOST",
    "WRONG_URL",
    "commit_fault",
    "connect_fault",
    "is_lost",
    "is_wrong_url",
    "statement_fault",
]

LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)
"""What a connection raises that is gone, or does not answer."""

WRONG_URL = (ValueError, OverflowError)
"""What the driver raises of a URL that it cannot read, or does not know how to follow."""

_OUT_OF_RANGE = re.compile(r"out of int\d+ range|integer out of range")
_ZERO = re.compile(r"0x00|\\u0000")
_UNSTORABLE = frozenset(("22021", "22P05"))
_CONFLICTS = frozenset(("40001", "40P01"))
_CUT_OFF = frozenset(("57P01", "57P02", "57P03", "57P04", "57P05", "25P03"))
_WRONG_ADDRESS = frozenset(("28000", "28P01", "3D000", "42501"))


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone: nobody says what became of the last thing that was asked."""
    state = _state(error)
    if state is not None:
        return state in _CUT_OFF or state.startswith("08")
    return isinstance(error, LOST)


def is_wrong_url(error: BaseException) -> bool:
    """Whether the URL cannot be used at all; a certificate that does not hold is not its fault."""
    return isinstance(error, WRONG_URL) and not isinstance(error, OSError)


def statement_fault(error: BaseException, sql: str) -> BaseException:
    """What a failed statement raises; what is no error of the engine stays itself."""
    state = _state(error)
    if state is None:
        return _client_fault(error, sql)
    if isinstance(error, asyncpg.DataError):
        return _data_fault(error, sql)
    if state.startswith("23"):
        return ConstraintViolated(_said(error), _constraint(error))
    if state in _CONFLICTS:
        return TransactionConflict(f"another transaction was first: {error}")
    if isinstance(error, (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)):
        return TransactionConflict(f"the tables were changed meanwhile: {error}")
    if state == "57014":
        return out_of_time(sql, is_calls=True)
    if state == "55P03":
        return StoreUnavailable(f"another transaction kept its lock for too long: {sql}")
    if state == "25006":
        return TransactionMisuse(f"outside transaction() one only reads: {sql}")
    if state == "25P03":
        return TransactionMisuse(
            "the body held its transaction open without a statement for too long, and was undone; "
            "wait for other things before or after the transaction"
        )
    if state == "42601" and "multiple commands" in str(error):
        return TransactionMisuse(f"one statement at a time; a second one follows in: {sql}")
    if state == "2D000":  # COMMIT inside of a DO block
        return TransactionMisuse(f"a transaction is ended by leaving its block: {sql}")
    if state in _CUT_OFF or state[:2] in ("08", "53", "58"):
        return StoreUnavailable(f"{_said(error)}")
    return StoreError(f"{_said(error)}: {sql}")


def _client_fault(error: BaseException, sql: str) -> BaseException:
    if isinstance(error, TimeoutError):
        return out_of_time(sql, is_calls=True)
    if isinstance(error, LOST):
        return StoreUnavailable(f"the connection to the database is gone ({error})")
    if isinstance(error, (TypeError, ValueError)):
        return StoreError(f"a value cannot be stored ({error}): {sql}")
    return error


def _data_fault(error: BaseException, sql: str) -> StoreError:
    """What the driver, or the server, says of a value."""
    said = _said(error)
    if _state(error) in _UNSTORABLE and _ZERO.search(f"{said} {getattr(error, 'detail', '')}"):
        return UnstorableText(f"text with a zero character cannot be stored: {sql}")
    if _OUT_OF_RANGE.search(said):
        return StoreError(f"an int does not fit into its column: {sql}")
    if said.startswith("invalid input for query argument"):
        return StoreError(f"a value cannot be stored ({said}): {sql}")
    return StoreError(f"{said}: {sql}")


def commit_fault(error: BaseException) -> StoreError:
    """What a COMMIT raises that the server has refused: nothing of it is kept."""
    state = _state(error)
    if state is not None and state.startswith("23"):
        return ConstraintViolated(_said(error), _constraint(error))
    if state in _CONFLICTS:
        return TransactionConflict(f"another transaction was first: {error}")
    return CommitFailed(f"nothing of it is kept: {_said(error)}")


def connect_fault(error: BaseException, name: str) -> ConfigurationError | StoreUnavailable:
    """Why there is no connection to the database that goes by `name`, which tells no password."""
    if is_wrong_url(error):  # whose text may quote the password
        return ConfigurationError(
            f"{name}: its URL cannot be used. Say in data.postgres.url a port of 1 to 65535, and options that "
            "PostgreSQL knows (as sslmode=verify-full, with the files that it names)"
        )
    state = _state(error)
    if state in _WRONG_ADDRESS:
        return ConfigurationError(
            f"{name}: {_said(error)}. Make the database and its role with `borough db create`, "
            "and say in data.postgres.url where they are"
        )
    if state == "53300":
        return StoreUnavailable(f"{name}: the server has no connection left ({_said(error)})")
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"{name} does not answer in time")
    return StoreUnavailable(f"{name} cannot be reached: {_said(error)}")


def _state(error: BaseException) -> str | None:
    found = getattr(error, "sqlstate", None) if isinstance(error, asyncpg.PostgresError) else None
    return found if isinstance(found, str) else None


def _said(error: BaseException) -> str:
    """What the server said, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _constraint(error: BaseException) -> str:
    """The name of the constraint; of a column that must not be null its own."""
    name = getattr(error, "constraint_name", None)
    if name:
        return str(name)
    table, column = getattr(error, "table_name", None), getattr(error, "column_name", None)
    return f"{table}.{column}" if table and column else ""
