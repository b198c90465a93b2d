"""A system keeps what it promises, whichever store and broker borough.toml chooses."""

import pytest

from tests.guarantees.chosen import ChosenAdapters


@pytest.mark.usefixtures("chosen")
class TestPromises(ChosenAdapters):
    """On each pair of engines."""
