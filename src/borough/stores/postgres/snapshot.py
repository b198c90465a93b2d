"""Several reads that see one state: a repeatable read on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

from borough.clock import Clock
from borough.errors import DeadlineExceeded, TransactionMisuse
from borough.stores.postgres.connection import Connection, Control
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST, is_lost, statement_fault
from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.pool import Pool
from borough.stores.postgres.sql import Text
from borough.stores.row_reader import RowReader
from borough.stores.texts import Texts

__all__ = ["Snapshot"]

T = TypeVar("T")
# It is pinned by the first read, which is this one.
_PIN = "; select 1"


class Snapshot(RowReader):
    """`async with store.snapshot() as snapshot:`; it only reads."""

    def __init__(
        self, pool: Pool, texts: Texts[Text], clock: Clock, limits: PostgresLimits, deadline: float
    ) -> None:
        self._pool = pool
        self._texts = texts
        self._clock = clock
        self._limits = limits
        self._deadline = deadline
        self._connection: Connection | None = None

    async def __aenter__(self) -> Snapshot:
        while True:
            connection = await self._pool.take(self._deadline)
            left_s = max(self._deadline - self._clock.monotonic(), 0.001)
            try:
                await connection.control(Control.begin_snapshot(left_s) + _PIN, left_s)
                break
            except (*LOST, asyncpg.PostgresError) as error:
                self._pool.lose(connection)
                if not is_lost(error) or self._clock.monotonic() >= self._deadline:
                    raise statement_fault(error, "begin") from error
            except BaseException:
                self._pool.lose(connection)
                raise
        self._connection = connection
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        if isinstance(error, (GeneratorExit, asyncio.CancelledError)):  # may not wait
            self._pool.lose(connection)
            return
        try:
            await connection.control("rollback", self._limits.rollback_s)
        except (*LOST, asyncpg.PostgresError):
            self._pool.lose(connection)
        except BaseException:
            self._pool.lose(connection)
            raise
        else:
            self._pool.give_back(connection)

    @property
    def _row_limit(self) -> int:
        return self._limits.row_limit

    async def _read(self, kind: Any, sql: str, args: Sequence[Any], limit: int) -> list[Any]:
        connection = self._connection
        if connection is None:
            raise TransactionMisuse("the snapshot is over; its reads stand inside `async with`")
        text = self._texts[sql]
        left_s = self._deadline - self._clock.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded(f"the deadline passed before: {sql}")
        try:
            return await connection.rows(kind, text.sql, args, limit, left_s)
        except Exception as error:
            fault = statement_fault(error, sql)
            if fault is error:
                raise
            raise fault from error
