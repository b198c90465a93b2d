"""A RabbitMQ node for the tests of one worker, started by the first that asks for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from borough.engines.rabbitmq import RabbitmqServer
from tests.requirements import require_tool

__all__ = ["rabbitmq", "require_rabbitmq"]


def require_rabbitmq() -> None:
    """Leave the calling test out where RabbitMQ is not installed."""
    found = shutil.which("rabbitmq-server") or Path("/usr/lib/rabbitmq/bin").is_dir()
    require_tool("rabbitmq-server", bool(found))


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitmqServer]:
    """The node. Tests live side by side on it under prefixes of their own."""
    require_rabbitmq()
    folder = Path(tempfile.mkdtemp(prefix="borough-rabbitmq-"))
    server = RabbitmqServer.start(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
