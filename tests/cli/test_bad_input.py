"""A user's mistake gets one clear message with the remedy, the right exit status, and no traceback."""

from __future__ import annotations

import io
import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from borough.cli import main
from tests.cli.systems import write_system
from tests.cli.terminal import PATIENCE_S, borough

_names = (f"bad{number}" for number in itertools.count(os.getpid() * 1000))


@pytest.fixture
def package() -> str:
    """A package name that no other test has imported."""
    return next(_names)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit status and what stood on standard error."""
    try:
        status = main(list(words))
    except SystemExit as stop:
        status = int(stop.code or 0)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return status, error


def test_an_unknown_command_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    status, error = said(capsys, "rum")
    assert status == 2
    assert "invalid choice: 'rum'" in error
    assert "--help" in error


def test_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, error = said(capsys, "run", str(tmp_path / "nowhere"))
    assert (status, "is no folder" in error) == (2, True)


def test_a_folder_without_services(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, error = said(capsys, "run", str(tmp_path))
    assert (status, "has no services" in error) == (2, True)


def test_the_folder_above_a_system_names_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = write_system(tmp_path, "memo")
    status, error = said(capsys, "run", str(tmp_path))
    assert (status, f"name {root}, which is a system" in error) == (2, True)


def test_a_keyword_is_no_name_of_a_folder_and_another_one_is_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = write_system(tmp_path, "class")
    status, error = said(capsys, "run", str(root))
    assert (status, "rename it, for example to class_" in error) == (2, True)


def test_an_event_loop_that_cannot_be_imported_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    status, error = said(capsys, "run", str(write_system(tmp_path, "loopless")), "--port", "0")
    assert (status, error.startswith("borough: uvloop cannot be imported: ")) == (2, True)


@pytest.mark.parametrize("words", [("run",), ("contracts", "show"), ("map",)], ids=" ".join)
def test_a_folder_that_was_removed_under_whoever_is_in_it(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    ended = subprocess.run(
        ["sh", "-c", 'rmdir "$0" && exec "$@"', str(gone), *borough(*words)],
        cwd=gone,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = "borough: the folder that you are in was removed; go to one that is there\n"
    assert (ended.returncode, ended.stderr) == (2, said)


@pytest.mark.parametrize("words", [("edge.host=a..b",), ("grpc.port=0", "grpc.host=a..b")])
def test_what_can_be_no_name_of_a_host_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str, words: tuple[str, ...]
) -> None:
    root = write_system(tmp_path, package)
    given = [part for word in words for part in ("--set", word)]
    status, error = said(capsys, "run", str(root), "--port", "0", *given)
    expected = "borough: Cannot listen on 'a..b', which is no name of a host; check the address\n"
    assert (status, error) == (2, expected)


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[edge\n", "is not valid TOML"),
        ("[edge]\nprot = 1\n", "edge.prot is no option; did you mean port?"),
        ('[edge]\nport = "x"\n', "edge.port: expected `int`, got `str`"),
        ('[services.notes]\nteem = "a"\n', "did you mean team?"),
        ('[system]\nname = ""\n', "system.name: expected `str` of length >= 1"),
        ('[edge]\nrate_limit = "many"\n', "many"),
        ('[edge]\npages = "no-such-folder"\n', "which is no folder"),
        ('[edge.tokens]\nissuer = "https://login.example"\n', "edge.tokens.jwks is missing"),
    ],
)
def test_a_broken_borough_toml_names_the_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str, toml: str, expected: str
) -> None:
    root = write_system(tmp_path, package, toml=toml)
    status, error = said(capsys, "run", str(root), "--port", "0")
    assert status == 2
    assert expected in error


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b'[system]\nname = "caf\xe9"\n',
            "is not in UTF-8, as TOML is: see line 2. Save it as UTF-8",
        ),
        ("[system]\n".encode("utf-16"), "is not in UTF-8, as TOML is: see line 1"),
        (b"a = " + b"[" * 5_000, "is nested too deeply"),
        (b"a = " + b"9" * 5_000, "holds a number of too many digits; mend it"),
        (b"\xef\xbb\xbf[edge]\nprot = 1\n", "edge.prot is no option; did you mean port?"),
    ],
    ids=["latin-1", "utf-16", "nested", "long number", "byte order mark"],
)
def test_a_borough_toml_that_is_no_plain_text_is_told_apart_from_a_wrong_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "borough.toml").write_bytes(content)
    status, error = said(capsys, "run", str(tmp_path), "--port", "0")
    assert (status, expected in error) == (2, True), error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", ".", "--internal-port", "-1"), "--internal-port: '-1' is no port"),
        (("run", ".", "--grpc-port", "9" * 30), "is no port"),
        (("run", ".", "--mock", ","), "--mock ',' names nothing; name services"),
        (("scale", f"all={'9' * 5_000}"), "write NAME=COUNT, such as search=3"),
        (("scale", "all=1", "all=2"), "all is named twice; say once how many it is to have"),
        (("events", "dead", "--data", "no/data"), "there is no folder no/data; name the one with"),
        (
            ("events", "topics", "--data", "no/data"),
            "there is no folder no/data; name the one with",
        ),
        (("demo", "--port", "-1"), "argument --port: '-1' is no port"),
        (("demo", "--in-flight", "9" * 30), "is no number of customers, from 1 to 1000"),
        (("demo", "--in-flight", "²"), "is no number of customers"),
        (("demo", "--data", "/dev/null/shop"), "/dev/null/shop cannot be made: not a directory"),
        (
            ("certs", ".", "--out", "x"),
            "unrecognized arguments: --out x; see `borough certs --help`",
        ),
    ],
)
def test_a_value_that_an_option_cannot_have_is_told_by_the_option(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    status, error = said(capsys, *words)
    assert (status, expected in error) == (2, True), error


def test_a_data_folder_that_is_a_file_is_told_and_nothing_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(tmp_path, package)
    (tmp_path / "data").write_text("")
    status, error = said(capsys, "run", str(root), "--port", "0", "--data", str(tmp_path / "data"))
    assert status == 2
    assert error.startswith(f"borough: the data folder {tmp_path}/data cannot be made: ")


@pytest.mark.parametrize("given", ['{"text": "\udcff"}', "-"])
def test_arguments_that_are_not_in_utf_8_are_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    package: str,
    given: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "\xff"}'), "utf-8"))
    root = write_system(tmp_path, package)
    status, error = said(capsys, "call", "notes.write", given, "--system", str(root))
    assert (status, error) == (2, "borough: the arguments are not in UTF-8, as JSON is\n")


def test_json_with_too_many_levels_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root, deep = write_system(tmp_path, package), '{"text":' + "[" * 100_000
    status, error = said(capsys, "call", "notes.write", deep, "--system", str(root))
    assert status == 2
    assert error.startswith("borough: the arguments are not JSON: maximum recursion depth exceeded")
    document = tmp_path / "deep.json"
    document.write_text(deep)
    status, error = said(capsys, "contracts", "import", str(document))
    assert status == 2
    assert error.startswith(f"borough: {document} is no JSON document: maximum recursion depth")


def test_a_setting_that_does_not_exist(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(tmp_path, package)
    status, error = said(capsys, "run", str(root), "--set", "edge.prt=1")
    assert (status, "edge.prt is no option; did you mean port?" in error) == (2, True)


def test_a_mistyped_service_of_a_store_is_told_before_a_server_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(tmp_path, package)
    data = tmp_path / "data"
    words = ("run", str(root), "--port", "0", "--data", str(data), "--store", "nosuch=postgres")
    status, error = said(capsys, *words)
    assert status == 2
    assert "services.nosuch in the configuration is no service here" in error
    assert not data.exists()


def test_three_faults_of_a_contract_come_together_with_their_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    wrong = """
    from typing import Any, Protocol
    from borough import contract, get, post

    @contract("notes", version="one")
    class Notes(Protocol):
        @get("/notes/{id}")
        async def read(self) -> str: ...

        @post("/notes")
        def write(self, text: str) -> str: ...

        async def forgotten(self) -> None: ...
    """
    root = write_system(tmp_path, package, files={"notes/contract.py": wrong})
    status, error = said(capsys, "run", str(root), "--port", "0")
    assert status == 2
    place = str(root / "notes" / "contract.py")
    assert error.count(place) >= 3
    for message in ("version 'one'", "has {id} in its path", "is not `async def`", "has no route"):
        assert message in error


def test_a_service_that_misses_an_operation(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    service = """
    from borough import Service
    from {package}.notes.contract import Note, Notes

    class NoteService(Service, Notes):
        async def write(self, text: str) -> Note: ...
        async def read(self, number: int) -> Note: ...
    """
    root = write_system(tmp_path, package, files={"notes/service.py": service})
    status, error = said(capsys, "run", str(root), "--port", "0")
    assert status == 2
    assert "NoteService does not implement Notes.internal" in error
    assert "takes (number), its contract (id)" in error
    assert "service.py:5" in error


def test_a_module_that_does_not_import_names_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(
        tmp_path, package, files={"notes/service.py": "import borough\nimport no_such_module\n"}
    )
    status, error = said(capsys, "run", str(root))
    assert status == 2
    assert "No module named 'no_such_module'" in error
    assert "service.py:2" in error


def test_a_port_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str) -> None:
    root = write_system(tmp_path, package)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, error = said(capsys, "run", str(root), "--port", port)
    assert status == 2
    assert port in error
    assert "in use" in error


def test_a_data_folder_that_cannot_be_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(tmp_path, package)
    (tmp_path / "file").write_text("")
    status, error = said(
        capsys, "run", str(root), "--port", "0", "--data", str(tmp_path / "file" / "data")
    )
    assert status == 2
    assert "--data" in error


def test_a_broken_migration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(
        tmp_path, package, files={"notes/migrations/sqlite/0002_more.sql": "create tabel x (y);"}
    )
    status, error = said(capsys, "run", str(root), "--port", "0")
    assert status == 2
    assert "0002_more.sql" in error


def test_a_call_to_a_system_that_does_not_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(tmp_path, package)
    status, error = said(capsys, "call", "notes.write", '{"text": "x"}', "--system", str(root))
    assert (status, "start it with `borough run`" in error) == (2, True)


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        ("notes.wirte", "{}", "did you mean notes.write?"),
        ("notes.write", "{", "not JSON"),
        ("notes.write", "[]", "JSON object"),
        ("notes.write", "{}", "needs the parameter 'text'"),
        ("notes.write", '{"txt": "x"}', "no parameter 'txt'"),
        ("notes.write", '{"text": 5}', "Expected `str`"),
    ],
)
def test_a_call_with_wrong_arguments(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    package: str,
    operation: str,
    arguments: str,
    expected: str,
) -> None:
    root = write_system(tmp_path, package)
    status, error = said(capsys, "call", operation, arguments, "--system", str(root))
    assert status in (1, 2)
    assert expected in error


def test_a_mock_of_a_service_that_no_contract_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, package: str
) -> None:
    root = write_system(tmp_path, package)
    status, error = said(capsys, "run", str(root), "--mock", "payments")
    assert (status, "--mock payments" in error) == (2, True)
