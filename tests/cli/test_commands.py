"""`borough call`, `borough contracts` and `--explain`: what they print, and with which exit status."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from borough.cli import main
from borough.contracts.descriptor import from_json
from tests.cli.systems import importable_system
from tests.cli.terminal import HELD, Ran, running


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    package = f"said{os.getpid()}"
    with importable_system(tmp_path_factory.mktemp("said"), package, HELD) as found:
        yield found


@pytest.fixture(scope="module")
def ran(root: Path) -> Iterator[Ran]:
    with running(root) as found:
        yield found
        assert found.stop()[0] == 0


class Said:
    """What a command left behind."""

    def __init__(self, status: int, output: str, error: str) -> None:
        self.status = status
        self.output = output
        self.error = error
        assert "Traceback" not in error

    @property
    def value(self) -> Any:
        return json.loads(self.output)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], root: Path) -> Any:
    def run(*words: str, system: bool = True) -> Said:
        given = [*words, "--system", str(root)] if system else list(words)
        try:
            status = main(given)
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return run


# --- call -------------------------------------------------------------------------------------------


def test_a_call_prints_the_answer_as_json(say: Any, ran: Ran) -> None:
    written = say("call", "notes.write", '{"text": "Käse ✓"}')
    assert (written.status, written.error) == (0, "")
    assert written.value["text"] == "Käse ✓"
    read = say("call", "notes.Notes.read", json.dumps({"id": written.value["id"]}))
    assert read.value == written.value


def test_a_call_reads_its_arguments_from_standard_input(
    say: Any, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"text": "piped"}'))
    assert say("call", "notes.write", "-").value["text"] == "piped"


def test_a_stream_is_printed_line_by_line(say: Any, ran: Ran) -> None:
    say("call", "notes.write", '{"text": "one"}')
    said = say("call", "notes.all")
    lines = [json.loads(line) for line in said.output.splitlines()]
    assert (said.status, lines[-1]) == (0, {"end": True})
    assert all("text" in line["item"] for line in lines[:-1])


def test_a_problem_is_said_on_standard_error_with_status_1(say: Any, ran: Ran) -> None:
    said = say("call", "notes.read", '{"id": 999999}')
    assert (said.status, said.output) == (1, "")
    assert said.error == "borough: 404 There is no such note. (id=999999)\n"


def test_with_json_a_problem_is_a_document_on_standard_output(say: Any, ran: Ran) -> None:
    said = say("call", "notes.read", '{"id": 999999}', "--json")
    assert (said.status, said.value["code"], said.value["id"]) == (1, "notes.NoSuchNote", 999999)


def test_an_internal_operation_is_called_on_account_of_a_service(say: Any, ran: Ran) -> None:
    outside = say("call", "notes.internal")
    assert (outside.status, "borough: 404 " in outside.error) == (1, True)
    inside = say("call", "notes.internal", "--as", "notes")
    assert (inside.status, inside.value) == (0, "for notes")


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (
            ["notes.internal", "--as", "note"],
            2,
            "no service here has that name; did you mean notes?",
        ),
        (["notes.wirte", "{}"], 2, "did you mean notes.write?"),
        (["notes.write", "{"], 2, "not JSON"),
        (["notes.write", "{}"], 2, "needs the parameter 'text'"),
        (["notes.write", '{"text": 1}'], 2, "text: Expected `str`, got `int`"),
        (["notes.read", '{"id": 1}', "--url", "ftp://x"], 2, "is no http:// URL"),
        (["notes.read", '{"id": 1}', "--url", "http://127.0.0.1:99999"], 2, "is no http:// URL"),
        (
            ["notes.read", '{"id": 1}', "--timeout", "soon"],
            2,
            "argument --timeout: 'soon' is no number of seconds",
        ),
        (["notes.read", '{"id": 1}', "--timeout", "0"], 2, "--timeout"),
        (["notes.read", '{"id": 1}', "--timeout", "nan"], 2, "--timeout"),
        (["notes.read", '{"id": 1}', "--token", "a\nb"], 2, "--token"),
        (["notes.read", '{"id": 1}', "--key", "ü"], 2, "--key"),
        (["notes.read", '{"id": 1}', "--key", "k"], 2, "by no key, so --key binds nothing"),
    ],
)
def test_a_call_that_cannot_be_made_is_told(
    say: Any, ran: Ran, words: list[str], status: int, expected: str
) -> None:
    said = say("call", *words)
    assert (said.status, said.output) == (status, "")
    assert expected in said.error


def test_a_place_where_nobody_listens_is_status_1(say: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    said = say("call", "notes.read", '{"id": 1}', "--url", url)
    assert said.status == 1
    assert url.removeprefix("http://") in said.error


# --- contracts --------------------------------------------------------------------------------------


def test_contracts_are_listed(say: Any) -> None:
    said = say("contracts", "show")
    assert (said.status, said.error) == (0, "")
    assert said.output.split() == [
        *("notes.Notes", "1.0", "5", "operations,", "0", "events", "Keeps", "notes.")
    ]


@pytest.mark.parametrize("name", ["notes", "Notes", "notes.Notes"])
def test_one_contract_is_shown_with_its_operations(say: Any, name: str) -> None:
    output = say("contracts", "show", name).output
    assert "POST   /notes/notes" in output
    assert "404 NoSuchNote: There is no such note" in output
    assert "[internal] Only for services." in output


def test_how_long_events_are_retained_is_shown(say: Any) -> None:
    shop = Path(__file__).parents[2] / "examples" / "shop"
    output = say("contracts", "show", "orders", "--system", str(shop), system=False).output
    assert "  events are retained: 7d\n" in output


def test_descriptors_are_shown_as_one_document(say: Any) -> None:
    found = say("contracts", "show", "--json").value
    assert [descriptor["name"] for descriptor in found] == ["Notes"]


@pytest.mark.parametrize("action", ["show", "export"])
def test_a_name_that_no_contract_has_is_told(say: Any, action: str) -> None:
    said = say("contracts", action, "nots")
    assert (said.status, said.output) == (2, "")
    assert "there is no service or contract nots" in said.error


def test_the_exported_document_is_openapi(say: Any) -> None:
    document = say("contracts", "export").value
    OpenAPIV31SpecValidator(document).validate()
    assert "/notes/internal" in document["paths"]
    assert "/notes/internal" not in say("contracts", "export", "--public").value["paths"]


def test_descriptors_are_exported_as_files(say: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    said = say("contracts", "export", "--format", "descriptor", "--out", str(folder))
    place = folder / "notes.Notes.json"
    assert (said.status, said.output, said.error) == (0, "", f"{place}\n")
    assert from_json(place.read_bytes()).name == "Notes"


def test_a_folder_that_cannot_be_written_is_told(say: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = say("contracts", "export", "--out", str(tmp_path / "file" / "folder"))
    assert (said.status, "cannot be written: Not a directory" in said.error) == (2, True)


# --- options ----------------------------------------------------------------------------------------


def test_every_option_is_explained_with_its_source(
    say: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOROUGH_EDGE_HOST", "0.0.0.0")
    words = ("run", str(root), "--explain", "--port", "1234", "--set", "limits.threads=3")
    table = say(*words, system=False)
    assert table.status == 0
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in table.output.splitlines()}
    assert rows["edge.port"] == "1234  (flag)"
    assert rows["limits.threads"] == "3  (flag)"
    assert rows["edge.host"] == "0.0.0.0  (BOROUGH_EDGE_HOST)"
    assert rows["system.name"] == f"{root.name}  (borough.toml)"
    assert rows["internal.port"] == "0  (default)"
    document = say(*words, "--json", system=False).value
    assert {"option": "edge.port", "value": 1234, "source": "flag"} in document
    assert {"option": "telemetry.bridge", "value": False, "source": "default"} in document
    assert {"option": "edge.cors", "value": [], "source": "default"} in document
    assert rows["telemetry.bridge"] == "false  (default)"
    assert {row["option"] for row in document} == set(rows)


def test_a_variable_that_nothing_reads_is_warned_about(
    say: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOROUGH_EDGE_HOTS", "0.0.0.0")
    said = say("run", str(root), "--explain", system=False)
    assert said.status == 0
    assert "did you mean BOROUGH_EDGE_HOST?" in said.error
    assert "BOROUGH_EDGE_HOTS" not in said.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "edge.port"], "--set edge.port: write OPTION=VALUE"),
        (["--set", "edge.prt=1"], "edge.prt is no option; did you mean port?"),
        (["--set", "services.nots.settings.x=1"], "services.nots in the configuration is no"),
        (["--port", "70000"], "argument --port: '70000' is no port, from 0 to 65535"),
        (["--port", "x"], "argument --port: 'x' is no port, from 0 to 65535"),
        (["--host", "no such host"], "Cannot listen on no such host"),
        (["--mock", "notes,nots"], "--mock nots: no contract here is of a service 'nots'"),
        (["--prt", "5"], "unrecognized arguments: --prt 5"),
    ],
)
def test_a_wrong_flag_is_told(
    say: Any, root: Path, tmp_path: Path, words: list[str], expected: str
) -> None:
    data = ["--data", str(tmp_path)]
    said = say("run", str(root), "--internal-port", "0", *data, *words, system=False)
    assert said.status == 2
    assert expected in said.error


# --- help -------------------------------------------------------------------------------------------


def test_help_groups_the_commands_by_question(say: Any) -> None:
    said = say("--help", system=False)
    assert said.status == 0
    assert "write   contracts" in said.output
    assert "run     run, demo, call" in said.output


COMMANDS = ["", "run", "demo", "call", "contracts", "contracts show", "contracts export"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(say: Any, command: str) -> None:
    said = say(*command.split(), "--help", system=False)
    assert said.status == 0
    assert "example" in said.output
    assert f"borough {command}".rstrip() in said.output.partition("example")[2]


def test_no_command_is_wrong_use(say: Any) -> None:
    said = say(system=False)
    assert (said.status, "COMMAND" in said.output) == (2, True)
