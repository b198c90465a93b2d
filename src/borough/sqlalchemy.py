"""SQLAlchemy as a guest: a Session, or Core, on the connection of a transaction that is open.

Its statements take the way of all others, through `tx`: the same deadlines and faults, and the same COMMIT as the
events. The transaction stays the store's: `begin_nested` is `tx.savepoint()`, `commit` is refused, and `rollback`
dooms. Only PostgreSQL takes guests.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NoReturn, cast

from borough.errors import ConfigurationError, TransactionMisuse
from borough.ports import StoreTransaction
from borough.services.data import Transaction

try:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session, SessionTransaction

    from borough.stores.postgres.guest import visit
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"borough.sqlalchemy needs {missing.name}: pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH[sqlalchemy]'"
    ) from None

__all__ = ["connection", "session"]


class _GuestSession(Session):
    """A session that neither begins nor commits."""

    def begin(self, nested: bool = False) -> SessionTransaction:
        """Begin a part; the whole has begun."""
        if not nested:
            raise TransactionMisuse("the transaction has begun; leave begin() out")
        part = super().begin(nested=True)
        self.connection()  # the savepoint is set now, and not at its first statement
        return part

    def commit(self) -> NoReturn:
        """Refused."""
        raise TransactionMisuse(
            "leaving the block of the transaction commits; leave commit() out, or use flush()"
        )


@asynccontextmanager
async def connection(tx: Transaction) -> AsyncGenerator[AsyncConnection]:
    """Core on the connection of `tx`. Leaving the block leaves the transaction open.

    Statements raise what those of `tx` raise (`ConstraintViolated`, not SQLAlchemy's `IntegrityError`), and doom
    it likewise. Raises `TransactionMisuse`, on SQLite at the first statement.
    """
    async with visit(cast(StoreTransaction, tx)) as opened:
        yield opened


@asynccontextmanager
async def session(tx: Transaction, **options: Any) -> AsyncGenerator[AsyncSession]:
    """A session on the connection of `tx`; `options` are those of `AsyncSession`.

    Leaving the block flushes, and leaves the transaction open. Objects keep what was loaded afterwards. What
    fails, fails as in `connection`.
    """
    async with connection(tx) as opened:
        options.setdefault("expire_on_commit", False)
        made = AsyncSession(
            bind=opened,
            sync_session_class=_GuestSession,
            join_transaction_mode="rollback_only",
            **options,
        )
        try:
            yield made
            await made.flush()
        finally:
            await made.close()
