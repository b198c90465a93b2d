"""The TypeScript service, started for a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.polyglot.typescript import Notifications, require_typescript


@pytest.fixture
def notifications(tmp_path: Path) -> Iterator[Notifications]:
    require_typescript()
    service = Notifications(tmp_path)
    try:
        yield service
    finally:
        service.close()
