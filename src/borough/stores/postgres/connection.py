"""One connection to the server: its session, and running a statement on it.

Each text is prepared once per connection, with how its values go and its rows come, and once more for serializable
transactions, whose plans look into indexes. A statement has two ends: the server's own `statement_timeout`, and
a little later one here, for a server that does not answer: `stop` where a `Lookout` looks after the connection,
as in transactions, or else the driver's timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from functools import lru_cache
from typing import Any

from borough.errors import StoreError
from borough.ports import Fetched
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST, is_lost
from borough.stores.postgres.incarnation import read_incarnation
from borough.stores.postgres.lookout import NEVER
from borough.stores.postgres.options import PostgresLimits
from borough.stores.postgres.values import Encoder
from borough.stores.rows import Columns, RowPlans

__all__ = ["GRACE_S", "Connection", "Control", "Tables", "connect"]

GRACE_S = 0.25
"""How much later than the server one ends here what is asked of it."""
_LEAST_MS = 1
_NO_TIMER = asyncpg.protocol.NO_TIMEOUT
_FAULTS = (*LOST, asyncpg.PostgresError)
_COPIES = "SyncRepWaitForLSN"
_OUTDATED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
_CHANGES = frozenset((b"INSERT", b"UPDATE", b"DELETE", b"MERGE "))


class _Prepared:
    """A statement that the server knows, with how its values go and what its columns are."""

    __slots__ = ("columns", "encoder", "kinds", "state", "statement")

    def __init__(self, sql: str, statement: Any) -> None:
        self.statement = statement
        self.state = statement._state
        self.encoder = Encoder(sql, [kind.name for kind in statement.get_parameters()])
        attributes = statement.get_attributes()
        self.columns: Columns = tuple((column.name, column.type.name) for column in attributes)
        self.kinds = tuple((column.name, int(column.type.oid)) for column in attributes)


class Control:
    """The texts with which a transaction begins, by what it is for."""

    @staticmethod
    @lru_cache(1024)
    def begin(left_ms: int, lock_s: float, serializable: bool) -> str:
        """Begin to read and write; each statement ends within `left_ms`."""
        level = "serializable" if serializable else "read committed"
        # A look through a whole small table would make every change of it a conflict.
        index = "; set local enable_seqscan = off" if serializable else ""
        left_ms = max(left_ms, _LEAST_MS)
        lock_ms = min(max(int(lock_s * 1000), _LEAST_MS), left_ms)
        return (
            f"begin isolation level {level} read write; set local statement_timeout = {left_ms}; "
            f"set local lock_timeout = {lock_ms}{index}"
        )

    @staticmethod
    def begin_snapshot(left_s: float) -> str:
        """Begin to read one state."""
        left_ms = max(_LEAST_MS, int(left_s * 1000))
        return f"begin isolation level repeatable read read only; set local statement_timeout = {left_ms}"


class Tables:
    """What the connections of one store know together: how often the tables were found changed."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0


