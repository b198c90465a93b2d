"""One Hypothesis profile, and at the end of a run a list of what the machine could not test."""

import os
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import settings

from tests.requirements import MARK

# A slow machine is no fault, and CI tries the same examples each time.
settings.register_profile("borough", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("borough")


def missing_tools(reasons: Iterable[str]) -> Counter[str]:
    """How many tests each missing tool has kept from running."""
    return Counter(reason.split(MARK, 1)[1].strip() for reason in reasons if MARK in reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the left-out parts after the failures, before pytest's closing line."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    missing = missing_tools(reasons)
    if not missing:
        return
    terminalreporter.section("left out on this machine")
    for tool, tests in sorted(missing.items()):
        terminalreporter.write_line(f"{tool}: {tests} test{'s' if tests > 1 else ''}")
