"""A service's own database as its code sees it. SQL is the interface; `$1` are the parameters.

Rows come back as the type asked for: a `Struct` (columns by field name), a scalar (the first
column) or `dict`. `transaction()` is serializable on every store; what it publishes and answers
is released only after COMMIT.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeVar

from borough.contracts.struct import Event

__all__ = ["Database", "Dialect", "Reader", "Transaction"]

T = TypeVar("T")

Dialect = Literal["sqlite", "postgres"]
"""The SQL that a database speaks; a service's folder of migrations is called so."""


class Reader(Protocol):
    """Questions to the database."""

    async def one(self, kind: type[T], sql: str, /, *args: Any) -> T:
        """The only row. Raises `WrongRowCount` on none or several."""
        ...

    async def maybe(self, kind: type[T], sql: str, /, *args: Any) -> T | None:
        """The only row or None. Raises `WrongRowCount` on several."""
        ...

    async def all(self, kind: type[T], sql: str, /, *args: Any) -> list[T]:
        """Every row, at most the store's row limit."""
        ...


class Transaction(Reader, Protocol):
    """A body of statements that commits whole or not at all. Calls to other services are refused inside."""

    async def execute(self, sql: str, /, *args: Any) -> int:
        """Run one statement; returns the number of rows changed.

        Raises `ConstraintViolated`; the transaction is then doomed, unless inside `savepoint()`.
        """
        ...

    async def many(self, sql: str, rows: Sequence[Sequence[Any]], /) -> int:
        """Run one statement for each row of parameters; returns the number of rows changed."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part that may fail alone: an exception rolls back to its start and goes on up. Nests."""
        ...

    def publish(
        self, event: Event, /, *, at: datetime | None = None, after: timedelta | None = None
    ) -> str:
        """Publish an event of one of this service's contracts when the transaction commits; returns its id.

        With `at` (aware) or `after` it is kept with the rows and takes its place when it is due; a
        time that has passed is now. Raises `TransactionMisuse`.
        """
        ...

    async def cancel(self, event_id: str, /) -> bool:
        """Take an event back that was published for later; returns whether it was still waiting."""
        ...

    @property
    def position(self) -> str:
        """After the block: the place of what it has published, for `Projections.reached`.

        Empty without events. Raises `TransactionMisuse` before.
        """
        ...

    async def answer(self, value: T, /) -> T:
        """Store the keyed operation's answer (a value or a `Problem`) with the effects, and return it.

        Outside a keyed call it only returns the value. Raises `KeyInUse` when another run took the key over.
        """
        ...


class Database(Reader, Protocol):
    """A service's own database, nobody else's. Reads outside a transaction see the last commit."""

    @property
    def dialect(self) -> Dialect:
        """The SQL that it speaks, for a service that promises both and has to say something in two ways."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a serializable transaction; leaving the block commits, an exception rolls back.

        Raises `CommitFailed`, `TransactionConflict`, or `StoreUnavailable` when the writer cannot be had.
        """
        ...

    async def transact(self, body: Callable[[Transaction], Awaitable[T]], /) -> T:
        """Run `body` in a transaction, again where another one was first; returns what it returns.

        Only what it does by its transaction may count, for it may run several times. Raises
        `TransactionConflict` where that takes too many runs, and what `transaction()` raises.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Reader]:
        """Several reads that see one state."""
        ...
