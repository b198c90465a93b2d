"""Writes down how every test of a run has ended: `pytest --record FILE`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

__all__ = ["Recording"]


class Recording:
    """A plugin. In a run over several processes it listens to all of them."""

    def __init__(self, path: Path, *, matrix: bool) -> None:
        self._path = path
        self._matrix = matrix
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test is passed when none of its phases failed or was left out."""
        before = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = report.outcome if before == "passed" else before

    def pytest_sessionfinish(self) -> None:
        """Write the outcomes by test id."""
        record = {"matrix": self._matrix, "outcomes": self._outcomes}
        self._path.write_text(json.dumps(record, indent=1), encoding="utf-8")
