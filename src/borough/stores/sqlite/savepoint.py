"""A part of a body that may fail alone, with what it has gathered for the COMMIT."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from borough.ports import OutboxRow, ScheduledRow

__all__ = ["Savepoint"]


class _Body(Protocol):
    """What a savepoint needs of its transaction."""

    outbox: list[OutboxRow]
    scheduled: list[ScheduledRow] | None
    mark: object

    def enter_savepoint(self) -> int: ...

    def leave_savepoint(self, depth: int, error: BaseException | None) -> None: ...


class Savepoint:
    """`async with tx.savepoint():`; an exception rolls back to its start and goes on up."""

    __slots__ = ("_body", "_depth", "_mark", "_published", "_scheduled")

    def __init__(self, body: _Body) -> None:
        self._body = body

    async def __aenter__(self) -> None:
        body = self._body
        self._depth = body.enter_savepoint()
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
            self._body.leave_savepoint(self._depth, error)
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
