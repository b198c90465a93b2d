"""What a fleet says on standard error: plain lines for a file, colours and a live table for a person."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from borough.cli.fleet_view import FleetView, table_rows
from borough.testing import free_port
from tests.cli.terminal import PATIENCE_S, borough
from tests.fleet.village import write_village


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def member(name: str, **facts: Any) -> Any:
    """What the table reads of a member."""
    plain = {
        "state": "ready", "version": "1.0", "pid": None, "figures": None,
        "cpu_percent": 0.0, "requests_per_s": 0.0, "restarts": 0,
    }  # fmt: skip
    return SimpleNamespace(name=name, **{**plain, **facts})


def test_a_file_gets_each_line_with_the_name_in_front() -> None:
    stream = io.StringIO()
    view = FleetView(stream, list, ["notifications"])
    view.begin_table()
    view.line("search.1", "hello")
    view.line("notifications.12", "it stays down", is_loud=True)
    assert stream.getvalue() == ("search.1        | hello\nnotifications.12 | it stays down\n")


def test_a_person_sees_each_deployable_in_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    view = FleetView(stream, list, [])
    for name in ("search.1", "orders.1", "search.2"):
        view.line(name, "x")
    colours = re.findall(r"\x1b\[([1-9]\d)m", stream.getvalue())
    assert colours[0] == colours[2] != colours[1]


def test_a_person_may_refuse_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    FleetView(stream, list, []).line("search.1", "x")
    assert stream.getvalue() == "search.1 | x\n"


FORGED = "\x1b[31mred\x1b[0m \x1b]0;owned\x07\x1b[2J\rorders.1 | paid\u2028orders.1 | paid"


def test_a_program_may_colour_its_lines_and_orders_no_terminal_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    FleetView(stream, list, []).line("search.1", FORGED)
    said = stream.getvalue()
    assert "\x1b[31mred\x1b[0m " in said
    assert re.findall("\x1b[^m]*m", said)[-1] == "\x1b[0m"
    assert re.sub("\x1b\\[[0-9]*m", "", said) == (
        "search.1 | red �]0;owned��[2J�orders.1 | paid�orders.1 | paid\n"
    )


def test_a_file_gets_the_lines_of_programs_without_colours() -> None:
    stream = io.StringIO()
    FleetView(stream, list, []).line("search.1", FORGED)
    assert stream.getvalue().startswith("search.1 | red �]0;owned�")
    assert not set("\x1b\r\u2028") & set(stream.getvalue())


def test_a_version_that_a_program_tells_stands_in_its_place() -> None:
    rows = table_rows([member("search.1", version="1\x1b[2J\n2")])
    assert rows[1].split()[2:4] == ["1�[2J", "2"]


def test_the_table_tells_state_version_process_and_figures() -> None:
    rows = table_rows(
        [
            member(
                "search.1", pid=os.getpid(), figures=object(), cpu_percent=12.4, requests_per_s=99.6
            ),
            member("orders.1", state="waiting", version="", restarts=3),
            member("post.1", pid=os.getpid(), figures=object(), requests_per_s=None),
        ]
    )
    assert rows[0].split() == [
        "process", "state", "version", "pid", "CPU", "%", "MiB", "requests/s", "restarts",
    ]  # fmt: skip
    assert re.fullmatch(
        rf"search.1  ready    1.0      +{os.getpid()}     12  +\d+\.\d         100         0",
        rows[1],
    )
    assert rows[2].split() == ["orders.1", "waiting", "-", "-", "-", "-", "3"]
    assert rows[3].split()[-2:] == ["-", "0"]  # nobody can tell how many requests


def test_the_table_is_drawn_below_the_lines_and_stands_at_the_end(tmp_path: Path) -> None:
    root = write_village(tmp_path)
    leader, follower = pty.openpty()
    command = borough("run", str(root), "--topology", "fleet", "--port", str(free_port()))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower) as process:
        os.close(follower)
        seen = b""
        while b"\x1b[J" not in seen:  # it has been drawn, and once more
            seen += os.read(leader, 65536)
        process.send_signal(signal.SIGINT)
        try:
            while True:
                seen += os.read(leader, 65536)
        except OSError:
            pass  # the other side has closed
        assert process.wait(PATIENCE_S) == 0
    os.close(leader)
    said = seen.decode()
    table = said.index("process")
    assert re.search(r"ledger\.1 +ready +1\.3 ", said[table:])
    assert re.search(r"edge\.1 +ready ", said[table:])
    assert "has stopped" in said[said.rindex("stopping; once more") :]
