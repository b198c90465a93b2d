"""What speaks TLS is tried on both event loops: they do not treat it alike."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    """Run `test_mutual_tls*` on asyncio's own loop and on uvloop."""
    if item.path.name.startswith("test_mutual_tls"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return None
