"""What others have sent, and a file that cannot be read, harm neither the terminal nor the command."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from borough.cli import main
from borough.observing.store import FILE, TelemetryFile
from tests.cli.systems import write_system
from tests.telemetry.test_keeping import foreign_span, foreign_spans

TRACE = b"1" * 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_system(tmp_path, "strangers")
    file = TelemetryFile(tmp_path / FILE)
    file.write("traces", foreign_spans(foreign_span(10**18, name="pay\x1b[2J\nor else")), 1)
    logs = LogsData()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(trace_id=TRACE)
    record.body.string_value = ""
    file.write("logs", logs.SerializeToString(), 1)
    file.close()
    return root


@pytest.mark.parametrize("asked", [["list"], ["show", TRACE.hex()]])
def test_what_a_name_holds_is_no_command_to_the_terminal_and_no_line_of_its_own(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    assert main(["trace", *asked, "--system", str(root), "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "pay\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}or else" in said
    assert "\x1b" not in said


def test_a_file_that_cannot_be_read_is_told_in_a_sentence(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with apsw.Connection(str(tmp_path / FILE)) as broken:
        broken.execute("drop table spans")
    assert main(["trace", "list", "--system", str(root), "--data", str(tmp_path)]) == 2
    assert "cannot be read now: " in capsys.readouterr().err


def test_a_text_that_is_no_text_is_told_in_a_sentence(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["trace", "list", "\udcff", "--system", str(root)])
    assert "no printable character" in capsys.readouterr().err
