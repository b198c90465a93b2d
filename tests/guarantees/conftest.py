"""The pairs of engines that the promises are tried on, and the servers that they need."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.guarantees.chosen import ChosenAdapters, Pair, choose, pairs
from tests.guarantees.planted import ALL
from tests.servers.kafka import kafka
from tests.servers.postgres import postgres_server
from tests.servers.rabbitmq import rabbitmq

__all__ = ["kafka", "postgres_server", "rabbitmq"]


EMBEDDED = ("sqlite", "embedded")
"""Adapters without a server: a reading of theirs that never comes is soon given up."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try a few pairs and what is planted in embedded adapters, or with `--matrix` all of them."""
    all_of_them = bool(metafunc.config.getoption("--matrix"))
    if "pair" in metafunc.fixturenames:
        metafunc.parametrize("pair", list(pairs(all_of_them=all_of_them)), ids=str)
    if "planted" in metafunc.fixturenames:
        chosen = [each for each in ALL if all_of_them or each.adapter in EMBEDDED]
        metafunc.parametrize("planted", chosen, ids=lambda planted: planted.adapter)


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
