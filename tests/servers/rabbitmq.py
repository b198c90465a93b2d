"""A RabbitMQ node for the tests of one worker, started by the first that asks for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from borough.engines.rabbitmq import RabbitmqServer
from borough.errors import ConfigurationError
from tests.requirements import require_tool

__all__ = ["rabbitmq"]


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitmqServer]:
    """The node. Tests live side by side on it under prefixes of their own."""
    folder = Path(tempfile.mkdtemp(prefix="borough-rabbitmq-"))
    try:
        server = RabbitmqServer.start(folder)
    except ConfigurationError as error:
        require_tool("rabbitmq-server", "is not installed" not in str(error))
        raise
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
