"""One Hypothesis profile, no secret in any log, and a list of what the machine could not test."""

import logging
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.guarantees.recording import Recording
from tests.requirements import MARK
from tests.secrets.net import LeakNet

# A slow machine is no fault, and CI tries the same examples each time.
settings.register_profile("borough", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("borough")


# A process that is told to ignore them (nohup, a shell's background) hands that on; what is started here hears of a
# closed terminal, and of Ctrl-C.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NET = LeakNet()
logging.getLogger().addHandler(NET)


@pytest.fixture(autouse=True)
def no_secret_is_logged() -> Iterator[None]:
    """Whatever a test does in this process, its log lines hold no secret, masked or not."""
    yield
    assert NET.taken() == []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which pairs of engines the guarantees are tried on."""
    parser.addoption(
        "--matrix",
        action="store_true",
        help="try the guarantees on every store with every broker",
    )
    parser.addoption("--record", metavar="FILE", help="write down how every test has ended")


def pytest_configure(config: pytest.Config) -> None:
    """Record the run, where that is asked for; workers report to the process that started them."""
    path = config.getoption("--record")
    if path and not hasattr(config, "workerinput"):
        matrix = bool(config.getoption("--matrix"))
        config.pluginmanager.register(Recording(Path(path), matrix=matrix))


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
