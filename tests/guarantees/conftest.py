"""The pairs of engines that the promises are tried on, and the servers that they need."""

from __future__ import annotations

import pytest

from tests.guarantees.chosen import ChosenAdapters, Pair, choose, pairs
from tests.servers.rabbitmq import rabbitmq

__all__ = ["rabbitmq"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try a few pairs, or with `--matrix` all of them."""
    if "pair" in metafunc.fixturenames:
        chosen = list(pairs(all_of_them=metafunc.config.getoption("--matrix")))
        metafunc.parametrize("pair", chosen, ids=str)


@pytest.fixture
def chosen(pair: Pair, request: pytest.FixtureRequest) -> ChosenAdapters:
    """A suite on this pair; a server is started when a pair needs it."""
    suite: ChosenAdapters = request.instance
    choose(suite, pair, request.getfixturevalue)
    return suite
