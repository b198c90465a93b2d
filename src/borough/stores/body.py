"""What a transaction of any store is while it is open: what it gathers for its COMMIT, and what dooms it.

A failed statement dooms the body, or only its innermost `savepoint()`: what failed is raised again by
whatever comes next, and leaving the body says so. The engines differ in how they run statements, not in this.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from borough.contracts.struct import Event
from borough.errors import (
    CommitFailed,
    ConstraintViolated,
    KeyInUse,
    StoreError,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
    UnstorableText,
)
from borough.ports import Companion, Fetched, OutboxRow, ScheduledRow
from borough.reliability.position import position_of
from borough.services.context import IN_TRANSACTION, OpenTransaction
from borough.stores.row_reader import RowReader

__all__ = ["StoreBody"]

T = TypeVar("T")
_THEMSELVES = (
    CommitFailed,
    ConstraintViolated,
    KeyInUse,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
    UnstorableText,
)


class StoreBody(RowReader):
    """A body of statements. `home` is what all transactions of one store share."""

    __slots__ = (
        "_companion",
        "_depth",
        "_doomed",
        "_doomed_depth",
        "_entered",
        "_lose",
        "_outer",
        "home",
        "is_committed",
        "is_open",
        "mark",
        "outbox",
        "scheduled",
        "sequence",
    )

    def __init__(self, home: object, companion: Companion | None) -> None:
        self.home = home
        self._companion = companion
        self.outbox: list[OutboxRow] = []
        self.scheduled: list[ScheduledRow] | None = None
        self.mark: object = None
        self.sequence = 0
        self.is_open = False
        self.is_committed = False
        self._entered = False
        self._lose: Callable[[StoreError], None] | None = None
        self._depth = 0
        self._doomed: BaseException | None = None
        self._doomed_depth = 0
        self._outer: OpenTransaction | None = None

    # --- entering and leaving ---------------------------------------------------------------------

    def _refuse_nesting(self, outer: OpenTransaction | None) -> None:
        if self._entered:
            raise TransactionMisuse("this transaction was entered before; ask for a new one")
        while isinstance(outer, StoreBody):
            if outer.home is self.home and outer.is_open:
                raise TransactionMisuse(
                    "transaction() inside a transaction() of the same service. Pass the `tx` "
                    "on, or use tx.savepoint() for a part that may fail alone"
                )
            outer = outer._outer

    def _open(self, outer: OpenTransaction | None) -> None:
        self._entered = self.is_open = True
        self._outer = outer
        IN_TRANSACTION.set(self)

    def _close(self) -> None:
        self.is_open = False
        if IN_TRANSACTION.get() is self:  # a generator may be left in another context
            IN_TRANSACTION.set(self._outer)
        self._outer = None

    def _tell_committed(self) -> None:
        self.is_committed = True
        if self.outbox or self.scheduled or self.mark is not None:
            assert self._companion is not None
            self._companion.committed(self)

    def _raise_why(self) -> NoReturn:
        doomed = self._doomed
        if doomed is None:
            raise TransactionMisuse("the body ended inside a savepoint()")
        if isinstance(doomed, _THEMSELVES):
            raise doomed
        raise TransactionMisuse(
            f"a statement failed, so nothing of the transaction is kept; the body went on all the "
            f"same. Let the error pass, or use tx.savepoint(). It was: {doomed}"
        ) from doomed

    # --- what is gathered -------------------------------------------------------------------------

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part that may fail alone, with what it published and answered."""
        return _Savepoint(self)

    def publish(
        self, event: Event, /, *, at: datetime | None = None, after: timedelta | None = None
    ) -> str:
        """Publish an event when the transaction commits, or at a time; returns its id."""
        if at is None and after is None and self._companion is not None:
            return self._companion.publish(self, event)
        return self._added().schedule(self, event, at, after)

    async def cancel(self, event_id: str, /) -> bool:
        """Take an event back that was published for later."""
        return await self._added().cancel(self, event_id)

    @property
    def position(self) -> str:
        """After the block: the place of what it has published."""
        if not self.is_committed:
            raise TransactionMisuse("a position is had after the block of the transaction")
        return position_of([row[1] for row in self.outbox], self.sequence)

    async def answer(self, value: T, /) -> T:
        """Store the keyed operation's answer with the effects, and return it."""
        return await self._added().answer(self, value)

    def _added(self) -> Companion:
        if self._companion is None:
            raise TransactionMisuse("this transaction belongs to no service; it publishes nothing")
        return self._companion

    # --- failing ----------------------------------------------------------------------------------

    def _check(self) -> None:
        if not self.is_open:
            raise TransactionMisuse(
                "the transaction is over; its statements stand inside `async with`"
            )
        if self._doomed is not None:
            if isinstance(self._doomed, (KeyInUse, TransactionMisuse, StoreUnavailable)):
                raise self._doomed
            raise TransactionMisuse(
                f"a statement of this transaction has failed; only leaving it, or the savepoint, "
                f"is left. It was: {self._doomed}"
            ) from self._doomed

    def doom(self, error: BaseException, /, *, whole: bool = False) -> None:
        """Nothing is kept, or nothing of the innermost savepoint unless `whole`; leaving it says why."""
        if self._doomed is None:
            self._doomed = error
            self._doomed_depth = -1 if whole else self._depth

    # --- the COMMIT -------------------------------------------------------------------------------

    def commit_asynchronously(self, lose: Callable[[StoreError], None], /) -> None:
        """See `StoreTransaction`."""
        self._lose = lose

    # --- what an engine does in its own way -------------------------------------------------------

    @abstractmethod
    async def execute(self, sql: str, /, *args: Any) -> int:
        """Run one statement; returns the number of rows changed."""

    @abstractmethod
    async def many(self, sql: str, rows: Sequence[Sequence[Any]], /) -> int:
        """Run one statement for each row of parameters; returns the number of rows changed."""

    @abstractmethod
    async def fetch(self, sql: str, args: Sequence[Any], /) -> Fetched:
        """Run one statement of a guest, which shapes rows by itself."""

    @abstractmethod
    async def enter_savepoint(self) -> int:
        """Begin a part; returns its depth."""

    @abstractmethod
    async def leave_savepoint(self, depth: int, error: BaseException | None) -> None:
        """End a part: keep it, or undo it and clear what doomed it."""


class _Savepoint:
    """`async with tx.savepoint():`; an exception rolls back to its start and goes on up."""

    __slots__ = ("_body", "_depth", "_mark", "_published", "_scheduled")

    def __init__(self, body: StoreBody) -> None:
        self._body = body

    async def __aenter__(self) -> None:
        body = self._body
        self._depth = await body.enter_savepoint()
        self._published = len(body.outbox)
        # A copy: what was gathered before may be cancelled inside.
        self._scheduled = None if body.scheduled is None else body.scheduled.copy()
        self._mark = body.mark

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._body.leave_savepoint(self._depth, error)
        except BaseException:
            self._forget_gathered()
            raise
        if error is not None:
            self._forget_gathered()

    def _forget_gathered(self) -> None:
        body = self._body
        del body.outbox[self._published :]
        body.scheduled = self._scheduled
        body.mark = self._mark
