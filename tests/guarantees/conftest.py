"""The pairs of engines, and what each test of a pair finds out about them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guarantees.chosen import Pair, pairs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try a few pairs, or with `--matrix` all of them."""
    if "pair" in metafunc.fixturenames:
        chosen = list(pairs(all_of_them=metafunc.config.getoption("--matrix")))
        metafunc.parametrize("pair", chosen, ids=str, indirect=False, scope="class")


@pytest.fixture
def adapters(pair: Pair, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What borough.toml says to choose this pair; servers are started when a pair needs them."""
    return {"data.store": pair.store, "events.broker": pair.broker}
