"""Running one revision of Alembic on the connection, and in the transaction, in which it is recorded.

Alembic keeps its own table of versions there, too, so that a database which it has migrated before is taken over
as it is. The environment has to use the connection that it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as TheirConnection

from borough.errors import MigrationRefused
from borough.ports import Fetched, Migration
from borough.stores.postgres.connection import Connection
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST
from borough.stores.postgres.guest import visit
from borough.stores.postgres.sql import read_text
from borough.stores.revisions import revision_of
from borough.stores.texts import Texts

__all__ = ["run_revision"]

_ROWS = 1_000_000


class _Host:
    """A migration's transaction, which ends by itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._texts = Texts(read_text)
        self.is_used = False
        self.doomed: BaseException | None = None

    async def fetch(self, sql: str, args: Sequence[Any], /) -> Fetched:
        self.is_used = True
        return await self._connection.fetch(self._texts[sql].sql, args, _ROWS)

    async def many(self, sql: str, rows: Sequence[Sequence[Any]], /) -> int:
        text = self._texts[sql].sql
        return sum([await self._connection.change(text, args) for args in rows])

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        part: AbstractAsyncContextManager[None] = self._connection.inner.transaction()
        return part

    def doom(self, error: BaseException, /) -> None:
        self.doomed = error


async def run_revision(name: str, connection: Connection, migration: Migration) -> None:
    """Bring the database to the revision. Raises `MigrationRefused`, and what the driver raises."""
    host = _Host(connection)
    config = Config()
    config.set_main_option("script_location", migration.environment.replace("%", "%%"))
    config.set_main_option("path_separator", "os")

    def upgrade(opened: TheirConnection) -> None:
        config.attributes["connection"] = opened
        command.upgrade(config, revision_of(migration))

    try:
        async with visit(host) as opened:
            await opened.run_sync(upgrade)
        if host.doomed is not None:
            raise host.doomed
    except (*LOST, asyncpg.PostgresError):
        raise
    except Exception as error:
        if host.is_used:
            said = " ".join(str(error).split())
            raise MigrationRefused(
                f"{name} failed and nothing of it is kept: {said or type(error).__name__}"
            ) from error
        raise MigrationRefused(f"{name} was not applied: {_remedy(migration)} ({error})") from error
    if not host.is_used:
        raise MigrationRefused(f"{name} was not applied: {_remedy(migration)}")


def _remedy(migration: Migration) -> str:
    return (
        f"{migration.environment}/env.py did not use the connection that it is given. Let it "
        'configure(connection=config.attributes["connection"])'
    )
