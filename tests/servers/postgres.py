"""A PostgreSQL server for the tests of one process, and a database of its own for each test.

The server forgets what a power cut would take, which no test brings about; so it is quick.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from borough.engines.postgres import PostgresServer, postgres_is_installed
from tests.requirements import require_tool

_QUICK = {"fsync": "off", "shared_buffers": "32MB", "max_connections": "100"}
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of this process."""
    require_tool("PostgreSQL", postgres_is_installed())
    folder = Path(tempfile.mkdtemp(prefix="borough-test-postgres-"))
    folder.chmod(0o755)
    server = PostgresServer.start(folder, _QUICK)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of an empty database for one test."""
    name = f"test_{next(_numbers)}"
    await _run(postgres_server, f'create database "{name}"')
    yield f"{postgres_server.url}/{name}"
    await _run(postgres_server, f'drop database "{name}" with (force)')


async def _run(server: PostgresServer, sql: str) -> None:
    """On a connection of its own: a test may have started the server anew."""
    connection = await asyncpg.connect(f"{server.url}/postgres")
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
