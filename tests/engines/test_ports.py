"""Ports that nobody listens on, for processes side by side."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from borough.engines.ports import free_port

TAKE = "from borough.engines.ports import free_port; print(*(free_port() for _ in range(600)))"


def test_no_two_processes_are_given_the_same_port(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    taking = [
        subprocess.Popen([sys.executable, "-c", TAKE], stdout=subprocess.PIPE, env=environment)
        for _ in range(4)
    ]
    given = [port for process in taking for port in process.communicate()[0].split()]
    assert len(set(given)) == len(given) == 4 * 600


@pytest.mark.parametrize("content", [None, b"no number"])
def test_a_file_that_cannot_be_used_is_no_reason_to_have_no_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"borough-ports-{os.getuid()}"
    if content is None:
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_bytes(content)
    assert free_port() != free_port()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_somebody_else_has_laid_there_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    place = tmp_path / f"borough-ports-{stranger}"
    place.write_bytes(b"7")
    assert free_port() != free_port()
    assert place.read_bytes() == b"7"
