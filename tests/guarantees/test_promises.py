"""A system keeps what it promises, whichever store and broker borough.toml chooses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guarantees.chosen import ChosenAdapters


class TestPromises(ChosenAdapters):
    """On each pair of engines."""

    @pytest.fixture(autouse=True)
    def _chosen(self, adapters: dict[str, Any]) -> None:
        self.flags = adapters
