"""`borough alerts`, against a system that runs in a process of its own."""

import asyncio
import http.client
import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borough.cli import main
from tests.cli.systems import write_system
from tests.cli.terminal import Ran, running

TOML = """
[system]
name = "jotting"

[teams.pens]
size = 2

[services.notes]
team = "pens"

[console]
password = "file:password"

[alerts]
every_s = 0.05

[alerts.rules.slow-calls]
above = "0ms"
for = "1s"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_system(tmp_path, "jotting", toml=TOML, files={"password": "of the pens\n"})


@pytest.fixture
def ran(root: Path) -> Iterator[Ran]:
    with running(root) as found:
        yield found


def write_notes(ran: Ran) -> None:
    for _ in range(5):
        connection = http.client.HTTPConnection(ran.ready["edge"][7:], timeout=30)
        connection.request(
            "POST", "/notes/notes", '{"text": "tea"}', {"Content-Type": "application/json"}
        )
        assert connection.getresponse().status == 201
        connection.close()


async def fires(root: Path, ran: Ran, capsys: pytest.CaptureFixture[str]) -> Any:
    async with asyncio.timeout(60):
        while True:
            # What is written before anybody has looked counts for nothing; strangers may not write too often.
            await asyncio.to_thread(write_notes, ran)
            for _ in range(10):
                if await asyncio.to_thread(main, ["alerts", "--json", "--system", str(root)]) == 1:
                    return json.loads(capsys.readouterr().out)
                capsys.readouterr()
                await asyncio.sleep(0.2)


def test_alerts_are_shown_acknowledged_and_silenced_by_whom_the_password_lets_in(
    root: Path, ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--system", str(root)]
    assert main(["alerts", *where]) == 0
    assert capsys.readouterr().out == "nothing is wrong\n"
    (alert,) = asyncio.run(fires(root, ran, capsys))["alerts"]
    assert (alert["rule"], alert["team"]) == ("slow-calls", "pens")

    assert main(["alerts", "--for-team", "pens", *where]) == 1
    said = capsys.readouterr().out
    assert said.startswith("FIRES         slow-calls: notes.Notes.write is slow")
    assert alert["id"] in said

    silence = ["alerts", "silence", "--service", "notes", "--for", "2h", "--reason", "tea time"]
    assert main([*silence, *where]) == 0
    assert main(["alerts", "acknowledge", alert["id"], "--note", "I look\x1b[2J", *where]) == 0
    capsys.readouterr()
    assert main(["alerts", *where]) == 0
    said = capsys.readouterr().out
    assert said.startswith("acknowledged  slow-calls")
    assert "I look\ufffd[2J" in said
    assert "silenced until" in said

    for words, sentence in (
        (["--for-team", "ink"], "there is no team ink; there are pens"),
        (["acknowledge", "x"], "No alert x fires now"),
        (
            ["silence", "--all", "--for", "soon", "--reason", "x"],
            "--for: 'soon' is no length of time",
        ),
        (
            ["silence", "--rule", "slow-call", "--for", "1h", "--reason", "x"],
            "there is no rule slow-call; did you mean slow-calls?",
        ),
    ):
        assert main(["alerts", *words, *where]) == 2
        assert capsys.readouterr().err.startswith(f"borough: {sentence}")


def test_without_a_running_system_that_is_said(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts", "--system", str(root)]) == 2
    assert "no running system is known" in capsys.readouterr().err


@pytest.mark.parametrize(
    "action",
    [
        ["acknowledge", "x"],
        ["silence", "--all", "--for", "1m", "--reason", "x"],
        ["export", "--format", "prometheus"],
    ],
)
def test_what_is_said_before_an_action_counts(
    root: Path, tmp_path: Path, action: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    away = ["--system", str(tmp_path / "away")]
    assert main(["alerts", *away, *action]) == 2
    assert str(tmp_path / "away") in capsys.readouterr().err
    assert main(["alerts", "--for-team", "pens", *action, "--system", str(root)]) == 2
    assert capsys.readouterr().err.startswith("borough: --for-team")


def test_a_user_without_a_name_acts_under_a_number(
    root: Path, ran: Ran, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    quiet = ["alerts", "silence", "--all", "--for", "1m", "--reason", "x"]
    assert main([*quiet, "--json", "--system", str(root)]) == 0
    assert json.loads(capsys.readouterr().out)["by"] == f"user {os.getuid()}"


@pytest.mark.parametrize(("words"), [[], ["--all", "--service", "notes"]])
def test_who_wants_quiet_says_of_what(
    root: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--for", "1m", "--reason", "x", "--system", str(root)]
    assert main(["alerts", "silence", *words, *where]) == 2
    assert "--rule or --service or both, or --all" in capsys.readouterr().err
