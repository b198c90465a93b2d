"""Ctrl-C while the command is still being imported ends it like any other time: quietly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import sys
from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name="borough")
sys.exit(command.load()())
"""
SLOW = """
import select, sys
print("importing", flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:  # a signal just before a wait does not end that
    pass
sys.stdin.readline()
print("went on", flush=True)
sys.exit(7)
"""


@pytest.mark.parametrize(
    ("before", "words", "ended"),
    [
        ("", None, (130, "importing\n", "")),
        (
            "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
            "on\n",
            (7, "importing\nwent on\n", ""),
        ),
    ],
    ids=["heard", "ignored"],
)
def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_word_where_it_is_heard(
    tmp_path: Path, before: str, words: str | None, ended: tuple[int, str, str]
) -> None:
    (tmp_path / "msgspec.py").write_text(SLOW)  # what the package imports first of all that is slow
    with subprocess.Popen(
        [sys.executable, "-c", before + COMMAND],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        if words is None:
            process.wait(60)
        rest, errors = process.communicate(words, timeout=60)
    assert (process.returncode, first + rest, errors) == ended


def test_a_containers_first_process_hears_while_it_is_imported_that_it_is_to_end(
    tmp_path: Path,
) -> None:
    # The kernel hands number 1 only what that has a handler for; any other process would end by the signal itself.
    (tmp_path / "msgspec.py").write_text(SLOW)
    with subprocess.Popen(
        [sys.executable, "-c", "import os; os.getpid = lambda: 1" + COMMAND],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
