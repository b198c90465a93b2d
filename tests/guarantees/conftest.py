"""The pairs of engines that the promises are tried on, and the servers that they need."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.guarantees.chosen import ChosenAdapters, Pair, choose, pairs
from tests.servers.kafka import kafka
from tests.servers.postgres import postgres_server
from tests.servers.rabbitmq import rabbitmq

__all__ = ["kafka", "postgres_server", "rabbitmq"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try a few pairs, or with `--matrix` all of them."""
    if "pair" in metafunc.fixturenames:
        chosen = list(pairs(all_of_them=bool(metafunc.config.getoption("--matrix"))))
        metafunc.parametrize("pair", chosen, ids=str)


@pytest.fixture
async def chosen(pair: Pair, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """The suite at hand on this pair; a server is started when a pair needs it."""
    suite = request.instance
    assert isinstance(suite, ChosenAdapters)
    choose(suite, pair, request.getfixturevalue)
    yield
    if suite.postgres_url:
        await drop_databases(suite.postgres_url)


async def drop_databases(url: str) -> None:
    """Give back what the test has had on the server."""
    connection = await asyncpg.connect(f"{url}/postgres")
    try:
        names = "select datname from pg_database where datname like 'borough-promise-%'"
        for (name,) in await connection.fetch(names):
            await connection.execute(f'drop database "{name}" with (force)')
    finally:
        await connection.close()
