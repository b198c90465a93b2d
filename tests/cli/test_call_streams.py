"""`borough call` of a stream: it is printed as it comes, and its last line says whether all went well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from borough.cli import main
from tests.cli.systems import importable_system
from tests.cli.terminal import Ran, running

FILES = {
    "notes/contract.py": '''
from collections.abc import AsyncIterator
from typing import Protocol
from borough import ANYONE, Problem, contract, get

class Torn(Problem, status=409):
    """The page is torn."""

@contract("notes", version="1.0")
class Notes(Protocol):
    @get("/notes", allow=ANYONE, raises=[Torn])
    def pages(self, letters: int, is_torn: bool = False) -> AsyncIterator[str]: ...
''',
    "notes/service.py": """
from typing import final
from borough import Service
from {package}.notes.contract import Notes, Torn

@final
class NoteService(Service, Notes):
    async def pages(self, letters, is_torn=False):
        for _ in range(3):
            yield "ж" * letters
        if is_torn:
            raise Torn()
""",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    package = f"paged{os.getpid()}"
    with importable_system(tmp_path_factory.mktemp("paged"), package, FILES) as found:
        yield found


@pytest.fixture(scope="module")
def ran(root: Path) -> Iterator[Ran]:
    with running(root) as found:
        yield found
        assert found.stop()[0] == 0


@pytest.mark.parametrize("letters", [1, 100_001])
def test_letters_that_come_in_parts_are_whole(
    capsys: pytest.CaptureFixture[str], root: Path, ran: Ran, letters: int
) -> None:
    given = f'{{"letters": {letters}}}'
    assert main(["call", "notes.pages", given, "--system", str(root)]) == 0
    output, error = capsys.readouterr()
    assert output.splitlines() == [*[f'{{"item":"{"ж" * letters}"}}'] * 3, '{"end":true}']
    assert not error


def test_a_stream_that_ends_with_a_problem_is_not_fine(
    capsys: pytest.CaptureFixture[str], root: Path, ran: Ran
) -> None:
    given = '{"letters": 1, "is_torn": true}'
    assert main(["call", "notes.pages", given, "--system", str(root)]) == 1
    output, error = capsys.readouterr()
    assert output.startswith('{"item":"ж"}\n' * 3 + '{"problem":')
    assert error == "borough: 409 The page is torn.\n"
