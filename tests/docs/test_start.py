"""docs/start.md is followed to the letter: its files are written, its test run, its system called."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borough.testing import free_port
from tests.docs.pages import DOCS, write_cafe, write_files

_PAGE = DOCS / "start.md"
_CALL = re.compile(r"^\$ (borough call .*)$", re.MULTILINE)


@pytest.fixture
def cafe(tmp_path: Path) -> Path:
    """A folder in which the page's first section has been followed."""
    write_cafe(tmp_path)
    return tmp_path


def _borough(*words: str) -> list[str]:
    return [sys.executable, "-m", "borough", *words]


@pytest.fixture
def running(cafe: Path) -> Iterator[dict[str, Any]]:
    """The page's system, running as section 5 says, on a free port."""
    process = subprocess.Popen(
        _borough(
            "run", "cafe", "--port", str(free_port()), "--internal-port", str(free_port()), "--json"
        ),
        cwd=cafe,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stdout.close()


def test_the_pages_own_test_passes(cafe: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "cafe"]
    done = subprocess.run(command, cwd=cafe, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_pages_system_passes_mypy_as_it_says(cafe: Path) -> None:
    _check_types(cafe)
    write_files(DOCS / "start.md", cafe, "then")
    _check_types(cafe)


def _check_types(folder: Path) -> None:
    """Do what section 6 says, and see what it shows."""
    text = _PAGE.read_text()
    found = re.search(r"^\$ (mypy .*)\n(Success: .*)$", text, re.MULTILINE)
    assert found is not None
    command = [sys.executable, "-m", *found[1].split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout == found[2] + "\n", done.stdout + done.stderr


_SERVED = """
import asyncio
import pytest
from borough.testing import start
from cafe.kitchen.contract import Kitchen
from cafe.till.contract import NoSuchOrder, Till


def test_serving() -> None:
    async def scenario() -> None:
        async with start("cafe", mode="wire") as cafe:
            order = await cafe.client(Till).order("soup")
            await cafe.quiet()
            await cafe.client(Kitchen).serve(order.id)
            assert await cafe.client(Kitchen).tickets() == ()
            with pytest.raises(NoSuchOrder):
                await cafe.client(Kitchen).serve(99)

    asyncio.run(scenario())
"""


def test_the_call_of_section_7_answers(cafe: Path) -> None:
    assert len(write_files(DOCS / "start.md", cafe, "then")) == 2
    (cafe / "cafe" / "test_served.py").write_text(_SERVED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "cafe"]
    done = subprocess.run(command, cwd=cafe, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_pages_calls_answer_as_shown(cafe: Path, running: dict[str, Any]) -> None:
    calls = _CALL.findall(_PAGE.read_text())
    assert len(calls) == 2
    first = _run(cafe, calls[0])
    assert json.loads(first) == {"id": 1, "dish": "soup", "paid": False}
    tickets: list[Any] = []
    while not tickets:  # the event is on its way; each question is a whole process
        tickets = json.loads(_run(cafe, calls[1]))
    assert tickets == [{"order_id": 1, "dish": "soup"}]


def _run(folder: Path, command: str) -> str:
    words = shlex.split(command, comments=True)
    done = subprocess.run(
        _borough(*words[1:]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_names_each_file_above_its_block() -> None:
    lines = (DOCS / "start.md").read_text().splitlines()
    blocks = [
        number for number, line in enumerate(lines) if line.startswith("```") and "=cafe/" in line
    ]
    assert len(blocks) == 10
    for number in blocks:
        assert lines[number - 2] == f"**`{lines[number].partition('=')[2]}`**"