class Connection:
    """An `asyncpg` connection with the store's session. Used by one task at a time.

    In a transaction a `Lookout` looks after it by its `due`; a connection that it has stopped `is_overdue`.
    """

    __slots__ = (
        "_changes",
        "_limits",
        "_numbered",
        "_plain",
        "_plans",
        "_prepared",
        "_protocol",
        "_serializable",
        "_tables",
        "due",
        "incarnation",
        "inner",
        "is_alone",
        "is_overdue",
    )

    def __init__(
        self,
        inner: Any,
        plans: RowPlans,
        limits: PostgresLimits,
        tables: Tables,
        incarnation: str | None,
    ) -> None:
        """`incarnation`: which life of the server it is a connection to, where that is known."""
        self.inner = inner
        self.incarnation = incarnation
        self.is_alone = False
        """Whether a COMMIT was answered without the copies that it was to wait for."""
        inner.add_log_listener(self._hear)
        # The driver's public methods give either the rows without a bound, or how many were changed,
        # and look up on each call what is known here.
        self._protocol = inner._protocol
        self._plans = plans
        self._limits = limits
        self._tables = tables
        self._changes = tables.changes
        self._numbered = 0
        self._plain: dict[str, _Prepared] = {}
        self._serializable: dict[str, _Prepared] = {}
        self._prepared = self._plain
        self.due = NEVER
        self.is_overdue = False

    def is_usable(self) -> bool:
        """Whether it is there, and no transaction is open on it."""
        return self._protocol.is_connected() and not self._protocol.is_in_transaction()

    def begin(self, left_s: float, serializable: bool) -> Coroutine[Any, Any, None]:
        """Begin to read and write; each statement ends within `left_s`."""
        if self._changes != self._tables.changes:  # another connection has met it
            self._forget()
        if serializable:
            self._prepared = self._serializable
        self.is_overdue = False
        text = Control.begin(int(left_s * 1000), self._limits.lock_s, serializable)
        begun: Coroutine[Any, Any, None] = self._protocol.query(text, None)
        return begun

    def end(self, text: str) -> Coroutine[Any, Any, None]:
        """Commit or roll back what `begin` began; where that fails, the connection is of no more use."""
        self._prepared = self._plain
        ended: Coroutine[Any, Any, None] = self._protocol.query(text, None)
        return ended

    async def value(self, sql: str, args: Sequence[Any]) -> Any:
        """Run a statement of the store's own; returns the first value of its first row.

        The driver takes and gives the values as they are.
        """
        try:
            prepared = self._prepared.get(sql) or await self._prepare(sql)
            found, _, _ = await self._sent(prepared, args, 1)
        except _FAULTS as error:
            self._raise_better(error)
            raise
        return found[0][0]

    async def control(self, text: str, within_s: float | None = None) -> None:
        """Run the store's own text, which may have several statements."""
        try:
            await self.inner.execute(text, timeout=within_s)
        except _FAULTS as error:
            self._raise_better(error)
            raise

    async def change(self, sql: str, args: Sequence[Any]) -> int:
        """Run a statement; returns how many rows it has changed."""
        try:
            prepared = self._prepared.get(sql) or await self._prepare(sql)
            _, status, _ = await self._sent(prepared, prepared.encoder.encode(args), 0)
        except _FAULTS as error:
            self._raise_better(error)
            raise
        return _changed(status)

    async def change_many(self, counted: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement that counts its rows for each of `rows`, all in one journey."""
        try:
            prepared = self._prepared.get(counted) or await self._prepare(counted)
            values = [prepared.encoder.encode(args) for args in rows]
            found = await prepared.statement.fetchmany(values)
        except _FAULTS as error:
            self._raise_better(error)
            raise
        return sum(record[0] for record in found)

    async def rows(
        self,
        kind: Any,
        sql: str,
        args: Sequence[Any],
        limit: int,
        left_s: float | None = None,
    ) -> list[Any]:
        """Run a statement and shape at most `limit` rows; one more is read, to be counted.

        `left_s` sets the driver's timer; without it somebody else looks after it.
        """
        try:
            prepared = self._prepared.get(sql) or await self._prepare(sql, left_s)
            if not prepared.columns:
                raise StoreError(f"the statement gives no rows: {sql}")
            values = prepared.encoder.encode(args)
            found, _, _ = await self._sent(prepared, values, limit + 1, left_s)
        except _FAULTS as error:
            self._raise_better(error)
            raise
        if not found:
            return []
        return self._plans.of(kind, prepared.columns)([tuple(record) for record in found])

    async def fetch(self, sql: str, args: Sequence[Any], limit: int) -> Fetched:
        """Run a statement; at most `limit` rows and one more come as they are."""
        try:
            prepared = self._prepared.get(sql) or await self._prepare(sql)
            values = prepared.encoder.encode(args)
            found, status, _ = await self._sent(prepared, values, limit + 1)
        except _FAULTS as error:
            self._raise_better(error)
            raise
        rows = [tuple(record) for record in found]
        return Fetched(prepared.kinds, rows, len(rows) or _changed(status))

    async def _prepare(self, sql: str, left_s: float | None = None) -> _Prepared:
        if len(self._prepared) >= self._limits.statements:
            self._prepared.clear()
        self._numbered += 1
        # Without a name the server would read and plan it anew each time.
        name = f"borough_{self._numbered}"
        within_s = None if left_s is None else left_s + GRACE_S
        prepared = _Prepared(sql, await self.inner.prepare(sql, name=name, timeout=within_s))
        self._prepared[sql] = prepared
        return prepared

    def _forget(self) -> None:
        self._plain.clear()
        self._serializable.clear()
        self._changes = self._tables.changes

    def _sent(
        self, prepared: _Prepared, values: Sequence[Any], limit: int, left_s: float | None = None
    ) -> Awaitable[tuple[list[Any], bytes | None, bool]]:
        """The driver's own coroutine: it gives the rows, how many were changed, and whether that was all."""
        within_s = _NO_TIMER if left_s is None else left_s + GRACE_S
        running: Awaitable[Any] = self._protocol.bind_execute(
            prepared.state, values, "", limit, True, within_s
        )
        return running

    def _raise_better(self, error: BaseException) -> None:
        """Raises `TimeoutError` where it was `stop` that ended the statement, which the error does not tell."""
        if isinstance(error, _OUTDATED):  # the tables are not what a statement was prepared for
            self._tables.changes += 1
            self._forget()
        elif self.is_overdue and is_lost(error):
            raise TimeoutError from error

    def _hear(self, _inner: Any, message: Any) -> None:
        """A word of the server's beside its answer, before it: a waiting that was ended is no error there."""
        if message.server_source_function == _COPIES:
            self.is_alone = True

    def stop(self, now: float) -> None:
        """What was due has not been answered: the server is asked to end it, and at the second time not waited for."""
        self.is_overdue = True
        if self._protocol.is_in_transaction() and not self._protocol._is_cancelling():
            self.due = now + GRACE_S
            self._protocol._request_cancel()
        else:  # or it was to begin a transaction, so nothing is lost
            self.due = NEVER
            self.give_up()

    def give_up(self) -> None:
        """Close it at once, whatever it does."""
        self.inner.terminate()

    async def close(self, within_s: float) -> None:
        """Close it in order, or at once where that takes too long."""
        try:
            await self.inner.close(timeout=within_s)
        except (TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
            self.inner.terminate()


async def connect(
    url: str,
    name: str,
    plans: RowPlans,
    limits: PostgresLimits,
    tables: Tables,
    within_s: float,
) -> Connection:
    """Make a connection; `name` is what the server shows of it. Raises what the driver raises."""
    inner = await asyncpg.connect(
        url,
        timeout=within_s,
        statement_cache_size=0,
        server_settings={"application_name": name[:63]},
    )
    try:
        async with asyncio.timeout(within_s):
            await inner.execute(_session(limits))
            incarnation = await read_incarnation(inner)
    except BaseException:
        inner.terminate()
        raise
    return Connection(inner, plans, limits, tables, incarnation)


@lru_cache(16)
def _session(limits: PostgresLimits) -> str:
    """What a session keeps to; said in it, for pgbouncer refuses it of who connects, or leaves it out."""
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": int(limits.wait_s * 1000),
        "lock_timeout": int(limits.lock_s * 1000),
        "idle_in_transaction_session_timeout": int(limits.body_s * 500),
        "synchronous_commit": "on",
        "timezone": "UTC",
        "jit": "off",  # it pays for long questions, of which a service has few
    }
    return "; ".join(f"set {name} = '{value}'" for name, value in settings.items())


@lru_cache(256)
def _changed(status: bytes | None) -> int:
    if not status or status[:6] not in _CHANGES:
        return 0
    return int(status[status.rindex(b" ") :])
