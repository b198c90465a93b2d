"""PostgreSQL keeps what every store promises."""

from pathlib import Path

import asyncpg
import pytest

from borough.clock import SystemClock
from borough.engines.postgres import PostgresServer
from borough.ports import Store
from borough.services.settings import Secret
from borough.stores.postgres import PostgresLimits, PostgresStore
from borough.testing.conformance import StoreConformance
from tests.servers.postgres import postgres_server

__all__ = ["TestPostgresStore", "postgres_server"]


class TestPostgresStore(StoreConformance):
    """Its times are wide, for a busy machine."""

    @pytest.fixture(autouse=True)
    def server(self, postgres_server: PostgresServer) -> None:
        """The server on which the databases are."""
        self.url = postgres_server.url

    async def make_store(self, folder: Path) -> Store:
        name = folder.name.lower()
        connection = await asyncpg.connect(f"{self.url}/postgres")
        try:
            await connection.execute(f'create database "{name}"')
        except asyncpg.DuplicateDatabaseError:
            pass
        finally:
            await connection.close()
        limits = PostgresLimits(wait_s=60.0)
        return PostgresStore(
            Secret(f"{self.url}/{name}"), service="shop", clock=SystemClock(), limits=limits
        )
