"""`borough certs`: what it makes, what it says, and that a system runs with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from borough.cli import main
from tests.cli.systems import importable_system
from tests.cli.terminal import HELD, running

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    package = f"sealed{os.getpid()}"
    with importable_system(tmp_path, package, HELD) as found:
        yield found


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = main(list(words))
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


def switch_on(root: Path, said: str) -> None:
    """Write the lines that the command gives into borough.toml, and TLS is on."""
    lines = said[said.index("[internal.tls]") :]
    with open(root / "borough.toml", "a", encoding="utf-8") as file:
        file.write(f"\n{lines}")


def test_a_system_runs_with_what_it_makes_and_is_told_to_write(root: Path, say: Say) -> None:
    status, table, lines = say("certs", str(root))
    assert status == 0
    assert [row.split()[0] for row in table.splitlines()] == ["CA", "edge", "notes"]
    switch_on(root, lines)
    with running(root) as ran:
        assert ran.ready["internal"].startswith("https://127.0.0.1:")
        status, output, error = say(
            "call", "notes.internal", "--as", "notes", "--system", str(root)
        )
        assert (status, json.loads(output), error) == (0, "for notes", "")
        status, _, error = say("call", "notes.internal", "--as", "bank", "--system", str(root))
        assert status == 2
        assert "bank.pem, which [internal.tls] names, cannot be read: no such file" in error
        status, _, _ = say("call", "notes.all", "--system", str(root))
        assert status == 0
        assert ran.stop()[0] == 0
    assert say("certs", str(root))[2] == ""  # it is on: there is nothing to be told


def test_one_document_says_what_was_made(root: Path, say: Say, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    words = ("certs", str(root), "--folder", str(folder), "--json")
    for more, done in (((), "made"), ((), "kept"), (("--renew",), "renewed")):
        status, output, error = say(*words, *more)
        document = json.loads(output)
        assert (status, error) == (0, "")
        edge, service = document["services"]
        assert edge["id"].endswith("/service/edge")
        assert service["done"] == done
        domain = document["trust_domain"]
        assert (document["ca"]["id"], service["id"]) == (
            f"spiffe://{domain}",
            f"spiffe://{domain}/service/notes",
        )
        assert Path(service["certificate"]).parent == folder


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--services", "nots"), "there is no service 'nots'; there are edge, notes"),
        (("--services", ","), "there is no service ','; there are edge, notes"),
        (("--days", "0"), "'0' is no number of days from 1 to 3650"),
        (("--days", "a"), "'a' is no number of days from 1 to 3650"),
        (("--folder", os.devnull), "certificates cannot be kept in /dev/null"),
    ],
)
def test_wrong_use_is_one_sentence(
    root: Path, say: Say, words: tuple[str, ...], sentence: str
) -> None:
    status, output, error = say("certs", str(root), *words)
    assert (status, output) == (2, "")
    assert sentence in error
    assert error.count("\n") == 1


def test_a_foreign_ca_is_left_alone(root: Path, say: Say, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "ca.pem").write_text("the company's")
    status, _, error = say("certs", str(root), "--folder", str(folder))
    assert status == 2
    assert "it stays as it is: name another --folder" in error
    assert [path.name for path in folder.iterdir()] == ["ca.pem"]
